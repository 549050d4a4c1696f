"""Models of any library: their signatures, settings and scripts, and what git recorded of one that was logged.

The names are those of `mlflow.models`. Beside them is what the flavors' `log_model` and `load_model` share.
"""

from typing import TYPE_CHECKING, Any

from runstone.flavors.protocol import LogArguments as LogArguments
from runstone.flavors.protocol import SaveArguments as SaveArguments
from runstone.models.folder import Load as Load
from runstone.models.folder import load_trusted as load_trusted
from runstone.models.folder import local_copy as local_copy
from runstone.models.folder import log_folder as log_folder
from runstone.models.info import ModelInfo as ModelInfo
from runstone.models.info import get_model_info as get_model_info
from runstone.models.signature import ModelSignature as ModelSignature
from runstone.models.signature import infer_signature as infer_signature

if TYPE_CHECKING:
    from runstone.flavors.from_code import ModelConfig as ModelConfig
    from runstone.flavors.from_code import set_model as set_model


def __getattr__(name: str) -> Any:
    if name not in ("ModelConfig", "set_model"):
        raise AttributeError(f"module 'runstone.models' has no attribute {name!r}")
    from runstone.flavors import from_code  # only scripts that are models use these; loading any other is to be quick

    return getattr(from_code, name)
