"""A model's signature, under the name that `mlflow.models.signature` has for it."""

from runstone.flavors.signature import ModelSignature, infer_signature

__all__ = ["ModelSignature", "infer_signature"]
