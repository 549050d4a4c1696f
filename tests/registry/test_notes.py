"""What is said of a version after its git tag was made."""

from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import InvalidName, InvalidValue, ModelNotFound, RecordInvalid, RecordsSkipped, VersionNotFound
from runstone.registry.notes import delete_version_tags, describe_version, set_version_tags
from runstone.registry.stage import set_stage
from runstone.registry.version import ModelVersion, get_version, list_versions, register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.support import git

FILE = "registry/churn/versions/1.yaml"


def test_the_first_note_copies_what_the_git_tag_says(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """So a new tag does not lose the description, nor a new description the tags."""
    register_version(workspace, "churn", model, description="The first", tags={"data": "march"})
    set_version_tags(workspace, "churn", 1, {"validated": True})
    found = get_version(workspace.repo, "churn", 1)
    assert ("The first", {"data": "march", "validated": "True"}) == (found.description, found.tags)
    described = describe_version(workspace, "churn", 1, "Better")
    assert ("Better", found.tags) == (described.description, described.tags)
    assert ["Describe churn v1", "Set the tag validated of churn v1"] == git(
        "log", "-2", "--format=%s", cwd=git_repo
    ).splitlines()
    assert "Model: churn\nVersion: 1" == git("log", "-1", "--format=%(trailers:only)", cwd=git_repo).strip()
    delete_version_tags(workspace, "churn", 1, ["data", "none"])
    assert [{"validated": "True"}] == [each.tags for each in list_versions(workspace.repo, "churn")]
    assert describe_version(workspace, "churn", 1, None).description is None
    assert ("", "churn@v1") == (git("status", "--porcelain", cwd=git_repo), git("tag", cwd=git_repo))


def test_nothing_changes_nothing_is_committed(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """What the git tag says already needs no file."""
    describe_version(workspace, "churn", 1, "The first")
    delete_version_tags(workspace, "churn", 1, ["none"])
    assert "1" == git("rev-list", "--count", "main", cwd=git_repo)


def test_what_is_refused(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Versions that are not there, keys that cannot be; a broken file is not overwritten; secrets do not get in."""
    with pytest.raises(VersionNotFound):
        set_version_tags(workspace, "churn", 2, {"a": "b"})
    with pytest.raises(ModelNotFound):
        describe_version(workspace, "other", 1, "x")
    with pytest.raises(InvalidName):
        set_version_tags(workspace, "churn", 1, {"": "b"})
    with pytest.warns(UserWarning, match="password"):
        set_version_tags(workspace, "churn", 1, {"password": "hunter2hunter2"})
    assert "hunter2" not in git("show", f"main:{FILE}", cwd=git_repo)
    (git_repo / FILE).write_text("schema: runstone/version-notes/v1\ntags: []\n")
    git("commit", "-q", "-am", "Break", cwd=git_repo)
    with pytest.raises(RecordInvalid, match=r"versions/1\.yaml"), pytest.warns(RecordsSkipped):
        describe_version(workspace, "churn", 1, "x")


@pytest.mark.mlflow
def test_the_client_names_a_version_by_number_or_stage(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """One of both, as in MLflow."""
    client = Client(git_repo)
    set_stage(workspace.repo, "churn", 1, "Production")
    client.set_model_version_tag("churn", "1", "a", "b")
    client.set_model_version_tag("churn", key="c", value=1, stage="production")
    assert {"a": "b", "c": "1"} == client.get_model_version("churn", 1).tags
    client.delete_model_version_tag("churn", 1, "a")
    assert {"c": "1"} == client.get_model_version("churn", 1).tags
    assert "Now" == client.update_model_version("churn", 1, "Now").description
    with pytest.raises(InvalidValue, match="one of `version` and `stage`"):
        client.set_model_version_tag("churn", key="a", value="b")
    with pytest.raises(InvalidValue, match="one of `version` and `stage`"):
        client.set_model_version_tag("churn", 1, "a", "b", "Production")
    with pytest.raises(InvalidValue, match="Name the tag"):
        client.delete_model_version_tag("churn", 1)
