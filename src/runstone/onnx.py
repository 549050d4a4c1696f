"""ONNX models: log, save and load them. Names of arguments are MLflow's."""

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import onnx as flavor
from runstone.flavors.absent import absent
from runstone.flavors.environment import defaults
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.models import ModelInfo, load_trusted, log_folder

__all__ = [
    "get_default_conda_env",
    "get_default_pip_requirements",
    "load_model",
    "log_model",
    "save_model",
]

if not TYPE_CHECKING:  # to which every name would then seem to be there
    __getattr__ = absent(__name__)

get_default_pip_requirements, get_default_conda_env = defaults("onnx", "onnxruntime")


def save_model(
    onnx_model: Any,
    path: str | PathLike[str],
    *,
    onnx_execution_providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
    onnx_session_options: Mapping[str, Any] | None = None,
    save_as_external_data: bool = True,
    **options: Unpack[SaveArguments],
) -> None:
    """Save an ONNX model as a model folder, which MLflow loads too.

    Args:
        onnx_model: An `onnx.ModelProto`.
        path: A new or empty folder.
        onnx_execution_providers: What ONNX Runtime predicts with, best first.
        onnx_session_options: Of the session: `execution_mode`, `graph_optimization_level`, `inter_op_num_threads`,
            `intra_op_num_threads`, `extra_session_config`.
        save_as_external_data: Keep the larger tensors in a file of their own.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: An option is not understood, or the model is no ONNX model.
        InvalidModelFolder: The folder is not empty.
    """
    flavor.save(
        onnx_model,
        Path(path),
        SaveOptions.of(options),
        onnx_execution_providers=onnx_execution_providers,
        onnx_session_options=onnx_session_options,
        save_as_external_data=save_as_external_data,
    )


def log_model(
    onnx_model: Any,
    artifact_path: str | None = None,
    *,
    onnx_execution_providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
    onnx_session_options: Mapping[str, Any] | None = None,
    save_as_external_data: bool = True,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save an ONNX model among the active run's artifacts; a run is begun if there is none.

    Args:
        onnx_model: An `onnx.ModelProto`.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        onnx_execution_providers: As for `save_model`.
        onnx_session_options: As for `save_model`.
        save_as_external_data: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    save = partial(
        flavor.save,
        onnx_model,
        onnx_execution_providers=onnx_execution_providers,
        onnx_session_options=onnx_session_options,
        save_as_external_data=save_as_external_data,
    )
    return log_folder(save, artifact_path, options)


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None, *, allow_pickle: bool = False) -> Any:
    """Load the `onnx.ModelProto` that was logged.

    ONNX files run no code when they are loaded, so they need no trust.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        allow_pickle: You trust the folder.

    Raises:
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    return load_trusted(model_uri, dst_path, allow_pickle, flavor.load)
