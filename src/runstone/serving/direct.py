"""Which models may be given an array in place of a DataFrame, since both come to the same, to the bit.

For one row, pandas and scikit-learn's look at its columns take longer than most models. The estimators here turn
what they get into an array first thing and look at column names only to compare them; whatever else there is gets
its DataFrame.
"""

from typing import Any

from runstone.flavors.protocol import Predictor

_FAMILIES = (
    "sklearn.linear_model",
    "sklearn.tree",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.svm",
    "sklearn.neighbors",
    "sklearn.naive_bayes",
    "sklearn.neural_network",
    "sklearn.discriminant_analysis",
    "sklearn.cluster._kmeans",
    "sklearn.decomposition",
    "sklearn.preprocessing._data",
    "sklearn.impute._base",
    "sklearn.dummy",
)


def takes_arrays(predictor: Predictor) -> bool:
    """Whether an array with the columns in order gives what the DataFrame would."""
    return type(predictor).__name__ == "SklearnPredictor" and _is_plain(predictor.raw)


def known_names(predictor: Predictor) -> list[str] | None:
    """The columns that an estimator was fitted with, to which it would hold those of a DataFrame; None if none."""
    names = getattr(predictor.raw, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _is_plain(model: Any) -> bool:
    kind = type(model)
    if kind.__module__ == "sklearn.pipeline" and kind.__name__ == "Pipeline":
        return all(step in (None, "passthrough") or _is_plain(step) for _, step in model.steps)
    if not kind.__module__.startswith(_FAMILIES) or hasattr(model, "_sklearn_output_config"):
        return False  # the latter was told to make DataFrames between the steps of a pipeline
    return not callable(getattr(model, "func", None))
