"""MLflow's name for what a call raises; Runstone's own names are in `runstone.errors`."""

from runstone.errors import RunstoneError

MlflowException = RunstoneError
