"""Which MLflow this works with, and the one place that knows what its versions differ in.

The oldest and the newest version that are tested are 2.17 and 3.17. A newer 3.x is taken as it comes, since what MLflow
adds to its store interfaces within a major version has defaults; of a new major version nothing is known. Nothing of
MLflow is imported here before it is asked for.
"""

import inspect
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from runstone.errors import MlflowUnsupported

OLDEST = (2, 17)
NEXT_MAJOR = 4
LOGGED_MODELS_SINCE = (3, 0)


@cache
def installed() -> str | None:
    """The version of MLflow that is installed, whole or `mlflow-skinny`; None if none is."""
    for name in ("mlflow", "mlflow-skinny"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def check(found: str | None = None) -> None:
    """See that an MLflow is one to work with; where none is installed, there is nothing to see.

    Args:
        found: Its version; of the one that is installed if not given.

    Raises:
        MlflowUnsupported: It is older than 2.17, or of a major version that came later than 3.
    """
    found = found or installed()
    if found is not None and not OLDEST <= _numbers(found) < (NEXT_MAJOR,):
        raise MlflowUnsupported(found, is_old=_numbers(found) < OLDEST)


def is_since(number: tuple[int, int]) -> bool:
    """Whether the MLflow that is installed is of this version or a later one."""
    return _numbers(installed() or "") >= number


def has_logged_models() -> bool:
    """Whether MLflow keeps models as things of their own, with an id, beside runs."""
    return is_since(LOGGED_MODELS_SINCE)


def entity(name: str, module: str = "mlflow.entities") -> Any:
    """A class or function of MLflow's by its name; None where this version has none of the name."""
    try:
        return getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            return None
        raise


def made(call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
    """Call something of MLflow's with those of the options that this version knows."""
    known = _options(call)
    return call(*arguments, **({k: v for k, v in options.items() if k in known} if known is not None else options))


@cache
def _options(call: Callable[..., Any]) -> frozenset[str] | None:
    """The names of what it can be given; None if it takes any."""
    parameters = inspect.signature(call).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return frozenset(each.name for each in parameters)


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: `3.18.0rc1` is (3, 18)."""
    found = re.match(r"(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else ()
