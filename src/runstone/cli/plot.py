"""`runstone plot`: histories of metrics as lines in the terminal, or their points as JSON and CSV."""

import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from runstone.cli.command import command
from runstone.cli.output import Column, Form, clean, emit, emit_json, form_options, hint
from runstone.cli.session import RUN, Session, pass_session
from runstone.errors import UsageError

if TYPE_CHECKING:
    from runstone.cli.chart import Line
    from runstone.records.metric import Metric
    from runstone.records.run import Run

XAxis = Literal["step", "time"]

_COLORS = ("cyan", "yellow", "magenta", "green", "red", "blue", "bright_black", "white")
_COLUMNS = [Column(name) for name in ("run_id", "run_name", "metric", "step", "timestamp", "value")]
_FARTHEST = 1e300


@dataclass(frozen=True, slots=True)
class History:
    """One metric of one run, in the order written."""

    run: "Run"
    metric: str
    points: tuple["Metric", ...]


@command(
    "plot",
    examples="""
    runstone plot brave-otter-17 -m loss                    one metric over its steps
    runstone plot 0192f3 0192f4 -m loss -m val/loss --log   two of two runs, logarithmic
    runstone plot 0192f3 -m loss --csv > loss.csv           the points themselves
    """,
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RUN)
@click.option("-m", "--metric", "metrics", multiple=True, metavar="METRIC", help="What to draw; may be repeated.")
@click.option("--x", "x_axis", type=click.Choice(["step", "time"]), default="step", help="Over steps, or over seconds.")
@click.option("--log", "is_log", is_flag=True, help="Logarithmic values; those up to 0 are left out.")
@click.option("--width", type=click.IntRange(20, 1000), help="Columns. [default: the terminal's]")
@click.option("--height", type=click.IntRange(5, 500), help="Rows. [default: up to 22, as the terminal has them]")
@click.option("--ascii", "is_ascii", is_flag=True, help="Draw with ASCII only.")
@form_options
@pass_session
def plot(
    session: Session,
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    x_axis: XAxis,
    is_log: bool,
    width: int | None,
    height: int | None,
    is_ascii: bool,
    form: Form,
) -> None:
    """Draw metrics of runs in the terminal.

    RUN is an id, an unambiguous beginning of one, or a name. Several runs and metrics share one pair of axes.
    """
    histories = read_histories(session, list(dict.fromkeys(runs)), list(dict.fromkeys(metrics)))
    if form == "json":
        emit_json({"x": x_axis, "series": [_as_json(each, x_axis) for each in histories]})
    elif form == "csv":
        rows = [(h.run.id, h.run.name, h.metric, p.step, p.timestamp, p.value) for h in histories for p in h.points]
        emit(_COLUMNS, rows, form)
    else:
        terminal = shutil.get_terminal_size()
        columns, rows_ = width or terminal.columns, height or max(5, min(22, terminal.lines - len(histories) - 2))
        _print_chart(histories, x_axis, columns, rows_, is_log=is_log, is_ascii=is_ascii or not _has_unicode())


def read_histories(session: Session, runs: Sequence[str], metrics: Sequence[str]) -> list[History]:
    """The histories of metrics, run by run; a run that lacks one of them is named on standard error.

    Raises:
        UsageError: No metric is named, or none of the runs has one of those named.
    """
    from runstone.index.search import get_run
    from runstone.tracking.read import read_metrics

    found = [(get_run(session.repo, run_id), read_metrics(session.workspace, run_id)) for run_id in runs]
    known = sorted({point.key for _, points in found for point in points})
    have = f"{'These runs have' if len(runs) > 1 else 'The run has'}: {', '.join(map(clean, known)) or 'none'}."
    if not metrics:
        raise UsageError(f"Name a metric to draw: `-m METRIC`. {have}")
    histories = []
    for metric in metrics:
        if metric not in known:
            raise UsageError(f"There is no metric {metric!r} to draw. {have}")
        for run, points in found:
            chosen = tuple(point for point in points if point.key == metric)
            if chosen:
                histories.append(History(run, metric, chosen))
            else:
                hint(f"{run.name} has no metric {metric!r}")
    return histories


def x_value(point: "Metric", run: "Run", x_axis: XAxis) -> float:
    """Where a point lies: its step, or the seconds since its run began."""
    number = point.step if x_axis == "step" else point.timestamp - run.started
    near = float(max(-_FARTHEST, min(number, _FARTHEST)))  # a record may hold whole numbers that no float can
    return near if x_axis == "step" else near / 1000


def _as_json(history: History, x_axis: XAxis) -> dict[str, object]:
    points = [
        {"x": x_value(p, history.run, x_axis), "step": p.step, "timestamp": p.timestamp, "value": p.value}
        for p in history.points
    ]
    return {
        "run_id": history.run.id,
        "run_name": history.run.name,
        "metric": history.metric,
        "points": points,
    }


def _print_chart(
    histories: Sequence[History], x_axis: XAxis, width: int, height: int, *, is_log: bool, is_ascii: bool
) -> None:
    from runstone.cli.chart import Series, draw, marker

    labels = _labels(histories)
    drawn = []
    for history, label in zip(histories, labels, strict=True):
        points = sorted(((x_value(p, history.run, x_axis), p.value) for p in history.points), key=lambda p: p[0])
        drawn.append(Series(label, points))
        _tell_left_out(label, [value for _, value in points], is_log)
    lines = draw(drawn, width=width, height=height, log=is_log, ascii_only=is_ascii)
    if not lines:
        hint("nothing to draw: no value is a finite number" + (" above 0" if is_log else ""))
        return
    for line in lines:
        click.echo(_colored(line))
    click.echo(("seconds since the run began" if x_axis == "time" else "step").rjust(width))
    for number, series in enumerate(drawn):
        sign = click.style(marker(number, ascii_only=is_ascii), fg=_color(number))
        text = series.label if not is_ascii else series.label.encode("ascii", "backslashreplace").decode()
        click.echo(f"{sign} {text}")


def _labels(histories: Sequence[History]) -> list[str]:
    """What tells the lines apart: the run, the metric, or both; of runs that share a name, the id too."""
    names = {history.run.id: history.run.name for history in histories}
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    labels = []
    for history in histories:
        run = f"{history.run.name} {history.run.id}" if history.run.name in shared else history.run.name
        labels.append(clean(f"{history.metric}  {run}"))
    return labels


def _tell_left_out(label: str, values: Sequence[float], is_log: bool) -> None:
    odd = sum(not math.isfinite(value) for value in values)
    if odd:
        hint(f"{label}: {odd} of {len(values)} values not drawn: not finite")
    low = sum(value <= 0 for value in values if math.isfinite(value)) if is_log else 0
    if low:
        hint(f"{label}: {low} of {len(values)} values not drawn: not above 0")


def _colored(line: "Line") -> str:
    text, run, color = "", "", None
    for cell in line:
        found = None if cell.series is None else _color(cell.series)
        if found != color:
            text += click.style(run, fg=color) if color else run
            run, color = "", found
        run += cell.text
    return (text + (click.style(run, fg=color) if color else run)).rstrip()


def _color(number: int) -> str:
    return _COLORS[number % len(_COLORS)]


def _has_unicode() -> bool:
    """Whether standard output can hold what charts are drawn with."""
    try:
        "⣿●■▲◆○□△◇│┤└─┬".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
