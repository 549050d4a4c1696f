"""MLflow's store interfaces, spoken by Runstone: `MLFLOW_TRACKING_URI=runstone:.` and MLflow works on the repository.

An MLflow that this does not work with is refused here, before anything of it is imported that it may not have. MLflow's
server loads this in each of its processes, before the first request.
"""

from runstone.mlflow_plugin.compat import check
from runstone.mlflow_plugin.place import keep_artifacts_here

check()
keep_artifacts_here()
