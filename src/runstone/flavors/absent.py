"""What MLflow has and Runstone has not by itself, told with where it is."""

from collections.abc import Callable
from sys import modules
from typing import NoReturn

_IN_MLFLOW = {"autolog", "enable_system_metrics_logging", "disable_system_metrics_logging"}


def absent(module: str) -> Callable[[str], NoReturn]:
    """A module's `__getattr__`: it has no such name, and of some it is said where they are."""

    def refuse(name: str) -> NoReturn:
        message = f"module {module!r} has no attribute {name!r}"
        if name in _IN_MLFLOW:
            message += (
                ". MLflow has it, and tracks to this repository with it: `pip install 'runstone[mlflow]'`, "
                "`export MLFLOW_TRACKING_URI=runstone:.`, and `import mlflow`"
            )
        raise AttributeError(message, name=name, obj=modules[module])  # from which Python tells what is alike

    return refuse
