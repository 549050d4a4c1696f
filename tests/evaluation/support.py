"""What tests of evaluations share: small data, and a model of it that is registered."""

from typing import Any

import numpy as np
import pandas as pd

import runstone


def rows(count: int = 120, classes: int = 2) -> pd.DataFrame:
    """Columns a, b and the class y, from a fixed seed; a tells y, and b nothing."""
    random = np.random.default_rng(3)
    target = random.integers(0, classes, count)
    noise = random.normal(size=(count, 2))
    return pd.DataFrame({"a": target + noise[:, 0] / 2, "b": noise[:, 1], "y": target})


def register(model: Any, name: str = "churn", **metrics: float) -> str:
    """Log a model in a run of its own and register it; the digest of its folder."""
    with runstone.start_run():
        runstone.log_metrics(metrics)
        return str(runstone.sklearn.log_model(model, "model", registered_model_name=name).digest)
