"""A model's signature: what goes in, what comes out, what params `predict` takes; inferred, written, read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runstone.errors import InvalidSignature
from runstone.flavors.schema import ParamSchema, Schema


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """The types of a model's inputs, outputs and params; at least one of them is known."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: ParamSchema | None = None

    def __post_init__(self) -> None:
        if self.inputs is None and self.outputs is None and self.params is None:
            raise InvalidSignature("it has neither inputs nor outputs nor params")

    def to_dict(self) -> dict[str, str | None]:
        """The signature as an MLmodel file holds it: each part JSON text, or None.

        Source: MLflow's MLmodel format, "Model Signature".
        """
        return {
            "inputs": self.inputs.to_json() if self.inputs else None,
            "outputs": self.outputs.to_json() if self.outputs else None,
            "params": self.params.to_json() if self.params else None,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "ModelSignature":
        """The inverse of `to_dict`; raises `InvalidSignature`."""
        inputs, outputs, params = (document.get(key) for key in ("inputs", "outputs", "params"))
        return cls(
            Schema.from_json(inputs) if inputs else None,
            Schema.from_json(outputs) if outputs else None,
            ParamSchema.from_json(params) if params else None,
        )


def infer_signature(
    model_input: Any = None, model_output: Any = None, params: dict[str, Any] | None = None
) -> ModelSignature:
    """The signature of a model, from examples of its data.

    Args:
        model_input: What the model is given: a pandas DataFrame or Series, a numpy array, a map of arrays, a
            scipy CSR or CSC matrix, or plain lists, maps and scalars.
        model_output: What it answers, likewise.
        params: Params of `predict` and their defaults: scalars, flat lists, maps.

    Returns:
        The signature. Input or output whose type cannot be told is `any`, with a warning that says why.

    Raises:
        InvalidSignature: The params have no type, or nothing was given.

    Source: MLflow's documentation, "Model Signatures": the same data gives the same signature.
    """
    from runstone.flavors.infer import infer_or_any, infer_params

    return ModelSignature(
        None if model_input is None else infer_or_any(model_input, "input"),
        None if model_output is None else infer_or_any(model_output, "output"),
        infer_params(params) if params else None,
    )
