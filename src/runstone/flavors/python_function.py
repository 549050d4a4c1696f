"""Models of one's own as model folders: an instance of `PythonModel`, a function, or a script that makes either.

An instance or a function is kept as a pickle by cloudpickle; of a script the code is kept, which people can read and
other versions of Python can run. All of it is code, so it is run only if git or the caller vouches for it.
"""

import json
import platform
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel, pickled
from runstone.flavors.code import add_code, importable
from runstone.flavors.context import ARTIFACTS, copy_artifacts, make_context
from runstone.flavors.example import split_params
from runstone.flavors.from_code import ScriptFailed, read_config, run_script
from runstone.flavors.hints import input_schema, output_schema, read_hints
from runstone.flavors.infer import infer_params
from runstone.flavors.mlmodel import flavor_settings, pyfunc_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.python_model import (
    PythonModel,
    PythonPredictor,
    as_python_model,
    is_streaming,
)
from runstone.flavors.requirements import modules_of_code
from runstone.flavors.saving import Weights, check_version, save_folder
from runstone.flavors.signature import ModelSignature
from runstone.flavors.trust import Trust

name = mlmodel.PYFUNC

WEIGHTS = "python_model.pkl"

FROM_PICKLE = "mlflow.pyfunc.model"
FROM_CODE = "mlflow.pyfunc.loaders.code_model"

FROM_TYPE_HINTS = "is_signature_from_type_hint"
"""The key of MLmodel that says that the model checks its input itself, by its hints."""

_PACKED = MappingProxyType({"bzip2": "bz2", "gzip": "gzip", "lzma": "lzma"})  # MLflow's word → Python's module


def version() -> str | None:
    """The running Python: there is no library."""
    return platform.python_version()


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    artifacts: Mapping[str, str | PathLike[str]] | None = None,
    artifact_uris: Mapping[str, str] | None = None,
    model_config: Mapping[str, Any] | str | PathLike[str] | None = None,
    streamable: bool | None = None,
) -> None:
    """Save a model of one's own as a model folder, which MLflow loads too.

    Args:
        model: An instance of `PythonModel`, ours or MLflow's; a function; or the path of a script.
        folder: Where; it must be new or empty.
        options: What is saved beside it.
        artifacts: Files and folders that the model needs: name → path.
        artifact_uris: Where those came from, if from a run or a registered model.
        model_config: Settings, or the path of a YAML file with them.
        streamable: Whether it has `predict_stream`; found out if not said.

    Writes:
        The folder: MLmodel, pickle or script, artifacts, requirements.txt, python_env.yaml, conda.yaml, input example,
        code.

    Raises:
        UsageError: An option is not understood, an artifact is missing, or the script makes no model.
        InvalidModelFolder: The folder is not empty, or the model cannot be pickled.
        MissingLibrary: cloudpickle is not installed.
    """
    config = None if model_config is None else _plain_config(model_config)
    script = _script(model) if isinstance(model, str | PathLike) else None
    source = b"" if script is None else script.read_bytes()

    def write(target: Path, code: str | None) -> Weights:
        saved_artifacts = copy_artifacts(target, artifacts or {}, artifact_uris or {})
        if script is None:
            modules = _dump(made, target)
            how = {"loader_module": FROM_PICKLE, "python_model": WEIGHTS}
        else:
            (target / script.name).write_bytes(source)
            modules = modules_of_code(target / script.name)
            how = {"loader_module": FROM_CODE, "model_code_path": script.name}

        def predict(data: Any) -> Any:
            # The model as it was saved, for the caller's own must not notice that it was tried.
            again = made if script else pickled.load(target, WEIGHTS, "cloudpickle", code=None, trust=_OURS)
            context = make_context(target, saved_artifacts, config, again, _OURS)
            again.load_context(context)
            return PythonPredictor(again, context).predict(data, split_params(options.input_example)[1] or {})

        return Weights(
            settings=pyfunc_settings(
                **how,
                code=code,
                artifacts=saved_artifacts or None,
                cloudpickle_version=None if script else environment.installed_version("cloudpickle"),
                config=config or None,
                streamable=is_streaming(made) if streamable is None else streamable,
            ),
            requirements=["runstone"] if any(module.partition(".")[0] == "runstone" for module in modules) else [],
            modules=modules,
            predict=predict,
            extra={FROM_TYPE_HINTS: True} if hinted else {},
        )

    with importable(options.code_paths or ()):
        made = as_python_model(model) if script is None else _make(script, source, config)
        hinted = _hinted_signature(made, options)
        save_folder(folder, name, replace(options, signature=hinted) if hinted else options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The model of a folder, ready to predict: an instance of the user's class; raises as `load_pyfunc`."""
    return load_pyfunc(folder, trust=trust).raw


def load_pyfunc(folder: Path, *, trust: Trust, model_config: Mapping[str, Any] | None = None) -> PythonPredictor:
    """The model of a folder, ours or MLflow's, behind `predict`.

    Args:
        folder: The model folder.
        trust: Why it may be loaded.
        model_config: Settings in place of those that it was saved with.

    Raises:
        UntrustedModel: Neither git nor the caller vouches for its code.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or its code fails.
        MissingLibrary: cloudpickle is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    config = settings.get("config") if model_config is None else model_config
    if "model_code_path" in settings:
        model = _load_script(folder, settings, config, trust)
    else:
        model = _load_pickle(folder, settings, trust)
    try:
        model = as_python_model(model)
    except UsageError as error:
        raise InvalidModelFolder(folder, f"its model cannot be used. {error}") from None
    context = make_context(folder, settings.get(ARTIFACTS) or {}, config, model, trust)
    try:
        model.load_context(context)
    except Exception as error:
        raise InvalidModelFolder(
            folder,
            f"the `load_context` of its {type(model).__name__} raised {type(error).__name__}: {error}",
            next_step="See the cause above, correct it, and save the model again.",
        ) from error
    return PythonPredictor(model, context)


# --- saving

_OURS = Trust(allow_pickle=True)  # what this process has just written


def _plain_config(given: Mapping[str, Any] | str | PathLike[str]) -> dict[str, Any]:
    config = read_config(given)
    try:
        json.dumps(config)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`model_config` may hold what JSON can say, and this cannot: {error}.") from None
    return config


def _script(given: str | PathLike[str]) -> Path:
    path = Path(given)
    if path.suffix != ".py":
        raise UsageError(f"`python_model`: {path} is no script of Python's, which would end in `.py`.")
    if not path.is_file():
        raise UsageError(
            f"`python_model`: there is no file {path}. Name the script, as a path from the current folder."
        )
    return path


def _make(script: Path, source: bytes, config: Mapping[str, Any] | None) -> Any:
    try:
        return run_script(source, script, config)
    except ScriptFailed as error:
        raise UsageError(f"`python_model`: the script {script} {error}.") from error.__cause__


def _hinted_signature(model: Any, options: SaveOptions) -> ModelSignature | None:
    """The signature that the hints of `predict` say, if the model holds its input against them."""
    is_fitted = isinstance(model, PythonModel) or getattr(model.predict, "_is_pyfunc", False)
    hints = getattr(model, "predict_type_hints", None) or read_hints(model.predict)
    inputs = input_schema(hints.input) if is_fitted and options.signature is None else None
    if inputs is None:
        return None
    params = split_params(options.input_example)[1]
    return ModelSignature(inputs, output_schema(hints.output), infer_params(params) if params else None)


def _dump(model: Any, target: Path) -> set[str]:
    try:
        return pickled.dump(model, target, WEIGHTS, "cloudpickle")
    except InvalidModelFolder as error:
        raise InvalidModelFolder(
            target,
            error.problem,
            next_step="Nothing was written. Locks, open files and connections must be left out by `__getstate__` or "
            "made in `load_context`; or give the path of a script that makes the model: `python_model='model.py'`",
        ) from error.__cause__


# --- loading


def _load_pickle(folder: Path, settings: Mapping[str, Any], trust: Trust) -> Any:
    packed = settings.get("python_model_compression")
    if packed is not None and packed not in _PACKED:
        raise InvalidModelFolder(folder, f"its pickle is compressed by {packed!r}, which is not known")
    if trust.runs_code:
        check_version(folder, "cloudpickle", settings.get("cloudpickle_version"))
        _check_python(folder, settings.get("python_version"))
    return pickled.load(
        folder,
        settings.get("python_model"),
        "cloudpickle",
        code=settings.get("code"),
        trust=trust,
        unpack=import_module(_PACKED[packed]).decompress if packed else None,
    )


def _load_script(folder: Path, settings: Mapping[str, Any], config: Mapping[str, Any] | None, trust: Trust) -> Any:
    # MLflow gives the path that the script had where it was saved, and means the file of its name.
    file = re.split(r"[\\/]", f"{settings['model_code_path']}")[-1]
    source = trust.read_code(folder, file)
    if settings.get("code"):
        add_code(folder, settings["code"], trust=trust)
    try:
        return run_script(source, folder / file, config)
    except ScriptFailed as error:
        raise InvalidModelFolder(
            folder, f"its script `{file}` {error}", next_step="See the cause above, correct it, and save it again."
        ) from error.__cause__


def _check_python(folder: Path, saved_with: object) -> None:
    """Pickled functions are the bytecode of one version of Python."""
    known = re.match(r"\d+\.\d+", f"{saved_with}")
    here = platform.python_version().rpartition(".")[0]
    if known and known[0] != here:
        warnings.warn(
            f"The model in {folder} was pickled by Python {known[0]}, and this is {here}; its functions may fail. "
            "Run that Python, or save the model from a script: `python_model='model.py'`",
            stacklevel=3,
        )
