"""Runs, carved in git: track experiments, keep models, with no server and no database.

`import runstone` gives the fluent API (see `runstone.fluent`) and `Client`, and the submodules `data`, `entities`,
`exceptions`, `models`, `pyfunc`, and one for each model library, as `sklearn`. Each is imported when it is first used,
so that little starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runstone._version import __version__ as __version__

if TYPE_CHECKING:
    from runstone import catboost as catboost
    from runstone import data as data
    from runstone import entities as entities
    from runstone import exceptions as exceptions
    from runstone import files as files
    from runstone import keras as keras
    from runstone import lightgbm as lightgbm
    from runstone import models as models
    from runstone import onnx as onnx
    from runstone import pyfunc as pyfunc
    from runstone import pytorch as pytorch
    from runstone import sklearn as sklearn
    from runstone import spacy as spacy
    from runstone import statsmodels as statsmodels
    from runstone import transformers as transformers
    from runstone import types as types
    from runstone import xgboost as xgboost
    from runstone.client import Client as Client
    from runstone.client import MlflowClient as MlflowClient
    from runstone.evaluation import EvaluationResult as EvaluationResult
    from runstone.evaluation import MetricThreshold as MetricThreshold
    from runstone.evaluation import evaluate as evaluate
    from runstone.evaluation import validate_evaluation_results as validate_evaluation_results
    from runstone.fluent import active_run as active_run
    from runstone.fluent import create_experiment as create_experiment
    from runstone.fluent import delete_experiment as delete_experiment
    from runstone.fluent import delete_run as delete_run
    from runstone.fluent import delete_tag as delete_tag
    from runstone.fluent import end_run as end_run
    from runstone.fluent import flush as flush
    from runstone.fluent import flush_async_logging as flush_async_logging
    from runstone.fluent import get_artifact_uri as get_artifact_uri
    from runstone.fluent import get_experiment as get_experiment
    from runstone.fluent import get_experiment_by_name as get_experiment_by_name
    from runstone.fluent import get_metric_history as get_metric_history
    from runstone.fluent import get_parent_run as get_parent_run
    from runstone.fluent import get_registry_uri as get_registry_uri
    from runstone.fluent import get_run as get_run
    from runstone.fluent import get_tracking_uri as get_tracking_uri
    from runstone.fluent import last_active_run as last_active_run
    from runstone.fluent import log_artifact as log_artifact
    from runstone.fluent import log_artifacts as log_artifacts
    from runstone.fluent import log_batch as log_batch
    from runstone.fluent import log_dict as log_dict
    from runstone.fluent import log_figure as log_figure
    from runstone.fluent import log_image as log_image
    from runstone.fluent import log_input as log_input
    from runstone.fluent import log_metric as log_metric
    from runstone.fluent import log_metrics as log_metrics
    from runstone.fluent import log_param as log_param
    from runstone.fluent import log_params as log_params
    from runstone.fluent import log_table as log_table
    from runstone.fluent import log_text as log_text
    from runstone.fluent import register_model as register_model
    from runstone.fluent import search_experiments as search_experiments
    from runstone.fluent import search_model_versions as search_model_versions
    from runstone.fluent import search_registered_models as search_registered_models
    from runstone.fluent import search_runs as search_runs
    from runstone.fluent import set_experiment as set_experiment
    from runstone.fluent import set_experiment_tag as set_experiment_tag
    from runstone.fluent import set_experiment_tags as set_experiment_tags
    from runstone.fluent import set_model_version_tag as set_model_version_tag
    from runstone.fluent import set_note as set_note
    from runstone.fluent import set_registry_uri as set_registry_uri
    from runstone.fluent import set_tag as set_tag
    from runstone.fluent import set_tags as set_tags
    from runstone.fluent import set_tracking_uri as set_tracking_uri
    from runstone.fluent import start_run as start_run
    from runstone.loading import load_model as load_model
    from runstone.tracking.run import ActiveRun as ActiveRun

_SUBMODULES = frozenset(
    (
        "catboost data entities exceptions files keras lightgbm models onnx pyfunc pytorch sklearn spacy "
        "statsmodels transformers types xgboost"
    ).split()
)
_HOMES = {
    "client": "Client MlflowClient",
    "evaluation": "EvaluationResult MetricThreshold evaluate validate_evaluation_results",
    "fluent": (
        "active_run create_experiment delete_experiment delete_run delete_tag end_run flush "
        "flush_async_logging get_artifact_uri get_experiment get_experiment_by_name get_metric_history "
        "get_parent_run get_registry_uri get_run get_tracking_uri last_active_run log_artifact "
        "log_artifacts log_batch log_dict log_figure log_image log_input log_metric log_metrics log_param "
        "log_params log_table log_text register_model search_experiments search_model_versions "
        "search_registered_models search_runs set_experiment set_experiment_tag set_experiment_tags "
        "set_model_version_tag set_note set_registry_uri set_tag set_tags set_tracking_uri start_run"
    ),
    "loading": "load_model",
    "tracking.run": "ActiveRun",
}
_NAMES = {name: f"runstone.{home}" for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = globals()[name] = getattr(import_module(_NAMES[name]), name)
        return value
    if name in _SUBMODULES:
        return import_module(f"runstone.{name}")
    from runstone.flavors.absent import absent

    return absent(__name__)(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES, *_NAMES])
