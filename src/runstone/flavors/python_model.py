"""What a model of one's own is: the class to derive from, a function in its place, and what it finds when loaded.

These classes are written into pickles under the name `runstone.pyfunc`, so that this module may change its place.
MLflow calls them as it calls its own: by the names of their methods, without asking for their class.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runstone.errors import UsageError
from runstone.flavors.context import PythonModelContext
from runstone.flavors.hints import Hints, fit, input_schema, read_hints, takes_context, takes_params

_PUBLIC = PythonModelContext.__module__
_CHAT = frozenset({"ChatAgent", "ChatModel", "ResponsesAgent"})  # MLflow's, whose `predict` takes messages


class PythonModel:
    """A model of one's own: derive from it, and write `predict`.

    `predict` may leave out `context` and `params`. If the data is annotated as a list (`model_input: list[str]`), the
    model's signature is taken from that, and what `predict` is given is held against it.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        predict = cls.__dict__.get("predict")
        if inspect.isfunction(predict) and input_schema(hint := read_hints(predict).input) is not None:
            cls.predict = _fitted(predict, hint)  # type: ignore[method-assign]  # what it does is the same

    @property
    def predict_type_hints(self) -> Hints:
        """How the data and the answer of `predict` are annotated; MLflow asks for it."""
        return read_hints(self.predict)

    def _get_type_hints(self) -> Hints:
        """As `predict_type_hints`, which MLflow before 2.20 asks for so."""
        return self.predict_type_hints

    def load_context(self, context: PythonModelContext) -> None:
        """Get ready: called once when the model is loaded, as to read its artifacts."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Answer.

        Args:
            context: The artifacts and settings that the model was saved with.
            model_input: The data, as the signature has it: mostly a DataFrame.
            params: The params of the signature, the given ones and the others' defaults.
        """
        raise UsageError(
            f"`{type(self).__name__}` has no `predict(self, context, model_input, params=None)`. Write it."
        )

    def predict_stream(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Iterator[Any]:
        """Answer for one input piece by piece; as `predict`, and left out by models that do not."""
        raise UsageError(f"`{type(self).__name__}` has no `predict_stream(self, context, model_input, params=None)`.")

    def _predict_fitted(
        self,
        predict: Callable[..., Any],
        place: int,
        name: str,
        hint: Any,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> Any:
        """Call `predict` with its data as the hint has them. Pickles hold calls of this method."""
        if name in named:
            named = {**named, name: fit(named[name], hint)}
        elif len(arguments) > place:
            arguments = (*arguments[:place], fit(arguments[place], hint), *arguments[place + 1 :])
        return predict(self, *arguments, **named)


class FunctionModel(PythonModel):
    """A function as a model.

    Attributes:
        func: Takes the data, or the data and `params`.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        hint = read_hints(func).input
        self._hint = None if input_schema(hint) is None else hint
        self._takes_params = takes_params(func)

    @property
    def predict_type_hints(self) -> Hints:
        """How the data and the answer of the function are annotated."""
        return read_hints(self.func)

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """What the function answers; it is not told the context, which MLflow before 2.20 hands to every model."""
        data = model_input if self._hint is None else fit(model_input, self._hint)
        return self.func(data, params=params) if self._takes_params else self.func(data)


for _class in (PythonModel, FunctionModel):
    _class.__module__ = _PUBLIC


def as_python_model(given: Any) -> Any:
    """The model that a caller gave: an instance of `PythonModel`, ours or MLflow's, or a function.

    Raises:
        UsageError: It is neither, or the function takes other arguments.
    """
    if isinstance(given, type):
        raise UsageError(f"A model is an instance, and `{given.__name__}` is a class. Give `{given.__name__}()`.")
    if callable(getattr(given, "load_context", None)) and callable(getattr(given, "predict", None)):
        theirs = {kind.__name__ for kind in type(given).__mro__ if kind.__module__ == "mlflow.pyfunc.model"}
        if chat := sorted(theirs & _CHAT):
            raise UsageError(f"MLflow's {chat[0]} is no model for tables and lists. Derive from `PythonModel` instead.")
        return given
    if not callable(given):
        raise UsageError(
            f"A {type(given).__name__} is no model of one's own. Give an instance of `runstone.pyfunc.PythonModel`, a "
            "function of the data, or the path of a script that calls `runstone.models.set_model`."
        )
    try:
        names = list(inspect.signature(given).parameters)
    except ValueError:  # some functions that are written in C
        raise UsageError(f"{given!r} does not tell what it takes. Give a function of yours that calls it.") from None
    if len(names) != 1 and not (len(names) == 2 and names[1] == "params"):
        raise UsageError(
            f"A function as a model takes the data, or the data and `params`, and this one takes ({', '.join(names)})."
        )
    return FunctionModel(given)


def is_streaming(model: Any) -> bool:
    """Whether a model has a `predict_stream` of its own."""
    owner = next((kind for kind in type(model).__mro__ if "predict_stream" in vars(kind)), PythonModel)
    return owner.__module__ not in (_PUBLIC, "mlflow.pyfunc.model")


class PythonPredictor:
    """A model of one's own behind `predict`."""

    def __init__(self, raw: Any, context: PythonModelContext) -> None:
        self.raw, self.context = raw, context
        self._predict = self._caller(raw.predict)

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """What its `predict` answers, given what it asks for of context and params."""
        return self._predict(data, params)

    def predict_stream(self, data: Any, params: Mapping[str, Any]) -> Iterator[Any]:
        """What its `predict_stream` answers, likewise."""
        return iter(self._caller(self.raw.predict_stream)(data, params))

    def _caller(self, function: Callable[..., Any]) -> Callable[[Any, Mapping[str, Any]], Any]:
        """What the function asks for is found out once: it takes longer than many a prediction."""
        first = (self.context,) if takes_context(function) else ()
        if takes_params(function):
            return lambda data, params: function(*first, data, params=dict(params) or None)
        return lambda data, _: function(*first, data)


def _fitted(predict: Callable[..., Any], hint: Any) -> Callable[..., Any]:
    """The method, its data held against its hint. It names nothing of this module, for the sake of old pickles."""
    names = [name for name in inspect.signature(predict).parameters if name != "self"]
    place = 1 if takes_context(predict) else 0
    name = names[place]

    @functools.wraps(predict)
    def fitted(self: Any, *arguments: Any, **named: Any) -> Any:
        return self._predict_fitted(predict, place, name, hint, arguments, named)

    return fitted
