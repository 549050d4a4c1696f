"""Working with MLflow: versions of it that cannot be, and servers of it that cannot begin."""

from runstone.errors.base import RunstoneError


class MlflowUnsupported(RunstoneError, ImportError):
    """The MLflow that is installed is too old or too new. An ImportError, which MLflow tells of a plug-in."""

    def __init__(self, version: str, *, is_old: bool) -> None:
        self.version, self.is_old = version, is_old
        step = "a newer one" if is_old else "one it knows, or a newer Runstone"
        super().__init__(
            f"MLflow {version} is too {'old' if is_old else 'new'} for Runstone, which works with 2.17 to 3.x. "
            f"Install {step}: `pip install 'mlflow>=2.17,<4'`"
        )
