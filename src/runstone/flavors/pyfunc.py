"""A loaded model behind one `predict`, whatever its library: the flavor `python_function`."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder
from runstone.flavors import get_flavor_by_loader, mlmodel
from runstone.flavors.enforce import enforce_input, enforce_params
from runstone.flavors.example import read_example
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.protocol import Predictor
from runstone.flavors.trust import Trust


class PyFuncModel:
    """A model that predicts; made by `load`.

    Data are held against the model's signature first: missing columns are an error that names them, extra
    ones are left out, numbers are widened where nothing is lost.
    """

    def __init__(self, metadata: MLmodel, predictor: Predictor, input_example: Any = None) -> None:
        self._metadata, self._predictor, self._input_example = metadata, predictor, input_example

    @property
    def metadata(self) -> MLmodel:
        """What the model's MLmodel file says."""
        return self._metadata

    @property
    def input_example(self) -> Any:
        """The data that was saved as an example; None if there is none."""
        return self._input_example

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
        schema = self._metadata.get_input_schema()
        if schema is not None:
            data = enforce_input(data, schema)
        return self._predictor.predict(data, enforce_params(params, self._metadata.get_params_schema()))

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


def load(folder: Path, *, trust: Trust) -> PyFuncModel:
    """Load a model folder, ours or MLflow's, to predict with.

    The library is chosen from the table of known flavors; nothing that the folder names is imported.

    Raises:
        UnknownFlavor: Its `loader_module` is not in the table.
        UntrustedModel: Its weights run code when loaded, and neither git nor the caller vouches for them.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood.
    """
    model = mlmodel.read(folder, trust=trust)
    loader = mlmodel.flavor_settings(folder, model, mlmodel.PYFUNC).get("loader_module")
    if not isinstance(loader, str):
        raise InvalidModelFolder(folder, f"in `{mlmodel.FILE}`, `flavors.{mlmodel.PYFUNC}.loader_module` is missing")
    predictor = get_flavor_by_loader(loader).load_pyfunc(folder, trust=trust)
    try:
        example = read_example(folder, model, trust=trust)
    except InvalidModelFolder as error:  # the model predicts without it
        warnings.warn(str(error), stacklevel=2)
        example = None
    return PyFuncModel(model, predictor, example)
