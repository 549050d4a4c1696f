"""`runstone artifacts …`, with a folder as the DVC remote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.support import run_cli

Invoke = Callable[..., Result]


@pytest.fixture
def remote(invoke: Invoke, tmp_path: Path) -> Path:
    """A folder that the branch of runs names as the DVC remote."""
    invoke("init", "--remote", str(tmp_path / "remote"))
    return tmp_path / "remote"


def test_list(invoke: Invoke, three_runs: list[str]) -> None:
    """All files, or those below a path; a path that is not there is an error."""
    found = json.loads(invoke("artifacts", "list", "brave-otter-1", "--json").stdout)
    assert [("data/a.txt", 6), ("data/b.txt", 10)] == [(one["path"], one["size"]) for one in found]
    assert 3 == len(invoke("artifacts", "list", "brave-otter-1", "data").stdout.splitlines())
    assert "The run has no artifacts.\n" == invoke("artifacts", "list", "calm-fox-2").stderr
    result = invoke("artifacts", "list", "brave-otter-1", "nope", code=1)
    assert (
        f"error: Run {three_runs[0]} has no artifact 'nope'. List them: `runstone artifacts list {three_runs[0]}`\n"
        == result.stderr
    )


def test_get(invoke: Invoke, three_runs: list[str], tmp_path: Path) -> None:
    """One file, a folder or all; the folder it goes to is made, and the last line says where it is."""
    out = tmp_path / "new" / "out"
    assert f"{out}/data/a.txt\n" == invoke("artifacts", "get", "brave-otter-1", "data/a.txt", str(out)).stdout
    assert "alpha\n" == (out / "data" / "a.txt").read_text()
    assert f"{out}\n" == invoke("artifacts", "get", "brave-otter-1", ".", str(out)).stdout
    assert "beta beta\n" == (out / "data" / "b.txt").read_text()


def test_get_does_not_replace_an_edited_file(invoke: Invoke, three_runs: list[str], tmp_path: Path) -> None:
    """Files with other content are named and nothing is copied; with --force they are replaced; equal ones may be."""
    out = tmp_path / "out"
    invoke("artifacts", "get", "brave-otter-1", "data", str(out))
    invoke("artifacts", "get", "brave-otter-1", "data", str(out))
    (out / "data" / "b.txt").write_text("mine")
    (out / "data" / "a.txt").unlink()
    refused = invoke("artifacts", "get", "brave-otter-1", "data", str(out), code=1)
    assert f"Nothing was copied, since files there have other content: {out}/data/b.txt. " in refused.stderr
    assert ("mine", False) == ((out / "data" / "b.txt").read_text(), (out / "data" / "a.txt").exists())
    invoke("artifacts", "get", "brave-otter-1", "data", str(out), "--force")
    assert "beta beta\n" == (out / "data" / "b.txt").read_text()


def test_push_and_pull(invoke: Invoke, three_runs: list[str], remote: Path, git_repo: Path, tmp_path: Path) -> None:
    """The last line says what moved; again there is nothing to move; a lost cache is filled from the remote."""
    assert "pushed 3 objects, 156 B, of 1 run\n" == invoke("artifacts", "push", "brave-otter-1").stdout
    assert "nothing to move: all of 1 run was there\n" == invoke("artifacts", "push", "--all").stdout
    assert 3 == len([path for path in remote.rglob("*") if path.is_file()])
    cache = git_repo / ".git" / "runstone" / "cache"
    for folder in cache.iterdir():
        shutil.rmtree(folder)
    done = run_cli("artifacts", "pull", three_runs[0], cwd=git_repo)
    assert (0, "pulled 3 objects, 156 B, of 1 run\n", "") == (done.returncode, done.stdout, done.stderr)
    done = run_cli("artifacts", "get", "brave-otter-1", "data/b.txt", str(tmp_path), cwd=git_repo)
    assert "beta beta\n" == Path(done.stdout.strip()).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["push"], "error: Name runs, or give --all.\n"),
        (["pull"], "error: Name runs, or give --all.\n"),
        (["push", "brave-otter-1", "--all"], "error: Either name runs or give --all.\n"),
    ],
)
def test_what_to_move_must_be_said_once(invoke: Invoke, three_runs: list[str], words: list[str], message: str) -> None:
    """Neither everything by accident, nor two choices at once."""
    assert message in invoke("artifacts", *words, code=2).stderr


def test_without_a_remote(invoke: Invoke, three_runs: list[str]) -> None:
    """An error that says how to add one."""
    result = invoke("artifacts", "push", "--all", code=2)
    assert "runstone init --remote URL" in result.stderr or "dvc remote add --default NAME URL" in result.stderr
