"""Models of one's own, and models of any flavor behind one `predict`. Names and order of arguments are MLflow's."""

import atexit
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel, own_loader, python_function
from runstone.flavors import pyfunc as flavor
from runstone.flavors.absent import absent
from runstone.flavors.context import PythonModelContext as PythonModelContext
from runstone.flavors.from_code import read_config
from runstone.flavors.mlmodel import MLmodel as MLmodel
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.flavors.pyfunc import PyFuncModel as PyFuncModel
from runstone.flavors.python_model import FunctionModel as FunctionModel
from runstone.flavors.python_model import PythonModel as PythonModel
from runstone.loading import spark_udf as spark_udf
from runstone.models import ModelInfo, load_trusted, local_copy, log_folder

__all__ = [
    "PyFuncModel",
    "PythonModel",
    "PythonModelContext",
    "add_to_model",
    "get_model_dependencies",
    "load_model",
    "log_model",
    "save_model",
    "spark_udf",
]

if not TYPE_CHECKING:  # to which every name would then seem to be there
    __getattr__ = absent(__name__)

_Path = str | PathLike[str]
_Config = Mapping[str, Any] | str | PathLike[str] | None


def save_model(
    path: _Path,
    loader_module: str | None = None,
    data_path: _Path | None = None,
    *,
    python_model: Any = None,
    artifacts: Mapping[str, _Path] | None = None,
    model_config: _Config = None,
    streamable: bool | None = None,
    **options: Unpack[SaveArguments],
) -> None:
    """Save a model of one's own as a model folder, which MLflow loads too.

    Either `python_model` makes it, or a `loader_module` from `data_path`.

    Args:
        path: A new or empty folder.
        loader_module: A module in `code_paths`; its `_load_pyfunc(data_path)` returns what has `predict(data)`.
        data_path: A file or folder that it is given.
        python_model: The path of a script that calls `runstone.models.set_model` (its code is kept, and no pickle); an
            instance of `PythonModel`, ours or MLflow's; or a function of the data, or of the data and `params`.
        artifacts: What the model needs: name → path, `runs:/…`, `models:/…` or `file:…`. It finds them in
            `context.artifacts`.
        model_config: Settings, or the path of a YAML file with them, for `context.model_config` and, in a script,
            `runstone.models.ModelConfig`.
        streamable: Whether the model has `predict_stream`; found out if not said.
        options: As in every flavor, see `runstone.models.SaveArguments`. Without a signature it is taken from the hints
            of `predict`, if it takes a list (`model_input: list[str]`), or else from the example.

    Raises:
        UsageError: An option is not understood, or the script does not make a model.
        InvalidModelFolder: The folder is not empty, or the model cannot be pickled.
    """
    _save(
        Path(path),
        SaveOptions.of(options),
        loader_module=loader_module,
        data_path=data_path,
        python_model=python_model,
        artifacts=artifacts,
        model_config=model_config,
        streamable=streamable,
    )


def log_model(
    artifact_path: str | None = None,
    loader_module: str | None = None,
    data_path: _Path | None = None,
    *,
    python_model: Any = None,
    artifacts: Mapping[str, _Path] | None = None,
    model_config: _Config = None,
    streamable: bool | None = None,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save a model of one's own among the active run's artifacts; a run is begun if there is none.

    Args:
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        loader_module: As for `save_model`.
        data_path: As for `save_model`.
        python_model: As for `save_model`.
        artifacts: As for `save_model`.
        model_config: As for `save_model`.
        streamable: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    save = partial(
        _save,
        loader_module=loader_module,
        data_path=data_path,
        python_model=python_model,
        artifacts=artifacts,
        model_config=model_config,
        streamable=streamable,
    )
    return log_folder(save, artifact_path, options)


def load_model(
    model_uri: str,
    suppress_warnings: bool = False,
    dst_path: str | PathLike[str] | None = None,
    model_config: _Config = None,
    *,
    allow_pickle: bool = False,
) -> PyFuncModel:
    """Load a model of any known flavor; its `predict` checks the input against the signature.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        suppress_warnings: Load without warnings, as about another version of the library.
        dst_path: An existing folder to keep a copy of the model folder in.
        model_config: Values for settings that the model was saved with, or the path of a YAML file with them.
        allow_pickle: You trust the folder; see `runstone.sklearn.load_model`. It stands for all code that a model
            folder holds, scripts too.

    Raises:
        UntrustedModel: A folder with pickled weights or code, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    config = None if model_config is None else read_config(model_config)
    with warnings.catch_warnings():
        if suppress_warnings:
            warnings.simplefilter("ignore")
        return load_trusted(model_uri, dst_path, allow_pickle, partial(flavor.load, model_config=config))


def get_model_dependencies(model_uri: str, format: str = "pip") -> str:  # MLflow's name
    """The path of a file that says what a model needs to run.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        format: `pip` for requirements.txt, or `conda` for conda.yaml.

    Returns:
        In a folder, the file itself; else a copy that lasts until the process ends.

    Raises:
        UsageError: There is no such format.
        InvalidModelFolder: The model folder has no such file.
    """
    files = {"pip": environment.REQUIREMENTS, "conda": environment.CONDA}
    if format not in files:
        raise UsageError(f"`format` must be `pip` or `conda`, but is {format!r}.")
    with local_copy(model_uri) as folder:
        file = folder / files[format]
        if not file.is_file():
            raise InvalidModelFolder(folder, f"the file `{file.name}` is missing")
        if not model_uri.startswith(("runs:/", "models:/")):
            return str(file)
        private = tempfile.mkdtemp(prefix="runstone-")
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        return str(shutil.copy(file, private))


def add_to_model(
    model: MLmodel,
    loader_module: str,
    data: str | None = None,
    code: str | None = None,
    *,
    model_config: Mapping[str, Any] | None = None,
    model_code_path: str | None = None,
    **settings: Any,
) -> MLmodel:
    """A model's MLmodel file with a python_function; all paths are relative to the model folder.

    Args:
        model: What the file says; it is not changed.
        loader_module: What loads it, as MLflow names it.
        data: The weights.
        code: The folder of the model's code.
        model_config: Settings.
        model_code_path: The script.
        settings: Further settings, as that loader reads them.
    """
    added = mlmodel.pyfunc_settings(
        loader_module=loader_module,
        code=code,
        data=data,
        config=dict(model_config) if model_config else None,
        model_code_path=model_code_path,
        **settings,
    )
    return replace(model, flavors={**model.flavors, mlmodel.PYFUNC: added})


def _save(
    folder: Path,
    options: SaveOptions,
    *,
    loader_module: str | None,
    data_path: _Path | None,
    python_model: Any,
    artifacts: Mapping[str, _Path] | None,
    model_config: _Config,
    streamable: bool | None,
) -> None:
    if (loader_module is None) == (python_model is None):
        raise UsageError("A model of one's own is made by a `python_model` or by a `loader_module`: give one of them.")
    if loader_module is not None:
        if artifacts:
            raise UsageError("`artifacts` go with a `python_model`; give a `loader_module` its files as `data_path`.")
        own_loader.save(
            loader_module, folder, options, data_path=data_path, model_config=model_config, streamable=streamable
        )
        return
    if data_path is not None:
        raise UsageError("`data_path` goes with a `loader_module`; give a `python_model` its files as `artifacts`.")
    given = {key: fspath(value) for key, value in (artifacts or {}).items()}
    with ExitStack() as stack:
        python_function.save(
            python_model,
            folder,
            options,
            artifacts={key: stack.enter_context(local_copy(value)) for key, value in given.items()},
            artifact_uris={k: value for k, value in given.items() if value.startswith(("runs:/", "models:/"))},
            model_config=model_config,
            streamable=streamable,
        )
