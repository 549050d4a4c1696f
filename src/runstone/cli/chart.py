"""Lines over numbers, drawn as text: braille dots, or plain ASCII.

Our own, since of the libraries for it the light one draws neither NaN, nor logarithms, nor ASCII, and the able one is
3 MB with a compiled kernel, costs 100 ms to import, and changed every call from one major version to the next.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

Point = tuple[float, float]

_MARKERS = "●■▲◆○□△◇"
_ASCII_MARKERS = "*+xo#@%&"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Unicode's braille bits by row and column
_MARKER_GAP = 8
"""Columns between two markers of one line, so that a long history stays a line."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name in the legend, and its points from left to right. A value that is not finite is a gap."""

    label: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Cell:
    """One character of a chart and the number of the series it belongs to; None for axes and labels."""

    text: str
    series: int | None = None


Line = list[Cell]


def marker(number: int, *, ascii_only: bool) -> str:
    """The sign of the series of a number; they come again after eight."""
    signs = _ASCII_MARKERS if ascii_only else _MARKERS
    return signs[number % len(signs)]


def draw(
    series: Sequence[Series], *, width: int, height: int, log: bool = False, ascii_only: bool = False
) -> list[Line]:
    """Draw lines in one pair of axes, which hold all finite points.

    Args:
        series: What to draw; later ones lie on top.
        width: Columns of the whole, labels included.
        height: Rows of the whole, the labels of the x axis included.
        log: Whether the y axis is logarithmic; then only values above 0 are drawn.
        ascii_only: Whether only ASCII may be used.

    Returns:
        Rows from the top; none if no point can be drawn.
    """
    drawable = [list(_stretches(each.points, log)) for each in series]
    points = [point for stretches in drawable for stretch in stretches for point in stretch]
    if not points:
        return []
    x_axis = Axis.around([x for x, _ in points], whole=all(float(x).is_integer() for x, _ in points))
    y_axis = Axis.around([y for _, y in points], log=log)
    rows = max(height - 2, 2)
    labels = y_axis.labels(rows, max(2, rows // 4))
    margin = max(map(len, labels.values()))
    canvas = _Canvas(max(width - margin - 2, 8), rows, ascii_only)
    for number, stretches in enumerate(drawable):
        for stretch in stretches:
            canvas.line([(x_axis.place(x), 1 - y_axis.place(y)) for x, y in stretch], number)
    for number, stretches in enumerate(drawable):
        canvas.mark([(x_axis.place(x), 1 - y_axis.place(y)) for each in stretches for x, y in each], number)
    return _frame(canvas, labels, margin, x_axis)


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of numbers on a line from 0 to 1; `whole` if only whole numbers are written at it."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @classmethod
    def around(cls, values: Sequence[float], *, log: bool = False, whole: bool = False) -> "Axis":
        """The axis that just holds all values; around a single one there is room."""
        low, high = min(values), max(values)
        if low == high:
            room = 1.0 if low == 0 else abs(low) / 2
            low, high = low - room, high + room
            low, high = (low if math.isfinite(low) else high / 2), (high if math.isfinite(high) else values[0])
        return cls(low, high, log, whole)

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        if self.log:
            low, value, high = math.log10(self.low), math.log10(value), math.log10(self.high)
        else:
            # In halves, as the difference of two large numbers may be no number.
            low, value, high = self.low / 2, value / 2, self.high / 2
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self, wanted: int) -> list[float]:
        """Round numbers on the axis, about as many as wanted; its ends where there are not two."""
        makers = (self._decades, self._multiples) if self.log else (self._multiples,)
        for make in makers:
            for finer in (1, 2, 4):
                found = [tick for tick in make(wanted * finer) if self.low <= tick <= self.high]
                if len(found) >= 2:
                    return found
        return [self.low, self.high]

    def labels(self, cells: int, wanted: int, *, upwards: bool = True) -> dict[int, str]:
        """The numbers to write at an axis of so many cells, by cell."""
        ticks = self.ticks(wanted)
        texts = [f"{tick:g}" for tick in ticks] if self.log else _format_ticks(ticks)
        places = [self.place(tick) for tick in ticks]
        return {round((1 - at if upwards else at) * (cells - 1)): text for at, text in zip(places, texts, strict=True)}

    def _decades(self, wanted: int) -> list[float]:
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        stride = max(1, math.ceil((last - first + 1) / wanted))
        steps = (1.0,) if last - first >= 2 else (1.0, 2.0, 5.0)
        decades = range(first - 1, last + 1, stride if len(steps) == 1 else 1)
        return [float(f"{step}e{decade}") for decade in decades for step in steps]

    def _multiples(self, wanted: int) -> list[float]:
        rough = (self.high / 2 - self.low / 2) * (2 / wanted)
        if rough < 1e-300 or self.high == math.inf:
            return []
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        if self.whole:
            step = max(step, 1.0)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


class _Canvas:
    """A grid of characters; with braille each holds 2 by 4 dots."""

    def __init__(self, columns: int, rows: int, ascii_only: bool) -> None:
        self.columns, self.rows, self.ascii_only = columns, rows, ascii_only
        self._dots_x, self._dots_y = (1, 1) if ascii_only else (2, 4)
        self._bits = [[0] * columns for _ in range(rows)]
        self._cells: list[list[Cell | None]] = [[None] * columns for _ in range(rows)]

    def line(self, points: Sequence[Point], number: int) -> None:
        """Join points, given as parts of width and height from the top left."""
        width, height = self.columns * self._dots_x - 1, self.rows * self._dots_y - 1
        dots = _thin([(round(x * width), round(y * height)) for x, y in points])
        for x, y in dots[:1]:
            self._dot(x, y, number)
        for (x0, y0), (x1, y1) in pairwise(dots):
            steps = max(abs(x1 - x0), abs(y1 - y0))
            for i in range(1, steps + 1):
                self._dot(x0 + round((x1 - x0) * i / steps), y0 + round((y1 - y0) * i / steps), number)

    def mark(self, points: Sequence[Point], number: int) -> None:
        """Put the sign of the series on some of its points: the last, and before it never two close together."""
        free = self.columns + _MARKER_GAP
        for x, y in sorted(points, reverse=True):
            column, row = round(x * (self.columns - 1)), round(y * (self.rows - 1))
            if free - column >= _MARKER_GAP:
                self._cells[row][column] = Cell(marker(number, ascii_only=self.ascii_only), number)
                # The second line's signs lie between those of the first where both have a value at every step.
                free = column if free <= self.columns else column + number * 3 % _MARKER_GAP

    def row(self, number: int) -> Line:
        """A row as characters."""
        return [cell or Cell(" ") for cell in self._cells[number]]

    def _dot(self, x: int, y: int, number: int) -> None:
        column, row = x // self._dots_x, y // self._dots_y
        if self.ascii_only:
            self._cells[row][column] = Cell(marker(number, ascii_only=True), number)
            return
        self._bits[row][column] |= _DOTS[y % 4][x % 2]
        self._cells[row][column] = Cell(chr(0x2800 + self._bits[row][column]), number)


def _thin(dots: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same line of fewer dots: of those above each other the first, the lowest, the highest and the last."""
    kept: list[tuple[int, int]] = []
    for x, above in groupby(dots, key=itemgetter(0)):
        ys = [y for _, y in above]
        kept += [(x, y) for y in dict.fromkeys((ys[0], min(ys), max(ys), ys[-1]))]
    return kept


def _stretches(points: Sequence[Point], log: bool) -> Iterator[list[Point]]:
    """The points between the gaps."""
    stretch: list[Point] = []
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log):
            stretch.append((x, y))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _frame(canvas: _Canvas, labels: dict[int, str], margin: int, x_axis: Axis) -> list[Line]:
    """The canvas with its axes and their numbers."""
    upright, tick, corner, level, notch = "|++-+" if canvas.ascii_only else "│┤└─┬"
    lines = []
    for number in range(canvas.rows):
        label = labels.get(number)
        edge = f"{label or '':>{margin}} {tick if label is not None else upright}"
        lines.append([*map(Cell, edge), *canvas.row(number)])
    below = x_axis.labels(canvas.columns, max(2, canvas.columns // 14), upwards=False)
    numbers, end = "", 0
    axis = [level] * canvas.columns
    for column, text in sorted(below.items()):
        start = min(max(column - len(text) // 2, 0), max(canvas.columns - len(text), 0))
        if start >= end + 2 or not numbers:
            numbers += " " * (start - end) + text
            end = start + len(text)
            axis[column] = notch
    lines.append([*map(Cell, " " * (margin + 1) + corner + "".join(axis))])
    lines.append([*map(Cell, " " * (margin + 2) + numbers)])
    return lines


def _format_ticks(ticks: Sequence[float]) -> list[str]:
    """Numbers alike: as many decimals as tell neighbours apart, with a power of ten where they are large or small."""
    largest, gap = max(map(abs, ticks)), min(abs(b - a) for a, b in pairwise(ticks))
    if 1e-4 <= largest < 1e7 and gap > largest * 1e-9:
        decimals = max(0, -math.floor(math.log10(gap) + 1e-9))
        return [f"{tick:.{decimals}f}" for tick in ticks]
    digits = math.ceil(math.log10(largest / gap)) + 1 if 0 < gap < math.inf else 0
    return [f"{tick:.{min(max(digits, 4), 17)}g}" for tick in ticks]
