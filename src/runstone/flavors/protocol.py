"""What a flavor is: a module with these names. And the options that saving has in every flavor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol

from runstone.errors import UsageError
from runstone.flavors.signature import ModelSignature
from runstone.flavors.trust import Trust


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """What is saved beside the weights. The names and meanings are MLflow's.

    Attributes:
        signature: The model's signature; None infers it from `input_example`, False leaves it out.
        input_example: Data that `predict` takes, or a pair of such data and params.
        pip_requirements: All requirements, or the path of a requirements file, in place of those found.
        extra_pip_requirements: Likewise, in addition to those found.
        conda_env: A conda environment, or the path of one, in place of all this.
        code_paths: Python files and folders that loading needs; they are copied into the model folder.
        metadata: Anything the caller wants to keep in the MLmodel file.
        run_id: The run that logs the model.
        artifact_path: Where it lies among that run's artifacts.
    """

    signature: ModelSignature | Literal[False] | None = None
    input_example: Any = None
    pip_requirements: Sequence[str] | str | PathLike[str] | None = None
    extra_pip_requirements: Sequence[str] | str | PathLike[str] | None = None
    conda_env: Mapping[str, Any] | str | PathLike[str] | None = None
    code_paths: Sequence[str | PathLike[str]] = ()
    metadata: Mapping[str, Any] | None = None
    run_id: str | None = None
    artifact_path: str | None = None

    def __post_init__(self) -> None:
        given = [
            name
            for name in ("conda_env", "pip_requirements", "extra_pip_requirements")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise UsageError(f"`{given[0]}` and `{given[1]}` contradict each other. Give one of them.")


class Predictor(Protocol):
    """A loaded model behind one face, whatever its library."""

    @property
    def raw(self) -> Any:
        """The model as its library knows it."""

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Answer for data that the signature has let through."""


class Flavor(Protocol):
    """A module of `runstone.flavors` that saves and loads the models of one library.

    `save` may have further keyword-only options, each with a default.
    """

    name: str
    """As in MLmodel files: `sklearn`."""

    def version(self) -> str | None:
        """The installed library's version; None if it is not installed."""

    def save(self, model: Any, folder: Path, options: SaveOptions = ...) -> None:
        """Write a model folder; `folder` must be new or empty."""

    def load(self, folder: Path, *, trust: Trust) -> Any:
        """The model as its library knows it."""

    def load_pyfunc(self, folder: Path, *, trust: Trust) -> Predictor:
        """The model behind `predict`."""
