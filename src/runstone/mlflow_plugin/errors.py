"""Errors as MLflow's clients know them: what leaves a store is an MlflowException with the code of ours."""

from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from typing import Any, TypeVar

from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, ErrorCode

from runstone.errors import RunstoneError

C = TypeVar("C", bound=type)
_MARK = "_speaks_mlflow"


class SpeaksMlflow:
    """What the parts of a store derive from: whatever they define raises errors that MLflow knows."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        speak_mlflow(cls)


def speak_mlflow(cls: C) -> C:
    """Have every method that a class itself defines raise MlflowException where it would raise a RunstoneError."""
    for name, member in list(vars(cls).items()):
        if isfunction(member) and not name.startswith("__") and not hasattr(member, _MARK):
            setattr(cls, name, _translated(member))
    return cls


def to_mlflow(error: RunstoneError) -> MlflowException:
    """The error as MLflow would raise it: the same words, and the code that the class names.

    What a server answers with 5xx its clients ask for again, two minutes long, and then say that they did, and not what
    was wrong. None of our errors goes away by that, so one whose code means 5xx is a BAD_REQUEST there.
    """
    is_told = ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 500) < 500
    return MlflowException(str(error), error_code=ErrorCode.Value(error.error_code) if is_told else BAD_REQUEST)


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def speaking(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except RunstoneError as error:
            raise to_mlflow(error) from error

    setattr(speaking, _MARK, True)
    return speaking
