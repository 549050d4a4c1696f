"""What an evaluation gathers: metrics, tables, and a sentence for each thing that could not be had."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Findings:
    """What was found; filled step by step.

    Attributes:
        metrics: Name → value.
        tables: Name → DataFrame.
        omitted: Why something is not there.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)

    def attempt(self, name: str, measure: Callable[[], Any]) -> None:
        """Add a metric, or say that the data does not define it."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what scikit-learn says of an undefined value is told below
            try:
                value = float(measure())
            except ValueError as error:
                self.omitted.append(f"`{name}` is left out: {error}")
                return
        if value != value:
            self.omitted.append(f"`{name}` is left out: these data do not define it.")
            return
        self.metrics[name] = value


def thinned(table: Any, rows: int) -> Any:
    """At most so many rows of a DataFrame, evenly spread, the first and the last among them."""
    import numpy as np

    if len(table) <= rows:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, max(rows, 2)).round().astype(int))]
