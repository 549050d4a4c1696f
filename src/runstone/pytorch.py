"""PyTorch models: log, save and load them. Names of arguments are MLflow's."""

import tempfile
from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone import fluent
from runstone.flavors import pytorch as flavor
from runstone.flavors import state_dict as weights
from runstone.flavors.absent import absent
from runstone.flavors.environment import defaults
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.models import ModelInfo, load_trusted, local_copy, log_folder

__all__ = [
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "load_state_dict",
    "log_model",
    "log_state_dict",
    "save_model",
    "save_state_dict",
]

if not TYPE_CHECKING:  # to which every name would then seem to be there
    __getattr__ = absent(__name__)

get_default_pip_requirements, get_default_conda_env = defaults("torch", "cloudpickle")


def save_model(
    pytorch_model: Any,
    path: str | PathLike[str],
    *,
    serialization_format: str | None = None,
    **options: Unpack[SaveArguments],
) -> None:
    """Save a module as a model folder, which MLflow loads too.

    Args:
        pytorch_model: A `torch.nn.Module`.
        path: A new or empty folder.
        serialization_format: `pickle` (if not said), or `pt2` for the graph that `torch.export` traces for the input
            example, which needs none of the module's code and cannot be trained.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: An option is not understood, or the model is no module.
        InvalidModelFolder: The folder is not empty, or the module cannot be pickled or exported.
    """
    flavor.save(
        pytorch_model, Path(path), SaveOptions.of(options), serialization_format=serialization_format or "pickle"
    )


def log_model(
    pytorch_model: Any,
    artifact_path: str | None = None,
    *,
    serialization_format: str | None = None,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save a module among the active run's artifacts; a run is begun if there is none.

    Args:
        pytorch_model: A `torch.nn.Module`.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        serialization_format: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    save = partial(flavor.save, pytorch_model, serialization_format=serialization_format or "pickle")
    return log_folder(save, artifact_path, options)


def load_model(
    model_uri: str,
    dst_path: str | PathLike[str] | None = None,
    *,
    map_location: Any = None,
    device: Any = None,
    weights_only: bool = False,
    allow_pickle: bool = False,
) -> Any:
    """Load the module that was logged.

    Both formats run code when they are loaded. From `runs:/…` and `models:/…` they are loaded only when their
    digest is the one git recorded; from a folder only if you say that you trust it.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        map_location: Where tensors are put while they are read, as `torch.load` has it.
        device: Where the module is moved to.
        weights_only: Read nothing but tensors, plain values, and the classes that you named by
            `torch.serialization.add_safe_globals`. Needs no trust.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder, and neither `allow_pickle` nor `weights_only` is said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    load = partial(flavor.load, map_location=map_location, device=device, weights_only=weights_only)
    return load_trusted(model_uri, dst_path, allow_pickle, load)


def save_state_dict(state_dict: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Save weights without their module, as MLflow does.

    Args:
        state_dict: As `module.state_dict()` gives it; of an optimizer likewise.
        path: A new or empty folder.

    Raises:
        UsageError: It is no map.
        InvalidModelFolder: The folder is not empty.
    """
    weights.save(state_dict, Path(path))


def log_state_dict(state_dict: Mapping[str, Any], artifact_path: str) -> None:
    """Save weights among the active run's artifacts; a run is begun if there is none.

    Args:
        state_dict: As for `save_state_dict`.
        artifact_path: The folder among the artifacts.
    """
    with tempfile.TemporaryDirectory(prefix="runstone-") as temporary:
        folder = Path(temporary) / "weights"
        weights.save(state_dict, folder)
        fluent.log_artifacts(str(folder), artifact_path)


def load_state_dict(state_dict_uri: str, *, map_location: Any = None) -> Any:
    """Load weights, for `module.load_state_dict`. They run no code when they are loaded, so they need no trust.

    Args:
        state_dict_uri: `runs:/<run id>/<path>`, or a folder.
        map_location: Where the tensors are put, as `torch.load` has it.

    Raises:
        InvalidModelFolder: There are none, or they are more than tensors and plain values.
        RunNotFound: There is no such run.
        ArtifactNotFound: The run has no such artifact.
    """
    with local_copy(state_dict_uri) as folder:
        return weights.load(folder, map_location=map_location)
