"""MLflow's store interfaces, spoken by Runstone: `MLFLOW_TRACKING_URI=runstone:.` and MLflow works on the repository.

An MLflow that this does not work with is refused here, before anything of it is imported that it may not have.
"""

from runstone.mlflow_plugin.compat import check

check()
