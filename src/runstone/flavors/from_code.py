"""Models from code: a script that makes the model, run when it is loaded, in place of a pickle.

The script says which object is the model by `set_model`, ours or MLflow's; and either runs it. So where MLflow is
loaded, its own place for the model is the only one that is used, by both; and so is its place for the settings.
"""

import itertools
import linecache
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

from runstone.errors import UsageError
from runstone.flavors.python_model import as_python_model
from runstone.records import yaml

_MODEL, _CONFIG = "mlflow.models.model", "mlflow.models.model_config"
_PLACES = ((_MODEL, "__mlflow_model__"), (_CONFIG, "__mlflow_model_config__"))

_model: ContextVar[Any] = ContextVar("model", default=None)
_config: ContextVar[Mapping[str, Any] | None] = ContextVar("config", default=None)  # None: no script is run
_one_at_a_time = threading.RLock()  # MLflow's places are of the process
_numbers = itertools.count()


class ScriptFailed(Exception):  # never seen by a caller
    """A script that raised, or made no model."""


def set_model(model: Any) -> None:
    """Say, in a script that is a model's code, which object is the model.

    Args:
        model: An instance of `PythonModel`, or a function of the data.

    Raises:
        UsageError: It is neither.
    """
    made = as_python_model(model)
    theirs = sys.modules.get(_MODEL)
    if theirs is None:
        _model.set(made)
    else:
        theirs.__mlflow_model__ = made  # type: ignore[attr-defined]  # MLflow reads it there


class ModelConfig:
    """The settings of a model, in a script that is its code.

    They are those that the model was saved or loaded with (`model_config`), and the ones given here only where the
    script is run by itself.
    """

    def __init__(self, *, development_config: Mapping[str, Any] | str | PathLike[str] | None = None) -> None:
        """Find the settings.

        Args:
            development_config: Settings, or the path of a YAML file with them, for a script that is run by itself.

        Raises:
            UsageError: There are none.
        """
        found: Any = _config.get()
        if found is None:
            found = getattr(sys.modules.get(_CONFIG), "__mlflow_model_config__", None)
        if found is None:
            found = development_config
        if not found:
            raise UsageError("The script asks for settings, and there are none. Save the model with `model_config`.")
        self.config = read_config(found)

    def to_dict(self) -> dict[str, Any]:
        """All settings."""
        return dict(self.config)

    def get(self, key: str) -> Any:
        """One setting; raises `KeyError` that tells which there are."""
        if key not in self.config:
            raise KeyError(f"no setting {key!r}; there are {', '.join(self.config)}")
        return self.config[key]


def read_config(given: Mapping[str, Any] | str | PathLike[str]) -> dict[str, Any]:
    """Settings that a caller gave, or the path of a YAML file with them; raises `UsageError`."""
    if isinstance(given, str | PathLike):
        if not Path(given).is_file():
            raise UsageError(f"`model_config`: there is no file {given}.")
        given = yaml.load(Path(given).read_bytes(), str(given))
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise UsageError("`model_config` must be a map whose keys are text, or a YAML file with one.")
    return dict(given)


def run_script(source: bytes, path: Path, config: Mapping[str, Any] | None) -> Any:
    """Run a script and return the model that it made.

    Args:
        source: The code, as it was checked.
        path: What the script finds as `__file__`, and tracebacks say.
        config: What it finds in `ModelConfig`.

    Raises:
        ScriptFailed: It raised, or made no model; the cause is what it raised.
    """
    module = ModuleType(f"runstone_model_{next(_numbers)}")
    module.__file__ = str(path)
    lines = source.decode(errors="replace").splitlines(keepends=True)
    sys.modules[module.__name__] = module  # dataclasses and pickle look there
    linecache.cache[str(path)] = (len(source), None, lines, str(path))  # the file may be gone when it fails
    try:
        with _one_at_a_time, _places(source, dict(config or {})):
            exec(compile(source, str(path), "exec"), vars(module))
            made = _made()
        model = None if made is None else as_python_model(made)
    except Exception as error:
        sys.modules.pop(module.__name__, None)
        raise ScriptFailed(f"raised {type(error).__name__}: {error}") from error
    if model is None:
        sys.modules.pop(module.__name__, None)
        raise ScriptFailed("made no model: it must call `runstone.models.set_model(model)`")
    with suppress(TypeError):  # a class with __slots__
        weakref.finalize(model, sys.modules.pop, module.__name__, None)
    return model


@contextmanager
def _places(source: bytes, config: dict[str, Any]) -> Iterator[None]:
    """Where a script leaves its model and finds its settings, ours and MLflow's, as they were again afterwards."""
    if b"mlflow" in source:  # it is about to import it, and must find the settings then
        with suppress(ModuleNotFoundError):
            import_module(_CONFIG)
            import_module(_MODEL)
    saved = [getattr(sys.modules.get(module), name, None) for module, name in _PLACES]
    tokens = _model.set(None), _config.set(config)
    _put([None, config or ""])  # this is MLflow's way to say that there are no settings
    try:
        yield
    finally:
        _put(saved)
        _model.reset(tokens[0])
        _config.reset(tokens[1])


def _put(values: list[Any]) -> None:
    """Put values into MLflow's places, where MLflow is loaded."""
    for (module, name), value in zip(_PLACES, values, strict=True):
        if module in sys.modules:
            setattr(sys.modules[module], name, value)


def _made() -> Any:
    """The model that the script which is being run has set."""
    theirs = getattr(sys.modules.get(_MODEL), "__mlflow_model__", None)
    return _model.get() if theirs is None else theirs
