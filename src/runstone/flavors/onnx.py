"""ONNX models as model folders.

An ONNX file is data: it is loaded from anywhere, without trust. Two things in the folder beside it are not: the
options of execution providers and sessions, which may name libraries to load and files to write, so they are
heeded only if git or the caller vouches for the folder; and tensors in files beside it, whose names are checked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from runstone.errors import InputMismatch, InvalidModelFolder, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.code import add_code
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "onnx"

WEIGHTS = "model.onnx"
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""What predicts if nothing is said, best first; those that are not there are passed over."""

_CPU = "CPUExecutionProvider"
_LOCAL = (*PROVIDERS, "CoreMLExecutionProvider", "DmlExecutionProvider", "ROCMExecutionProvider")
"""What a stranger's model may choose from: others send data to a service, or keep files."""

_UNLOADABLE = "Fail InvalidArgument InvalidGraph InvalidProtobuf NoSuchFile NotImplemented RuntimeException".split()
_SESSION_OPTIONS = (
    "inter_op_num_threads",
    "intra_op_num_threads",
    "execution_mode",
    "graph_optimization_level",
    "extra_session_config",
)


def version() -> str | None:
    """The installed onnx; None if there is none."""
    return environment.installed_version("onnx")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    onnx_execution_providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
    onnx_session_options: Mapping[str, Any] | None = None,
    save_as_external_data: bool = True,
) -> None:
    """Save an ONNX model as a model folder, which MLflow loads too.

    Args:
        model: An `onnx.ModelProto`.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.
        onnx_execution_providers: What ONNX Runtime predicts with, best first: names, or pairs of a name and options.
        onnx_session_options: `execution_mode`, `graph_optimization_level`, `inter_op_num_threads`,
            `intra_op_num_threads` and `extra_session_config` of the session.
        save_as_external_data: Keep tensors of a kilobyte and more in a file of their own, as a model of more than
            2 GiB must.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: An option is not understood, or the model is no ONNX model.
        InvalidModelFolder: The folder is not empty.
        MissingLibrary: onnx is not installed.
    """
    onnx = library("onnx", "save an ONNX model")
    if not isinstance(model, onnx.ModelProto):
        raise UsageError(f"An ONNX model is an `onnx.ModelProto`, and this is a {type(model).__name__}.")
    unknown = [key for key in onnx_session_options or () if key not in _SESSION_OPTIONS]
    if unknown:
        raise UsageError(f"`onnx_session_options` may have {', '.join(_SESSION_OPTIONS)}, and has {unknown}.")
    providers = [p if isinstance(p, str) else [p[0], dict(p[1])] for p in onnx_execution_providers or PROVIDERS]
    session_options = dict(onnx_session_options or {}) or None

    def write(target: Path, code: str | None) -> Weights:
        del code
        if save_as_external_data:
            written = onnx.ModelProto()
            written.CopyFrom(model)  # onnx moves the tensors out of what it writes
            onnx.save_model(written, target / WEIGHTS, save_as_external_data=True, location=f"{WEIGHTS}.data")
        else:
            onnx.save_model(model, target / WEIGHTS)

        def predict(data: Any) -> Any:
            return _predictor(str(target / WEIGHTS), providers, session_options).predict(data, {})

        runtime = environment.installed_version("onnxruntime")
        return Weights(
            settings={
                "data": WEIGHTS,
                "onnx_version": version(),
                "onnxruntime_version": runtime,  # MLflow has no such key; what predicts is the runtime
                "onnx_session_options": session_options,
                "providers": providers,
            },
            requirements=["onnx", "onnxruntime", "numpy"],
            pyfunc={"loader_module": "mlflow.onnx", "data": WEIGHTS},
            predict=predict if runtime else None,
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The `onnx.ModelProto` of a model folder, be it ours or MLflow's, its tensors with it.

    Raises:
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, is of another flavor, or holds no valid ONNX model.
        MissingLibrary: onnx is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "onnx", settings.get("onnx_version"))
    onnx = library("onnx", "load this model")
    with _model_file(folder, settings.get("data"), trust) as source:
        try:
            onnx.checker.check_model(source)
            return onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load_model(source)
        except (onnx.checker.ValidationError, ValueError) as error:
            why = f"{error}".strip().rstrip(".")
            raise InvalidModelFolder(folder, f"`{settings.get('data')}` is no valid ONNX model: {why}") from None


@dataclass(frozen=True, slots=True)
class OnnxPredictor:
    """An ONNX Runtime session behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Predict.

        Args:
            data: A map of the model's inputs; an array, if it has one input; or a DataFrame, whose columns are the
                inputs, or together the one input.
            params: None are passed on.

        Returns:
            A map of the model's outputs; of a DataFrame a DataFrame with a column for each.

        Raises:
            InputMismatch: The data are not what the model takes.
        """
        import numpy

        inputs = {each.name: each.type for each in self.raw.get_inputs()}
        is_frame = hasattr(data, "columns")
        if isinstance(data, Mapping):
            feed = {key: numpy.asarray(value) for key, value in data.items()}
        elif len(inputs) == 1:
            feed = {next(iter(inputs)): data.to_numpy() if is_frame else numpy.asarray(data)}
        elif is_frame and set(inputs) <= set(data.columns):
            feed = {key: data[key].to_numpy() for key in inputs}
        else:
            raise InputMismatch(
                f"the model takes {list(inputs)}: give a map of them, or a DataFrame with these columns"
            )
        for key, value in feed.items():
            if inputs.get(key) == "tensor(float)" and value.dtype == numpy.float64:
                feed[key] = value.astype(numpy.float32)  # as JSON and pandas widen what was float32 at the start
        names = [each.name for each in self.raw.get_outputs()]
        refused = _refusals("InvalidArgument", "RuntimeException", "Fail")
        try:
            found = self.raw.run(names, feed)
        except refused as error:
            raise InputMismatch(f"ONNX Runtime refuses it: {error}".rstrip(".")) from None
        return _to_frame(names, found) if is_frame else dict(zip(names, found, strict=True))


def load_pyfunc(folder: Path, *, trust: Trust) -> OnnxPredictor:
    """The model in an ONNX Runtime session behind `predict`; raises as `load`."""
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "onnxruntime", settings.get("onnxruntime_version"))
    if settings.get("code") and trust.runs_code:
        add_code(folder, settings["code"], trust=trust)
    providers, options = settings.get("providers"), settings.get("onnx_session_options")
    if not trust.runs_code:
        names = [each if isinstance(each, str) else each[0] for each in _list(providers) if each]
        providers = [each for each in names if each in _LOCAL]
        options = {key: value for key, value in (options or {}).items() if key != "extra_session_config"}
    library("onnxruntime", "predict with this model")
    refused = _refusals(*_UNLOADABLE)
    with _model_file(folder, settings.get("data"), trust) as source:
        try:
            return _predictor(source, providers, options)
        except refused as error:
            why = f"{error}".rstrip(".")
            raise InvalidModelFolder(folder, f"ONNX Runtime cannot load `{settings.get('data')}`: {why}") from None


def _list(providers: object) -> list[Any]:
    return [providers] if isinstance(providers, str) else list(providers) if isinstance(providers, list) else []


def _predictor(source: bytes | str, providers: object, options: Mapping[str, Any] | None) -> OnnxPredictor:
    runtime = library("onnxruntime", "predict with this model")
    given = options or {}
    session = runtime.SessionOptions()
    for key in ("inter_op_num_threads", "intra_op_num_threads"):
        if given.get(key):
            setattr(session, key, int(given[key]))
    if given.get("execution_mode"):
        session.execution_mode = getattr(runtime.ExecutionMode, f"ORT_{given['execution_mode'].upper()}")
    if given.get("graph_optimization_level"):
        session.graph_optimization_level = runtime.GraphOptimizationLevel(given["graph_optimization_level"])
    for key, value in (given.get("extra_session_config") or {}).items():
        session.add_session_config_entry(str(key), str(value))
    available = runtime.get_available_providers()
    wanted = [each if isinstance(each, str) else tuple(each) for each in _list(providers) or PROVIDERS]
    usable = [each for each in wanted if (each if isinstance(each, str) else each[0]) in available]
    return OnnxPredictor(runtime.InferenceSession(source, session, providers=usable or [_CPU]))


def _refusals(*kinds: str) -> tuple[type[Exception], ...]:
    """ONNX Runtime's errors of these kinds, which have no base in common, and what Python says of wrong options."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (TypeError, ValueError, KeyError, AttributeError, *(getattr(errors, kind) for kind in kinds))


def _to_frame(names: Sequence[str], found: Sequence[Any]) -> Any:
    """Outputs as columns: one value a row as MLflow has it; several values a row as a list, where MLflow fails."""
    import numpy
    import pandas

    flat = {key: numpy.asarray(value).reshape(-1) for key, value in zip(names, found, strict=True)}
    if len({len(value) for value in flat.values()}) == 1:
        return pandas.DataFrame(flat)
    return pandas.DataFrame({key: list(value) for key, value in zip(names, found, strict=True)})


@contextmanager
def _model_file(folder: Path, path: object, trust: Trust) -> Iterator[bytes | str]:
    """The bytes of the model; or, if it has tensors in other files, a private copy of all these."""
    data = trust.read(folder, path)
    locations = _external_files(folder, str(path), data)
    if not locations:
        yield data
        return
    place = PurePosixPath(str(path))
    with TemporaryDirectory(prefix="runstone-") as temporary:
        private = Path(temporary).resolve()  # ONNX takes no path that leads through a link
        (private / place.name).write_bytes(data)
        for location in locations:
            trust.copy(folder, str(place.parent / location), private / location)
        yield str(private / place.name)


def _external_files(folder: Path, path: str, data: bytes) -> list[str]:
    """The files beside the model that its tensors lie in, none of which is above it.

    A tensor names its file under the key `location`, so a file without this word needs no second look. With it,
    the onnx library reads the names, since ONNX Runtime would open them from wherever the process is.
    """
    if b"location" not in data:
        return []
    onnx = library("onnx", "load a model whose tensors may lie in files of their own")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has an error of its own, in one of several implementations
        raise InvalidModelFolder(folder, f"`{path}` is no ONNX model: {error}") from None
    named = {
        entry.value
        for tensor in _tensors(model)
        if onnx.external_data_helper.uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for location in named:
        if PurePosixPath(location).is_absolute() or ".." in PurePosixPath(location).parts or not location:
            raise InvalidModelFolder(folder, f"`{path}` names the file {location!r}, which leaves the folder")
    return sorted(named)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor, wherever it stands: onnx's own list of them leaves out what sparse ones are made of."""
    waiting = [model]
    while waiting:
        message = waiting.pop()
        if message.DESCRIPTOR.name == "TensorProto":
            yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)
