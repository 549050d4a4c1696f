"""The file MLmodel: what a model folder says of itself. Laid out as MLflow does, read with suspicion."""

import json
import platform
import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, InvalidSignature, RecordInvalid
from runstone.flavors.environment import PYFUNC_ENV
from runstone.flavors.schema import ParamSchema, Schema
from runstone.flavors.signature import ModelSignature
from runstone.flavors.trust import Trust
from runstone.records import yaml
from runstone.records.document import Document, Reader

FILE = "MLmodel"
PYFUNC = "python_function"

MAX_SIZE = 2 * 1024 * 1024
"""Bytes an MLmodel file may have: a signature of 10,000 columns fits, and reading it takes seconds, not a minute."""

MLFLOW_VERSION = "3.11.0"
"""The MLflow whose layout we write; MLflow takes a file without a version for an older one."""


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What an MLmodel file says. Of each flavor its own settings, by the flavor's name.

    Attributes:
        flavors: Settings of each flavor; `python_function` says how to predict whatever the library.
        signature: Types of inputs, outputs and params.
        run_id: The run that logged the model.
        artifact_path: Where it lies among that run's artifacts.
        saved_input_example_info: Where the input example lies, and in which shape.
        metadata: What the caller wanted to keep.
        model_size_bytes: Bytes of all files but this one and those of the environment.
        model_uuid: Different for every saving.
        utc_time_created: When it was saved.
        mlflow_version: The MLflow whose layout it has.
        extra: Keys that Runstone does not use, carried through.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    signature: ModelSignature | None = None
    run_id: str | None = None
    artifact_path: str | None = None
    saved_input_example_info: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    model_size_bytes: int | None = None
    model_uuid: str | None = field(default_factory=lambda: uuid.uuid4().hex)
    utc_time_created: str | None = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}")
    mlflow_version: str | None = MLFLOW_VERSION
    extra: Document = field(default_factory=dict)

    def get_input_schema(self) -> Schema | None:
        """The signature's inputs, if it has any."""
        return self.signature.inputs if self.signature else None

    def get_output_schema(self) -> Schema | None:
        """The signature's outputs, if it has any."""
        return self.signature.outputs if self.signature else None

    def get_params_schema(self) -> ParamSchema | None:
        """The signature's params, if it has any."""
        return self.signature.params if self.signature else None

    def to_yaml(self) -> str:
        """The text of the file; raises `InvalidValue` if the metadata holds what YAML cannot."""
        document: Document = {
            "artifact_path": self.artifact_path,
            "flavors": self.flavors,
            "metadata": self.metadata,
            "mlflow_version": self.mlflow_version,
            "model_size_bytes": self.model_size_bytes,
            "model_uuid": self.model_uuid,
            "run_id": self.run_id,
            "saved_input_example_info": self.saved_input_example_info,
            "signature": self.signature.to_dict() if self.signature else None,
            "utc_time_created": self.utc_time_created,
        }
        return yaml.dump({key: value for key, value in document.items() if value is not None} | self.extra)


def write(folder: Path, model: MLmodel) -> None:
    """Write the file.

    Writes:
        `MLmodel` in the folder.

    Raises:
        InvalidModelFolder: It is larger than what is read again.
    """
    data = model.to_yaml().encode()
    if len(data) > MAX_SIZE:
        raise InvalidModelFolder(
            folder,
            f"its `{FILE}` would be larger than {MAX_SIZE // 1024**2} MiB",
            next_step="Nothing was written. Keep less `metadata`, or take a tensor for a signature of so many columns.",
        )
    (folder / FILE).write_bytes(data)


def read(folder: Path, *, trust: Trust = Trust()) -> MLmodel:  # noqa: B008  # frozen, and trusts nothing
    """Read the file.

    Raises:
        InvalidModelFolder: There is none, or it cannot be understood.
        ModelFileChanged: It is not the recorded one.
    """
    reader = _open(folder, trust)
    try:
        signature = reader.take("signature", dict)
        return MLmodel(
            flavors=_flavors(reader),
            signature=_signature(signature),
            run_id=reader.take("run_id", str),
            artifact_path=reader.take("artifact_path", str),
            saved_input_example_info=reader.take("saved_input_example_info", dict),
            metadata=reader.take("metadata", dict),
            model_size_bytes=reader.take("model_size_bytes", int),
            model_uuid=reader.take("model_uuid", str),
            utc_time_created=reader.take("utc_time_created", str),
            mlflow_version=reader.take("mlflow_version", str),
            extra=reader.extra(),
        )
    except RecordInvalid as error:
        raise InvalidModelFolder(folder, f"in `{FILE}`, {error.problem}") from None
    except InvalidSignature as error:
        raise InvalidModelFolder(folder, f"in `{FILE}`, the signature cannot be used: {error.why}") from None


def describe(folder: Path) -> tuple[tuple[str, ...], Document | None]:
    """What the registry records of a model folder, read without any model library.

    Returns:
        The names of its flavors, `python_function` last, and its signature as plain lists and maps.

    Raises:
        InvalidModelFolder: The folder's MLmodel file is missing or cannot be understood.
    """
    reader = _open(folder, Trust())
    try:
        names = sorted(_flavors(reader), key=lambda name: (name == PYFUNC, name))
        signature = reader.take("signature", dict)
        parts = {key: json.loads(text) for key, text in (signature or {}).items() if isinstance(text, str)}
    except RecordInvalid as error:
        raise InvalidModelFolder(folder, f"in `{FILE}`, {error.problem}") from None
    except (ValueError, RecursionError):
        raise InvalidModelFolder(folder, f"in `{FILE}`, a part of `signature` is not JSON") from None
    return tuple(names), parts or None


def flavor_settings(folder: Path, model: MLmodel, name: str) -> Mapping[str, Any]:
    """The settings of one flavor; raises `InvalidModelFolder` if the model was not saved in it."""
    if name not in model.flavors:
        raise InvalidModelFolder(
            folder,
            f"it has no flavor `{name}`, but {', '.join(f'`{flavor}`' for flavor in model.flavors)}",
            next_step="Load it with a flavor that it has.",
        )
    return model.flavors[name]


def pyfunc_settings(*, loader_module: str, code: str | None = None, **of_flavor: Any) -> dict[str, Any]:
    """The settings of the flavor `python_function`: how to predict whatever the library.

    Args:
        loader_module: As MLflow names it, `mlflow.<flavor>`, so that MLflow finds it.
        code: The folder of the model's code, if it has any.
        of_flavor: What MLflow's loader of that flavor reads beside it, such as `data` or `model_path` (the weights,
            relative to the folder), `predict_fn` or `config`; None is left out.
    """
    settings = {
        "env": dict(PYFUNC_ENV),
        "loader_module": loader_module,
        "python_version": platform.python_version(),
        "code": code,
        **of_flavor,
    }
    return {key: value for key, value in settings.items() if value is not None}


def _open(folder: Path, trust: Trust) -> Reader:
    if not folder.is_dir():
        raise InvalidModelFolder(folder, "there is no such folder", next_step="Check the path.")
    data = trust.read(folder, FILE, limit=MAX_SIZE)
    try:
        return Reader(deepcopy(_parse(data)), FILE)
    except RecordInvalid as error:
        raise InvalidModelFolder(folder, f"in `{FILE}`, {error.problem}") from None


@lru_cache(maxsize=1)
def _parse(data: bytes) -> Any:
    """What the file holds. A flavor, `pyfunc` and a server each ask for it in turn, and it is parsed once."""
    return yaml.load(data, FILE)


def _flavors(reader: Reader) -> dict[str, dict[str, Any]]:
    flavors = reader.need("flavors", dict)
    for name, settings in flavors.items():
        if not isinstance(settings, dict):
            raise reader.fail(f"flavors.{name}", "must be a map")
    return flavors


def _signature(document: Document | None) -> ModelSignature | None:
    if document is None or not any(document.get(key) for key in ("inputs", "outputs", "params")):
        return None
    return ModelSignature.from_dict(document)
