"""Stages: which versions are in one, and how a version comes to be in one."""

from pathlib import Path

import pytest

from runstone.errors import (
    RecordInvalid,
    RecordsSkipped,
    ReviewRequired,
    StageNotFound,
    UnknownStage,
    UsageError,
    VersionNotFound,
)
from runstone.git.repository import Repository
from runstone.registry.branch import registry_commit
from runstone.registry.resolve import resolve_version
from runstone.registry.stage import get_version_by_stage, set_stage, stage_changes
from runstone.registry.state import ModelState, read_model_state
from runstone.registry.version import ModelVersion, register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri
from tests.registry.support import seal_row
from tests.support import git


def write_stage(repo: Path, stage: str, text: str) -> None:
    """Commit a stage's file, as a promotion does."""
    folder = repo / "registry" / "churn" / "stages"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.yaml").write_text(f"schema: runstone/stage/v1\n{text}")
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


def stages(workspace: Workspace) -> dict[str, tuple[int, ...]]:
    """The stages of `churn` as they are."""
    return dict(read_model_state(workspace.repo, registry_commit(workspace.repo), "churn").stages)


def test_the_files_to_write_are_a_function_of_the_state(tmp_path: Path) -> None:
    """Versions leave where they were; an empty stage has no file; what stays has no change."""
    state = ModelState("churn", stages={"Production": (3,), "Staging": (4, 5), "Archived": (1, 2)})
    text = "schema: runstone/stage/v1\nversions: [{}]\n"

    def plain(moves: dict[int, str]) -> dict[str, str | None]:
        changes = stage_changes("registry", state, moves)
        return {
            path.removeprefix("registry/churn/stages/"): text
            if text is None
            else "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
            for path, text in changes.items()
        }

    assert {
        "Production.yaml": text.format("4"),
        "Staging.yaml": text.format("5"),
        "Archived.yaml": text.format("1, 2, 3"),
    } == plain({4: "Production", 3: "Archived"})
    assert {"Production.yaml": None} == plain({3: "None"})
    assert {} == plain({3: "Production", 1: "Archived", 9: "None"})


def test_a_version_is_in_one_stage(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """Moved, archived by the next one, taken out; one commit each, subject and trailers telling it."""
    for _ in range(3):
        register_version(workspace, "churn", model)
    assert "Staging" == set_stage(workspace.repo, "churn", 1, "staging")
    set_stage(workspace.repo, "churn", 1, "Production")
    assert {"Production": (1,)} == stages(workspace)
    set_stage(workspace.repo, "churn", 2, "Production")
    assert {"Production": (1, 2)} == stages(workspace)
    set_stage(workspace.repo, "churn", 3, "PRODUCTION", archive_existing=True)
    assert {"Production": (3,), "Archived": (1, 2)} == stages(workspace)
    tag = git("rev-parse", "refs/tags/churn@v3", cwd=git_repo)
    seal = seal_row(git_repo, "churn@v3")
    trailers = f"Model: churn\nVersion: 3\nTag: {tag}\n{seal}Stage: Production\nReplaces: 1\nReplaces: 2"
    assert f"Promote churn v3 to Production\n\n{trailers}" == git("log", "-1", "--format=%B", cwd=git_repo).strip()
    tip = git("rev-parse", "main", cwd=git_repo)
    set_stage(workspace.repo, "churn", 3, "Production")
    assert tip == git("rev-parse", "main", cwd=git_repo)
    assert "None" == set_stage(workspace.repo, "churn", 3, "none")
    assert {"Archived": (1, 2)} == stages(workspace)
    assert "Demote churn v3 from Production" == git("log", "-1", "--format=%s", cwd=git_repo)
    assert ("", False) == (
        git("status", "--porcelain", cwd=git_repo),
        (git_repo / "registry/churn/stages/Production.yaml").exists(),
    )


def test_what_is_refused(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Stages that the policy lacks, versions that are not there, archiving from elsewhere, and review."""
    with pytest.raises(UnknownStage, match="The policy has no stage 'Canary'"):
        set_stage(workspace.repo, "churn", 1, "Canary")
    with pytest.raises(VersionNotFound):
        set_stage(workspace.repo, "churn", 2, "Staging")
    with pytest.raises(UsageError, match="goes with Staging and Production"):
        set_stage(workspace.repo, "churn", 1, "Archived", archive_existing=True)
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    with pytest.raises(ReviewRequired):
        set_stage(Repository.open(git_repo), "churn", 1, "Staging")
    assert "1" == git("rev-list", "--count", "main", cwd=git_repo)


def test_unknown_keys_are_carried_through(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """A newer Runstone may say more in the file; a file that is broken is written anew, and that is said."""
    for _ in range(2):
        register_version(workspace, "churn", model)
    write_stage(git_repo, "Production", "versions: [1]\nuntil: 2027\n")
    set_stage(workspace.repo, "churn", 2, "Production")
    assert "until: 2027" in (git_repo / "registry/churn/stages/Production.yaml").read_text()
    write_stage(git_repo, "Staging", "versions: none\n")
    with pytest.warns(RecordsSkipped, match=r"Staging\.yaml") as caught:
        set_stage(workspace.repo, "churn", 2, "Staging")
    assert any(str(warning.message).endswith("It is written anew.") for warning in caught)
    assert {"Production": (1,), "Staging": (2,)} == stages(workspace)
