"""scikit-learn models: log, save and load them. Names of arguments are MLflow's."""

from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import sklearn as flavor
from runstone.flavors.absent import absent
from runstone.flavors.environment import defaults
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.models import ModelInfo, load_trusted, log_folder

__all__ = [
    "SERIALIZATION_FORMAT_CLOUDPICKLE",
    "SERIALIZATION_FORMAT_PICKLE",
    "SERIALIZATION_FORMAT_SKOPS",
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "log_model",
    "save_model",
]

if not TYPE_CHECKING:  # to which every name would then seem to be there
    __getattr__ = absent(__name__)

SERIALIZATION_FORMAT_CLOUDPICKLE = "cloudpickle"
SERIALIZATION_FORMAT_PICKLE = "pickle"
SERIALIZATION_FORMAT_SKOPS = "skops"

get_default_pip_requirements, get_default_conda_env = defaults("scikit-learn")


def save_model(
    sk_model: Any,
    path: str | PathLike[str],
    *,
    serialization_format: str | None = None,
    pyfunc_predict_fn: str = "predict",
    skops_trusted_types: Sequence[str] | None = None,
    **options: Unpack[SaveArguments],
) -> None:
    """Save an estimator or pipeline as a model folder, which MLflow loads too.

    Args:
        sk_model: The estimator.
        path: A new or empty folder.
        serialization_format: `skops`, `cloudpickle` or `pickle`. If not said, `skops` where it is installed and
            can hold the model, else `cloudpickle`. MLflow reads `skops` since 3.9.
        pyfunc_predict_fn: The method that `pyfunc` predicts with.
        skops_trusted_types: Types beyond scikit-learn's own that you reviewed and skops may load.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: An option is not understood.
        InvalidModelFolder: The folder is not empty, or the model cannot be saved.
    """
    flavor.save(
        sk_model,
        Path(path),
        SaveOptions.of(options),
        serialization_format=serialization_format,
        pyfunc_predict_fn=pyfunc_predict_fn,
        skops_trusted_types=skops_trusted_types,
    )


def log_model(
    sk_model: Any,
    artifact_path: str | None = None,
    *,
    serialization_format: str | None = None,
    pyfunc_predict_fn: str = "predict",
    skops_trusted_types: Sequence[str] | None = None,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save an estimator among the active run's artifacts; a run is begun if there is none.

    Args:
        sk_model: The estimator.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        serialization_format: As for `save_model`.
        pyfunc_predict_fn: As for `save_model`.
        skops_trusted_types: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    save = partial(
        flavor.save,
        sk_model,
        serialization_format=serialization_format,
        pyfunc_predict_fn=pyfunc_predict_fn,
        skops_trusted_types=skops_trusted_types,
    )
    return log_folder(save, artifact_path, options)


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None, *, allow_pickle: bool = False) -> Any:
    """Load the estimator that was logged.

    Pickled weights run code when they are loaded. From `runs:/…` and `models:/…` they are loaded only when their
    digest is the one git recorded; from a folder only if you say that you trust it.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    return load_trusted(model_uri, dst_path, allow_pickle, flavor.load)
