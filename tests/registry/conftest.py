"""Fixtures for the registry: a repository with a run that logged a small folder called a model."""

import pytest

from runstone.registry.version import ModelVersion, register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.registry.support import log_model


@pytest.fixture
def model(workspace: Workspace) -> RunUri:
    """A model of a run that has ended."""
    return log_model(workspace, "first-run")


@pytest.fixture
def version(workspace: Workspace, model: RunUri) -> ModelVersion:
    """It as version 1 of `churn`."""
    return register_version(workspace, "churn", model, description="The first")
