"""What a signature is made of, for those who write one by hand: MLflow's `mlflow.types` and `mlflow.types.schema`.

from runstone.models import ModelSignature
from runstone.types import ColSpec, Schema

signature = ModelSignature(inputs=Schema([ColSpec("double", "age")]), outputs=Schema([ColSpec("long")]))
"""

from runstone.types.schema import *  # noqa: F403  # its `__all__`, which would stand here again
