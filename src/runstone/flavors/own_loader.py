"""Models that bring a module to load them: MLflow's `loader_module` and `data_path`.

The module is code that lies in the model folder, and is run only if git or the caller vouches for it. A module that
is merely installed is never imported on the word of a model folder: that takes a plug-in (see `runstone.flavors`).
"""

import importlib
import inspect
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import mlmodel
from runstone.flavors.code import add_code
from runstone.flavors.from_code import read_config
from runstone.flavors.kept import Owner, keep, keep_all
from runstone.flavors.mlmodel import flavor_settings, pyfunc_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, save_folder
from runstone.flavors.trust import Trust

DATA = "data"


def save(
    loader_module: str,
    folder: Path,
    options: SaveOptions,
    *,
    data_path: str | PathLike[str] | None = None,
    model_config: Mapping[str, Any] | str | PathLike[str] | None = None,
    streamable: bool | None = None,
) -> None:
    """Save data and the module that makes a model of it, which MLflow loads too.

    Args:
        loader_module: A module in `code_paths`; its `_load_pyfunc(data_path)` returns what has `predict(data)`.
        folder: Where; it must be new or empty.
        options: What is saved beside it, `code_paths` among them.
        data_path: A file or folder; without it the module is given the model folder.
        model_config: Settings; if there are some, `_load_pyfunc(data_path, model_config)` is called.
        streamable: Whether what it returns has `predict_stream`.

    Writes:
        The folder: MLmodel, data, code, requirements.txt, python_env.yaml, conda.yaml, input example.

    Raises:
        UsageError: The module is not in `code_paths`, or there is no such data.
        InvalidModelFolder: The folder is not empty.
    """
    data = None if data_path is None else Path(data_path)
    if data is not None and not data.exists():
        raise UsageError(f"`data_path`: there is no {data}.")
    config = None if model_config is None else read_config(model_config)

    def write(target: Path, code: str | None) -> Weights:
        if code is None or _find(loader_module, lambda file: (target / code / file).is_file()) is None:
            raise UsageError(f"`loader_module`: {loader_module} is not in `code_paths`. Give its file or folder there.")
        place = None if data is None else f"{DATA}/{data.resolve().name}"
        if data is not None and place is not None:
            (target / DATA).mkdir()
            if data.is_dir():
                shutil.copytree(data, target / place)
            else:
                shutil.copyfile(data, target / place)
        return Weights(
            settings=pyfunc_settings(
                loader_module=loader_module, code=code, data=place, config=config or None, streamable=bool(streamable)
            ),
            requirements=[],
            predict=lambda example: load_pyfunc(target, trust=Trust(allow_pickle=True)).predict(example, {}),
        )

    save_folder(folder, mlmodel.PYFUNC, options, write)


def has_loader(folder: Path, settings: Mapping[str, Any], trust: Trust) -> bool:
    """Whether the module that a model folder names lies in its own code."""
    code, module = settings.get("code"), settings.get("loader_module")
    if not isinstance(code, str) or not isinstance(module, str):
        return False
    digests = trust.digests
    root = PurePosixPath(code)

    def is_there(file: str) -> bool:
        return (folder / root / file).is_file() if digests is None else str(root / file) in digests

    return _find(module, is_there) is not None


@dataclass(frozen=True, slots=True)
class OwnPredictor:
    """What a loader module of a model folder returned, behind `predict`."""

    raw: Any
    owner: Owner

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What its `predict` answers; params are passed on if it has a place for them."""
        return _call(self.raw.predict, data, params)

    def predict_stream(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What its `predict_stream` answers, likewise."""
        return iter(_call(self.raw.predict_stream, data, params))


def load_pyfunc(folder: Path, *, trust: Trust, model_config: Mapping[str, Any] | None = None) -> OwnPredictor:
    """The model behind `predict`.

    Args:
        folder: The model folder.
        trust: Why it may be loaded.
        model_config: Settings in place of those that it was saved with.

    Raises:
        UntrustedModel: Neither git nor the caller vouches for its code.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or its code fails.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), mlmodel.PYFUNC)
    name = f"{settings.get('loader_module')}"
    code = add_code(folder, settings.get("code"), trust=trust)
    config = settings.get("config") if model_config is None else model_config
    owner = Owner()
    # Without data the module is given the folder itself, as by MLflow.
    if settings.get("data") is None:
        path = keep_all(folder, trust=trust, owner=owner)
    else:
        path = keep(folder, settings["data"], trust=trust, owner=owner)
    try:
        module = importlib.import_module(name)
        if Path(f"{module.__file__}").is_relative_to(code):
            return OwnPredictor(module._load_pyfunc(str(path), *([dict(config)] if config else [])), owner)
    except Exception as error:
        raise InvalidModelFolder(
            folder,
            f"its module `{name}` raised {type(error).__name__}: {error}",
            next_step="See the cause above, correct it, and save the model again.",
        ) from error
    raise InvalidModelFolder(
        folder,
        f"its module `{name}` was not imported, since {module.__file__} is imported already",
        next_step="Load it in another process, or save it with a module of another name.",
    )


def _find(module: str, is_there: Callable[[str], bool]) -> str | None:
    """The file of a module below a folder of code, if it is there."""
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    path = module.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if is_there(file)), None)


def _call(function: Callable[..., Any], data: Any, params: Mapping[str, Any]) -> Any:
    return function(data, params=dict(params)) if "params" in inspect.signature(function).parameters else function(data)
