"""`runstone init`."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.support import run_cli
from tests.support import git

Invoke = Callable[..., Result]
TRACK = "Track: `import runstone`, or from a shell: `runstone log -p lr=0.1 -m loss=0.4`\n"


def test_the_branch_is_begun_and_nothing_else(git_repo: Path) -> None:
    """Without options only the branch is made; repeating it changes nothing."""
    done = run_cli("init", cwd=git_repo)
    assert (0, "began the branch runs\n", TRACK) == (done.returncode, done.stdout, done.stderr)
    tip = git("rev-parse", "runs", cwd=git_repo)
    assert "Begin the runs of this repository" == git("log", "-1", "--format=%s", "runs", cwd=git_repo)
    done = run_cli("init", cwd=git_repo)
    assert (0, "the branch runs is there\n") == (done.returncode, done.stdout)
    assert tip == git("rev-parse", "runs", cwd=git_repo)
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_options_are_written_and_what_else_is_there_stays(git_repo: Path) -> None:
    """Comments and other keys of runstone.yaml survive; the next git steps are told."""
    git("remote", "add", "origin", "../nowhere.git", cwd=git_repo)
    (git_repo / "runstone.yaml").write_text("# ours\npush: manual  # by hand\nregistry: reg\n")
    done = run_cli("init", "--push", "auto", "--branch", "experiments/runs", "--review", cwd=git_repo)
    expected = "# ours\npush: auto\nregistry: reg\nbranch: experiments/runs\npromotion: review\n"
    assert expected == (git_repo / "runstone.yaml").read_text()
    assert "wrote runstone.yaml\nbegan the branch experiments/runs\n" == done.stdout
    hints = "Keep the settings: `git add runstone.yaml && git commit -m 'Set up Runstone'`\nShare it: `runstone sync`\n"
    assert hints + TRACK == done.stderr
    again = run_cli("init", "--push", "auto", "--branch", "experiments/runs", "--review", cwd=git_repo)
    assert "the branch experiments/runs is there\n" == again.stdout


def test_a_default_needs_no_file(git_repo: Path) -> None:
    """An option that says what holds anyway writes nothing."""
    run_cli("init", "--push", "manual", "--branch", "runs", cwd=git_repo)
    assert not (git_repo / "runstone.yaml").exists()
    run_cli("init", "--review", cwd=git_repo)
    assert "schema: runstone/config/v1\npromotion: review\n" == (git_repo / "runstone.yaml").read_text()


@pytest.mark.parametrize("url", ["s3://bucket/runs", "gs://bucket/a b"])
def test_a_remote_lies_on_the_branch(invoke: Invoke, git_repo: Path, url: str) -> None:
    """`.dvc/config` on the branch of runs names it; the work tree stays as it is."""
    result = invoke("init", "--remote", url)
    assert "began the branch runs\nwrote the remote to .dvc/config on it\n" == result.stdout
    expected = f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}"
    assert expected == git("show", "runs:.dvc/config", cwd=git_repo)
    assert "" == git("status", "--porcelain", cwd=git_repo)
    assert "the branch runs is there\n" == invoke("init", "--remote", url).stdout
    invoke("init", "--remote", "s3://other/place")
    assert "url = s3://other/place" in git("show", "runs:.dvc/config", cwd=git_repo)


def test_a_folder_is_named_as_dvc_names_it(invoke: Invoke, git_repo: Path, tmp_path: Path) -> None:
    """A relative one as seen from `.dvc`, so that a clone beside this one finds it; an absolute one as it is."""
    invoke("init", "--remote", os.path.relpath(tmp_path / "remote"))
    assert "url = ../../remote" in git("show", "runs:.dvc/config", cwd=git_repo)
    invoke("init", "--remote", str(tmp_path / "remote"))
    assert f"url = {tmp_path}/remote" in git("show", "runs:.dvc/config", cwd=git_repo)


def test_a_relative_folder_is_told_to_be_one_for_each_clone(invoke: Invoke, git_repo: Path, tmp_path: Path) -> None:
    """And `--local` says where it is in one of them; what else the local file holds stays, and nobody else reads it."""
    word = "Its path is meant relative to each clone; one elsewhere says: `runstone init --local --remote PATH`\n"
    assert word in invoke("init", "--remote", os.path.relpath(tmp_path / "remote")).stderr
    assert word not in invoke("init", "--remote", str(tmp_path / "remote")).stderr
    tip = git("rev-parse", "runs", cwd=git_repo)
    local = git_repo / ".git" / "runstone" / "dvc.local"
    local.write_text("['remote \"storage\"']\n    password = secret\n")
    result = invoke("init", "--remote", os.path.relpath(tmp_path / "there"), "--local")
    assert f"the branch runs is there\nwrote the remote for this clone alone to {local}\n" == result.stdout
    expected = f"['remote \"storage\"']\n    password = secret\n    url = {tmp_path}/there\n"
    assert (expected, 0o600) == (local.read_text(), local.stat().st_mode & 0o777)
    assert tip == git("rev-parse", "runs", cwd=git_repo)
    assert "--local is for --remote" in invoke("init", "--local", code=2).stderr
    (git_repo / ".dvc").mkdir()
    result = invoke("init", "--remote", "/there", "--local", code=2)
    assert "told there: `dvc remote modify --local NAME url /there`\n" in result.stderr


def test_where_dvc_is_set_up_its_own_command_is_named(invoke: Invoke, git_repo: Path) -> None:
    """The work tree's `.dvc` decides, so nothing is written beside it."""
    (git_repo / ".dvc").mkdir()
    result = invoke("init", "--remote", "s3://bucket/runs", code=2)
    expected = (
        "error: This repository has DVC's own settings in .dvc, so its remotes are added there: "
        "`dvc remote add --default storage s3://bucket/runs`\n"
    )
    assert expected == result.stderr
    assert "" == git("branch", "--list", "runs", cwd=git_repo)


def test_credentials_are_refused(invoke: Invoke, git_repo: Path) -> None:
    """Everybody who clones would read them."""
    result = invoke("init", "--remote", "https://kim:secret@host/store", code=2)
    assert "secret" not in result.stderr
    assert result.stderr.startswith("error: The URL holds a user, a password or a signature, and everybody who clones")
    assert "" == git("branch", "--list", "runs", cwd=git_repo)


def test_a_branch_git_does_not_allow(invoke: Invoke, git_repo: Path) -> None:
    """Refused before anything is written."""
    result = invoke("init", "--branch", "a..b", code=2)
    assert "error: The branch must be a name git allows, but is 'a..b'.\n" == result.stderr
    assert not (git_repo / "runstone.yaml").exists()


def test_a_bare_repository(invoke: Invoke, bare_remote: Path) -> None:
    """Its branch can be begun; its settings lie in commits, so they are written in a clone."""
    assert "began the branch runs\n" == invoke("init", repo=bare_remote).stdout
    result = invoke("init", "--review", repo=bare_remote, code=2)
    expected = (
        "error: This repository is bare, so its settings lie in `runstone.yaml` of its commits. Set it up in a clone, "
        "and push from there.\n"
    )
    assert expected == result.stderr


def test_before_the_first_commit(invoke: Invoke, empty_repo: Path) -> None:
    """A repository without any commit works too."""
    assert "began the branch runs\n" == invoke("init", repo=empty_repo).stdout


def test_codeowners_without_owners_keep_nothing_else_from_being_written(invoke: Invoke, git_repo: Path) -> None:
    """The pipelines are there and told; what CODEOWNERS lack is a hint. Alone, it is an error."""
    result = invoke("init", "--ci", "github", "--codeowners")
    assert list((git_repo / ".github" / "workflows").iterdir())
    assert "wrote .github/workflows/" in result.stdout
    assert "CODEOWNERS was not written. No model of registry/ has an owner that a forge knows" in result.stderr
    assert "Then: `runstone init --codeowners`" in result.stderr
    assert "has an owner that a forge knows" in invoke("init", "--codeowners", code=1).stderr
