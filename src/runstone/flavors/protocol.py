"""What a flavor is: a module with these names. And the options that saving has in every flavor."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypedDict, cast, runtime_checkable

from runstone.errors import UsageError
from runstone.flavors.signature import ModelSignature
from runstone.flavors.trust import Trust


class SaveArguments(TypedDict, total=False):
    """What the `save_model` of every flavor takes beside its own arguments, as `**options: Unpack[SaveArguments]`.

    Attributes:
        conda_env: A conda environment, or the path of one, in place of the requirements found.
        code_paths: Python files and folders that loading needs; they are copied into the model folder.
        signature: The types of inputs and outputs; None takes them from `input_example`, False leaves them out.
        input_example: Data that `predict` takes, or a pair of such data and params.
        pip_requirements: All requirements, or the path of a requirements file, in place of those found.
        extra_pip_requirements: Likewise, in addition to those found.
        metadata: Anything to keep in the MLmodel file.
        extra_files: Files and folders to keep in the model folder beside the weights, under `extra_files/`.
    """

    conda_env: Mapping[str, Any] | str | PathLike[str] | None
    code_paths: Sequence[str | PathLike[str]] | None
    signature: ModelSignature | Literal[False] | None
    input_example: Any
    pip_requirements: Sequence[str] | str | PathLike[str] | None
    extra_pip_requirements: Sequence[str] | str | PathLike[str] | None
    metadata: Mapping[str, Any] | None
    extra_files: Sequence[str | PathLike[str]] | None


class LogArguments(SaveArguments, total=False):
    """What the `log_model` of every flavor takes beside its own arguments, those of `SaveArguments` included.

    Attributes:
        name: MLflow 3's word for `artifact_path`.
        registered_model_name: Make the model a version of this one when the run ends.
        await_registration_for: For MLflow's signature only: there is nothing to wait for.
        params: Params of the run to record with it.
    """

    name: str | None
    registered_model_name: str | None
    await_registration_for: int | None
    params: Mapping[str, Any] | None


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
        extra_files: Files and folders to keep in the model folder beside the weights, under `extra_files/`.
        run_id: The run that logs the model.
        artifact_path: Where it lies among that run's artifacts.
    """

    signature: ModelSignature | Literal[False] | None = None
    input_example: Any = None
    pip_requirements: Sequence[str] | str | PathLike[str] | None = None
    extra_pip_requirements: Sequence[str] | str | PathLike[str] | None = None
    conda_env: Mapping[str, Any] | str | PathLike[str] | None = None
    code_paths: Sequence[str | PathLike[str]] | None = None
    metadata: Mapping[str, Any] | None = None
    extra_files: Sequence[str | PathLike[str]] | None = None
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

    @classmethod
    def of(cls, arguments: SaveArguments) -> Self:
        """The options that a caller of `save_model` gave as `**options`.

        Raises:
            TypeError: One of them does not exist, as Python says it of any function.
            UsageError: Two of them contradict each other.
        """
        check_arguments(arguments, SaveArguments.__optional_keys__, "save_model")
        known = {key: value for key, value in arguments.items() if key in SaveArguments.__optional_keys__}
        return cls(**cast(SaveArguments, known))


INSTEAD = {
    "export_model": "Say it by the format: `serialization_format='pt2'`",
    "infer_code_paths": "Name the code that the model needs: `code_paths=['my_package']`",
    "mlflow_model": "Keep what is to stand in the MLmodel file as `metadata`.",
    "model_card": "Keep a card as an artifact of the run: `runstone.log_artifact('README.md')`",
    "model_id": "A model has no id beside its run and its path. Name the path: `name='model'`",
    "model_type": "Keep it with the model, `metadata={'model_type': 'agent'}`, or as a tag of the run.",
    "pickle_module": "Modules are pickled with cloudpickle, and any pickle module reads that. Leave it out.",
    "prompts": "There is no registry of prompts. Log them as artifacts of the run: `runstone.log_text(...)`",
    "save_exported_model": "Export it, and log that: `model.export(path)`, then `runstone.files.log_model(path)`",
    "save_pretrained": "Weights are always saved, for what is on the Hub has no digest in git. Leave it out.",
    "step": "Keep each checkpoint under a path of its own, and its step with it: "
    "`log_model(model, name=f'model-{step}', metadata={'step': step})`",
    "tags": "Tag the run, `runstone.set_tags(...)`, or keep them with the model, `metadata={'tags': {...}}`",
}
"""What MLflow takes and we do not, and what to do instead. Their defaults change nothing, and are let through."""


def check_arguments(given: Mapping[str, object], known: Collection[str], function: str) -> None:
    """Refuse arguments that do not exist, since Python does not look into `**options`.

    Raises:
        TypeError: Nobody knows the argument.
        UsageError: It is one of MLflow's that we do without; the error says what to do instead.
    """
    for name, value in given.items():
        if name in known:
            continue
        if name not in INSTEAD:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        if value is not None and value is not (name == "save_pretrained"):  # where it is a switch: on only there
            raise UsageError(f"{function}() does not take MLflow's `{name}`. {INSTEAD[name]}")


class Predictor(Protocol):
    """A loaded model behind one face, whatever its library."""

    @property
    def raw(self) -> Any:
        """The model as its library knows it."""

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Answer for data that the signature has let through."""


@runtime_checkable
class StreamingPredictor(Predictor, Protocol):
    """A loaded model that can also answer piece by piece."""

    def predict_stream(self, data: Any, params: Mapping[str, Any]) -> Iterator[Any]:
        """Answer for one input, piece by piece."""


class Flavor(Protocol):
    """A module that saves and loads the models of one library.

    `save` may have further keyword-only options, each with a default. `load_pyfunc` may have the option `model_config`:
    the settings to load with, in place of those under `config` in the MLmodel file.
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
