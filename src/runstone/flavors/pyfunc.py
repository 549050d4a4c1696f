"""A loaded model behind one `predict`, whatever its library: the flavor `python_function`."""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runstone.errors import BrokenFlavor, InputMismatch, InvalidModelFolder, UnknownFlavor, UsageError
from runstone.flavors import get_flavor_by_loader, mlmodel, own_loader
from runstone.flavors.enforce import enforce_input, enforce_params
from runstone.flavors.example import read_example
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.protocol import Predictor, StreamingPredictor
from runstone.flavors.trust import Trust


class PyFuncModel:
    """A model that predicts; made by `load`.

    Data are held against the model's signature first: missing columns are an error that names them, extra
    ones are left out, numbers are widened where nothing is lost.
    """

    def __init__(
        self,
        metadata: MLmodel,
        predictor: Predictor,
        input_example: Any = None,
        model_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._metadata, self._predictor, self._input_example = metadata, predictor, input_example
        self._model_config = dict(model_config or {})

    @property
    def metadata(self) -> MLmodel:
        """What the model's MLmodel file says."""
        return self._metadata

    @property
    def input_example(self) -> Any:
        """The data that was saved as an example; None if there is none."""
        return self._input_example

    @property
    def model_config(self) -> dict[str, Any]:
        """The settings it was loaded with."""
        return dict(self._model_config)

    @property
    def loader_module(self) -> str:
        """Which library predicts, as MLflow names it."""
        return str(self._metadata.flavors[mlmodel.PYFUNC]["loader_module"])

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Predict.

        Args:
            data: A pandas DataFrame or Series, a numpy array, a map of arrays or lists, lists, or a scalar.
            params: Values for params of the signature; the others have their defaults.

        Returns:
            What the model answers, mostly an array: `(n_samples,)` or `(n_samples, n_outputs)`.

        Raises:
            InputMismatch: The data does not fit the signature.
        """
        is_own = self._metadata.extra.get("is_signature_from_type_hint") is True  # then the model checks it itself
        checked = data if is_own else self._enforce(data)
        if self._metadata.extra.get("type_hint_from_example") is True:
            checked = _like_example(checked, self._input_example)
        return self._predictor.predict(checked, enforce_params(params, self._metadata.get_params_schema()))

    def predict_stream(self, data: Any, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Predict for one input, piece by piece.

        Args:
            data: One input: text, a map, a number; or a list or table of one.
            params: As for `predict`.

        Raises:
            UsageError: The model does not answer so.
            InputMismatch: The data does not fit the signature, or is several inputs.
        """
        settings = self._metadata.flavors[mlmodel.PYFUNC]
        if not settings.get("streamable") or not isinstance(self._predictor, StreamingPredictor):
            raise UsageError("This model has no `predict_stream`. Call `predict`.")
        data = self._enforce(data)
        if _is_frame(data):
            data = data[0].tolist() if list(data.columns) == [0] else data.to_dict(orient="records")
        if isinstance(data, list):
            if len(data) != 1:
                raise InputMismatch(f"`predict_stream` takes one input, and these are {len(data)}")
            (data,) = data
        return self._predictor.predict_stream(data, enforce_params(params, self._metadata.get_params_schema()))

    def _enforce(self, data: Any) -> Any:
        schema = self._metadata.get_input_schema()
        return data if schema is None else enforce_input(data, schema)

    def unwrap_python_model(self) -> Any:
        """The model as its library knows it."""
        return self._predictor.raw

    def get_raw_model(self) -> Any:
        """The model as its library knows it."""
        return self._predictor.raw

    def __repr__(self) -> str:
        place = {"run_id": self._metadata.run_id, "artifact_path": self._metadata.artifact_path}
        known = "".join(f" {key}={value}" for key, value in place.items() if value is not None)
        return f"<PyFuncModel {self.loader_module}{known}>"


def load(folder: Path, *, trust: Trust, model_config: Mapping[str, Any] | None = None) -> PyFuncModel:
    """Load a model folder, ours or MLflow's, to predict with.

    The library is chosen from the table of known flavors. No module that the folder names is imported, but one that
    lies in it, and that git or the caller vouches for.

    Args:
        folder: The model folder.
        trust: Why it may be loaded.
        model_config: Values for settings that the model was saved with.

    Raises:
        UnknownFlavor: Its `loader_module` is not in the table.
        UntrustedModel: Its weights run code when loaded, and neither git nor the caller vouches for them.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood.
    """
    model = mlmodel.read(folder, trust=trust)
    settings = mlmodel.flavor_settings(folder, model, mlmodel.PYFUNC)
    config = _configured(folder, settings.get("config"), model_config)
    predictor = load_predictor(folder, model, trust=trust, model_config=config)
    try:
        example = read_example(folder, model, trust=trust)
    except InvalidModelFolder as error:  # the model predicts without it
        warnings.warn(str(error), stacklevel=2)
        example = None
    return PyFuncModel(model, predictor, example, config)


def load_predictor(
    folder: Path, model: MLmodel, *, trust: Trust, model_config: Mapping[str, Any] | None = None
) -> Predictor:
    """What predicts in a model folder, without the check of its input; raises as `load`.

    Args:
        folder: The model folder.
        model: Its MLmodel file.
        trust: Why it may be loaded.
        model_config: Settings in place of those that the model was saved with.
    """
    settings = mlmodel.flavor_settings(folder, model, mlmodel.PYFUNC)
    loader = settings.get("loader_module")
    if not isinstance(loader, str):
        raise InvalidModelFolder(folder, f"in `{mlmodel.FILE}`, `flavors.{mlmodel.PYFUNC}.loader_module` is missing")
    load_pyfunc: Callable[..., Predictor]
    try:
        load_pyfunc = get_flavor_by_loader(loader).load_pyfunc
    except (UnknownFlavor, BrokenFlavor):
        if not own_loader.has_loader(folder, settings, trust):
            raise
        load_pyfunc = own_loader.load_pyfunc
    takes_config = model_config is not None and "model_config" in inspect.signature(load_pyfunc).parameters
    return load_pyfunc(folder, trust=trust, **({"model_config": model_config} if takes_config else {}))


def _configured(folder: Path, saved: object, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings to load with: the caller chooses values, and whoever saved the model, which settings there are."""
    if saved is not None and not isinstance(saved, Mapping):
        raise InvalidModelFolder(folder, f"in `{mlmodel.FILE}`, `flavors.{mlmodel.PYFUNC}.config` must be a map")
    config = dict(saved or {})
    unknown = [key for key in given or {} if key not in config]
    if unknown:
        have = ", ".join(config) or "none"
        warnings.warn(f"The settings {unknown} are ignored: the model was saved with {have}.", stacklevel=3)
    return config | {key: value for key, value in (given or {}).items() if key in config}


def _is_frame(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _like_example(data: Any, example: Any) -> Any:
    """A table in the form of the example, for models whose hint says so: MLflow's `TypeFromExample`."""
    if not _is_frame(data) or example is None or _is_frame(example):
        return data
    if isinstance(example, list):
        is_plain = len(data.columns) == 1 and not any(isinstance(row, list | dict) for row in example)
        return data.iloc[:, 0].tolist() if is_plain else data.to_dict(orient="records")
    return data
