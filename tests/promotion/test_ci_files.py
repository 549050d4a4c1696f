"""What `runstone init --ci`, `--codeowners` and `--guard` write, and what they leave alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstone.errors import RunstoneError, UsageError
from runstone.promotion.ci_files import Written, write_ci, write_codeowners, write_guard
from runstone.tracking.workspace import Workspace
from tests.cli.conftest import invoke as invoke
from tests.cli.support import run_cli
from tests.support import git, make_repository

pytestmark = pytest.mark.ci
Invoke = Callable[..., Result]


def test_files_are_written_once(git_repo: Path) -> None:
    """A second time they are as they should be; nothing is committed or staged."""
    done = run_cli("init", "--ci", "github", cwd=git_repo)
    files = [
        ".github/workflows/runstone-check.yml",
        ".github/workflows/runstone-register.yml",
        ".github/PULL_REQUEST_TEMPLATE/promotion.md",
    ]
    expected = "began the branch runs\n" + "".join(f"wrote {file}\n" for file in files)
    assert (0, expected) == (done.returncode, done.stdout)
    assert f"Read them, then keep them: `git add {' '.join(files)} && git commit`\n" in done.stderr
    assert "?? .github/" == git("status", "--porcelain", cwd=git_repo)
    done = run_cli("init", "--ci", "github", cwd=git_repo)
    expected = "the branch runs is there\n" + "".join(f"as it should be: {file}\n" for file in files)
    assert (0, expected) == (done.returncode, done.stdout)


def test_a_file_that_differs_is_left_alone(git_repo: Path) -> None:
    """Somebody may have changed it; `--force` writes over it."""
    (git_repo / "Jenkinsfile").write_text("pipeline {}\n")
    done = run_cli("init", "--ci", "jenkins", cwd=git_repo)
    step = "left Jenkinsfile alone, which is there and differs. Compare, and to write over it: `--force`\n"
    assert (0, f"began the branch runs\n{step}") == (done.returncode, done.stdout)
    assert "pipeline {}\n" == (git_repo / "Jenkinsfile").read_text()
    done = run_cli("init", "--ci", "jenkins", "--force", cwd=git_repo)
    assert "the branch runs is there\nwrote Jenkinsfile\n" == done.stdout
    assert "runstone ci check" in (git_repo / "Jenkinsfile").read_text()
    done = run_cli("init", "--force", cwd=git_repo)
    assert (2, True) == (done.returncode, "--force is for --ci and --guard." in done.stderr)


def test_gitlabs_own_file_is_never_written_over(git_repo: Path) -> None:
    """It needs one line, which is told until it is there."""
    own = git_repo / ".gitlab-ci.yml"
    own.write_text("test:\n  script: pytest\n")
    for force in (False, True):
        found = {each.path: each for each in write_ci(Workspace.open(git_repo).repo, "gitlab", force=force)}
        step = "Add to it: `include: [{local: .gitlab/runstone.yml}]`"
        assert Written(".gitlab-ci.yml", "differs", step) == found[".gitlab-ci.yml"]
    own.write_text(f"include: [{{local: .gitlab/runstone.yml}}]\n{own.read_text()}")
    found = {each.path: each for each in write_ci(Workspace.open(git_repo).repo, "gitlab")}
    assert "same" == found[".gitlab-ci.yml"].state


def test_the_projects_own_names_stand_in_the_files(tmp_path: Path) -> None:
    """The default branch, the registry's folder, and what the DVC remote needs."""
    repo = make_repository(tmp_path / "repo")
    git("branch", "-m", "trunk", cwd=repo)
    git("config", "init.defaultBranch", "trunk", cwd=repo)
    (repo / "runstone.yaml").write_text("registry: ml/registry\n")
    run_cli("init", "--remote", "s3://bucket/runs", cwd=repo)
    write_ci(Workspace.open(repo).repo, "github")
    text = (repo / ".github" / "workflows" / "runstone-register.yml").read_text()
    assert "branches: ['trunk']\n    paths: ['ml/registry/**']\n" in text
    assert "runstone[s3,github]" in text


def test_a_name_that_would_be_a_pattern_is_refused(git_repo: Path) -> None:
    """A CI system would take it for something else."""
    git("branch", "-m", "ma'in", cwd=git_repo)
    git("config", "init.defaultBranch", "ma'in", cwd=git_repo)
    with pytest.raises(UsageError, match="would be a pattern in the files of a CI"):
        write_ci(Workspace.open(git_repo).repo, "github")
    assert not (git_repo / ".github").exists()


def test_owners_that_a_forge_knows_own_their_models(git_repo: Path) -> None:
    """Stages, aliases, policy and the model's own file; the rules of all models are everybody's."""
    for key, owners in (("churn", "['@kim', Ann, ann@example.org]"), ("a%2Fb", "['@team/ml']"), ("free", "[Ann]")):
        file = git_repo / "registry" / key / "model.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"schema: runstone/registered-model/v1\nowners: {owners}\n")
    done = run_cli("init", "--codeowners", "--ci", "gitlab", cwd=git_repo)
    assert "wrote .gitlab/CODEOWNERS\n" in done.stdout, done.stderr
    lines = (git_repo / ".gitlab" / "CODEOWNERS").read_text().splitlines()
    expected = [
        "/registry/policy.yaml @team/ml @kim ann@example.org",
        "/runstone.yaml @team/ml @kim ann@example.org",
        "/registry/a%2Fb/stages/ @team/ml",
        "/registry/a%2Fb/aliases/ @team/ml",
        "/registry/a%2Fb/model.yaml @team/ml",
        "/registry/a%2Fb/policy.yaml @team/ml",
        "/registry/churn/stages/ @kim ann@example.org",
    ]
    assert expected == lines[1:8]


def test_other_owners_stay(git_repo: Path) -> None:
    """In the file that is there already, before our part, which a repetition renews."""
    (git_repo / "CODEOWNERS").write_text("*.py @dev\n")
    file = git_repo / "registry" / "churn" / "model.yaml"
    file.parent.mkdir(parents=True)
    repo = Workspace.open(git_repo).repo
    for owner in ("@kim", "@rae"):
        file.write_text(f"schema: runstone/registered-model/v1\nowners: ['{owner}']\n")
        assert Written("CODEOWNERS", "written") == write_codeowners(repo, "github")
    text = (git_repo / "CODEOWNERS").read_text()
    assert text.startswith("*.py @dev\n\n# Runstone: written by")
    assert (0, 1) == (text.count("@kim"), text.count("/registry/churn/stages/ @rae\n"))
    assert Written("CODEOWNERS", "same") == write_codeowners(repo, "github")


def test_without_owners_nothing_is_written(git_repo: Path) -> None:
    """A file without a line would look like protection."""
    with pytest.raises(RunstoneError, match="No model of registry/ has an owner that a forge knows"):
        write_codeowners(Workspace.open(git_repo).repo, "github")
    assert not (git_repo / ".github").exists()


def test_the_guard_goes_into_a_bare_repository(invoke: Invoke, bare_remote: Path, git_repo: Path) -> None:
    """Executable, never over another hook; a clone and a CI file have no place there."""
    result = invoke("init", "--guard", repo=bare_remote)
    assert "wrote hooks/pre-receive\n" in result.stdout
    hook = bare_remote / "hooks" / "pre-receive"
    assert 0o755 == hook.stat().st_mode & 0o777
    hook.write_text("#!/bin/sh\nexit 0\n")
    assert "left hooks/pre-receive alone" in invoke("init", "--guard", repo=bare_remote).stdout
    assert Written("hooks/pre-receive", "written") == write_guard(Workspace.open(bare_remote).repo, force=True)
    assert "The guard is for a bare repository" in invoke("init", "--guard", repo=git_repo, code=2).stderr
    assert "Write them in a clone." in invoke("init", "--ci", "github", repo=bare_remote, code=2).stderr


def test_review_keeps_the_comments_of_the_settings(invoke: Invoke, git_repo: Path) -> None:
    """Of an existing runstone.yaml only the one key changes."""
    (git_repo / "runstone.yaml").write_text("# ours\nregistry: reg  # not models/\npromotion: direct\n# the end\n")
    invoke("init", "--review", "--ci", "jenkins")
    expected = "# ours\nregistry: reg  # not models/\npromotion: review\n# the end\n"
    assert expected == (git_repo / "runstone.yaml").read_text()
