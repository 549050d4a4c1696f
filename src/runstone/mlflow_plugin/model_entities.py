"""Registered models and versions as MLflow's entities. What it alone says of a version are tags that it is not shown.

The source that a version is told to have is computed when it is read: the artifacts of its run, the logged model that
it was made from, or the version that it is a copy of.
"""

import inspect
from collections.abc import Iterable
from typing import Any

from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
    RegisteredModelTag,
)

from runstone.mlflow_plugin.place import Place
from runstone.registry import entity, model
from runstone.registry.entity import RUN_LINK_TAG

MODEL_ID_TAG = "mlflow.modelId"
"""The logged model that a version was made from."""
SOURCE_RUN_TAG = "mlflow.sourceRun"
"""The run that MLflow knows, where the files lie with a run of their own; empty if it knows of none."""
PROMPT_TAG = "mlflow.prompt.is_prompt"

HIDDEN = (RUN_LINK_TAG, MODEL_ID_TAG, SOURCE_RUN_TAG)
_KNOWS_MODEL_ID = "model_id" in inspect.signature(ModelVersion).parameters  # since MLflow 3


def is_prompt(tags: dict[str, str]) -> bool:
    """Whether these are the tags of a prompt, which MLflow keeps as a model."""
    return tags.get(PROMPT_TAG, "").lower() == "true"


def download_uri(place: Place, version: entity.ModelVersion) -> str:
    """Where MLflow finds the files of a version, whoever made it."""
    experiment_id = version.record.split("/")[1]
    root, mark, query = place.run_uri(experiment_id, version.run_id).partition("?")
    return f"{root}/{version.path}{mark}{query}"


def to_version(place: Place, version: entity.ModelVersion) -> ModelVersion:
    """A version as MLflow knows it."""
    model_id = version.tags.get(MODEL_ID_TAG)
    if version.copied_from is not None:
        source = version.copied_from
    else:
        source = f"models:/{model_id}" if model_id is not None else download_uri(place, version)
    told: dict[str, Any] = {"model_id": model_id} if _KNOWS_MODEL_ID else {}
    return ModelVersion(
        name=version.name,
        version=version.version,
        creation_timestamp=version.creation_timestamp,
        last_updated_timestamp=version.last_updated_timestamp,
        description=version.description,
        user_id=version.user_id,
        current_stage=version.current_stage,
        source=source,
        run_id=None if is_prompt(version.tags) else version.tags.get(SOURCE_RUN_TAG, version.run_id) or None,
        status=version.status,
        tags=[ModelVersionTag(key, value) for key, value in version.tags.items() if key not in HIDDEN],
        run_link=version.run_link,
        aliases=list(version.aliases),
        **told,
    )


def to_versions(place: Place, versions: Iterable[entity.ModelVersion]) -> list[ModelVersion]:
    """Versions as MLflow knows them."""
    return [to_version(place, version) for version in versions]


def to_model(place: Place, found: model.RegisteredModel) -> RegisteredModel:
    """A registered model as MLflow knows it."""
    return RegisteredModel(
        name=found.name,
        creation_timestamp=found.creation_timestamp,
        last_updated_timestamp=found.last_updated_timestamp,
        description=found.description,
        latest_versions=to_versions(place, found.latest_versions),
        tags=[RegisteredModelTag(key, value) for key, value in found.tags.items()],
        aliases=[RegisteredModelAlias(alias, version) for alias, version in found.aliases.items()],
    )
