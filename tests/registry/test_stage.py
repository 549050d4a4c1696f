from pathlib import Path

import pytest

from runstone.errors import RecordInvalid, StageNotFound
from runstone.registry.resolve import resolve_version
from runstone.registry.stage import get_version_by_stage
from runstone.registry.version import ModelVersion, register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri
from tests.support import git


def write_stage(repo: Path, stage: str, text: str) -> None:
    """Commit a stage's file, as a promotion does."""
    folder = repo / "registry" / "churn" / "stages"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.yaml").write_text(text)
    git("add", "registry", cwd=repo)
    git("commit", "-q", "-m", f"Stage {stage}", cwd=repo)


def test_a_stage_means_the_newest_version_in_it(
    workspace: Workspace, version: ModelVersion, model: RunUri, git_repo: Path
) -> None:
    """Of several versions the highest number counts; the stage's name may be written small."""
    for _ in range(2):
        register_version(workspace, "churn", model)
    write_stage(git_repo, "Production", "versions: [1, 2]\n")
    assert 2 == get_version_by_stage(workspace.repo, "churn", "Production").version
    assert 2 == resolve_version(workspace.repo, ModelUri("churn", word="production")).version


def test_a_stage_with_no_version_is_not_found(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """An empty stage and one that is not there are told with the stages that there are."""
    with pytest.raises(StageNotFound, match="No version of it is in a stage"):
        get_version_by_stage(workspace.repo, "churn", "Staging")
    write_stage(git_repo, "Production", "versions: [1]\n")
    write_stage(git_repo, "Staging", "versions: []\n")
    with pytest.raises(StageNotFound, match="It has versions in Production"):
        get_version_by_stage(workspace.repo, "churn", "Staging")


@pytest.mark.parametrize("text", ["versions: [0]\n", "versions: [true]\n", "versions: ['1']\n", "versions: 1\n"])
def test_a_broken_stage_file_is_named(workspace: Workspace, version: ModelVersion, git_repo: Path, text: str) -> None:
    """What is no list of versions is an error with the file's path."""
    write_stage(git_repo, "Production", text)
    with pytest.raises(RecordInvalid, match=r"registry/churn/stages/Production\.yaml"):
        get_version_by_stage(workspace.repo, "churn", "Production")
