"""How much each feature matters: by permutation, for any model, and by the model's own word where it has one."""

import time
from collections.abc import Callable
from typing import Any

from runstone.evaluation.data import Cases
from runstone.evaluation.findings import Findings
from runstone.evaluation.settings import Settings
from runstone.evaluation.subject import Subject

_FEATURES = 200
_PREDICTIONS = 200
"""How often the model is asked at most, so that many features do not take for ever."""
_SECONDS = 30.0
"""After these no further round is begun, and none at all that would take longer."""
_REPEATS = 5


def measure(
    cases: Cases, subject: Subject, score: Callable[[Any, Any], float], settings: Settings, findings: Findings
) -> None:
    """Add the table `feature_importance`: by how much accuracy, or R², falls when a feature's values are shuffled.

    All features are shuffled once, then once more, and so on: a slow model gets fewer rounds, and the same ones.

    Args:
        cases: The data; a sample of `settings.max_rows` of it is used.
        subject: The model.
        score: Of targets and features, as the model predicts them; higher is better.
        settings: The seed, too.
        findings: Where to add it.
    """
    import numpy as np
    import pandas as pd

    features, names = cases.features, cases.names
    if getattr(features, "ndim", 0) != 2 or not names:
        findings.omitted.append("The importance of features is left out: the data has not one column a feature.")
        return
    if len(names) > _FEATURES:
        findings.omitted.append(
            f"The importance of features is left out: {len(names)} are more than {_FEATURES}, and each has the model "
            "predict again."
        )
        return
    if len(cases.targets) < 2:
        findings.omitted.append("The importance of features is left out: one row cannot be shuffled.")
        return
    random = np.random.default_rng(settings.seed)
    rows = np.arange(len(cases.targets))
    if len(rows) > settings.max_rows:
        rows = np.sort(random.choice(rows, settings.max_rows, replace=False))
    is_frame = hasattr(features, "iloc")
    sample = features.iloc[rows].reset_index(drop=True) if is_frame else features[rows].copy()
    targets = cases.targets[rows]
    start = time.monotonic()
    base = score(targets, sample)
    if (time.monotonic() - start) * len(names) > _SECONDS:
        findings.omitted.append(
            f"The importance of features is left out: the model is slow, and asking it for {len(names)} features would "
            f"take longer than {_SECONDS:g} s."
        )
        return
    rounds: list[list[float]] = []
    for _ in range(max(1, min(_REPEATS, _PREDICTIONS // len(names)))):
        if rounds and time.monotonic() - start > _SECONDS:
            break
        falls = []
        for column in range(len(names)):
            shuffled, order = sample.copy(), random.permutation(len(rows))
            if is_frame:
                values = sample.iloc[:, column].take(order).reset_index(drop=True)
                shuffled.isetitem(column, values)
            else:
                shuffled[:, column] = sample[order, column]
            falls.append(base - score(targets, shuffled))
        rounds.append(falls)
    found = np.asarray(rounds)
    table = pd.DataFrame({"feature": names, "permutation": found.mean(axis=0), "deviation": found.std(axis=0)})
    own = _own(subject.raw, len(names))
    if own is not None:
        table["model"] = own
    findings.tables["feature_importance"] = table.sort_values(
        "permutation", ascending=False, kind="stable", ignore_index=True
    )


def _own(raw: Any, count: int) -> Any:
    """`feature_importances_`, or the coefficients of a linear model, if it has one for each feature."""
    import numpy as np

    for name in ("feature_importances_", "coef_"):
        try:
            found = np.asarray(getattr(raw, name), dtype=float)
        except (AttributeError, TypeError, ValueError):  # some have the name only for some kinds of trees
            continue
        if found.ndim == 2 and len(found) == 1:
            found = found[0]
        if found.shape == (count,):
            return found
    return None
