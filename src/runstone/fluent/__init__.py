"""The fluent API: the active run and experiment of this process, and the verbs that act on them.

Only `active` has such state. Names, order of arguments and meaning are those of MLflow's fluent API, so that
`import runstone as mlflow` is all a script changes. Each thread has its own active runs; they share the experiment.
"""

from runstone.fluent.active import active_run as active_run
from runstone.fluent.active import client as client
from runstone.fluent.active import end_run as end_run
from runstone.fluent.active import flush as flush
from runstone.fluent.active import flush_async_logging as flush_async_logging
from runstone.fluent.active import get_tracking_uri as get_tracking_uri
from runstone.fluent.active import last_active_run as last_active_run
from runstone.fluent.active import set_experiment as set_experiment
from runstone.fluent.active import set_tracking_uri as set_tracking_uri
from runstone.fluent.active import start_run as start_run
from runstone.fluent.experiments import create_experiment as create_experiment
from runstone.fluent.experiments import delete_experiment as delete_experiment
from runstone.fluent.experiments import get_experiment as get_experiment
from runstone.fluent.experiments import get_experiment_by_name as get_experiment_by_name
from runstone.fluent.experiments import search_experiments as search_experiments
from runstone.fluent.experiments import set_experiment_tag as set_experiment_tag
from runstone.fluent.experiments import set_experiment_tags as set_experiment_tags
from runstone.fluent.log import delete_tag as delete_tag
from runstone.fluent.log import log_artifact as log_artifact
from runstone.fluent.log import log_artifacts as log_artifacts
from runstone.fluent.log import log_batch as log_batch
from runstone.fluent.log import log_dict as log_dict
from runstone.fluent.log import log_figure as log_figure
from runstone.fluent.log import log_image as log_image
from runstone.fluent.log import log_input as log_input
from runstone.fluent.log import log_metric as log_metric
from runstone.fluent.log import log_metrics as log_metrics
from runstone.fluent.log import log_param as log_param
from runstone.fluent.log import log_params as log_params
from runstone.fluent.log import log_table as log_table
from runstone.fluent.log import log_text as log_text
from runstone.fluent.log import set_note as set_note
from runstone.fluent.log import set_tag as set_tag
from runstone.fluent.log import set_tags as set_tags
from runstone.fluent.models import get_registry_uri as get_registry_uri
from runstone.fluent.models import register_model as register_model
from runstone.fluent.models import search_model_versions as search_model_versions
from runstone.fluent.models import search_registered_models as search_registered_models
from runstone.fluent.models import set_model_version_tag as set_model_version_tag
from runstone.fluent.models import set_registry_uri as set_registry_uri
from runstone.fluent.runs import delete_run as delete_run
from runstone.fluent.runs import get_artifact_uri as get_artifact_uri
from runstone.fluent.runs import get_metric_history as get_metric_history
from runstone.fluent.runs import get_parent_run as get_parent_run
from runstone.fluent.runs import get_run as get_run
from runstone.fluent.runs import search_runs as search_runs
