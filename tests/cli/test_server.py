"""`runstone server`: what it refuses to begin with, said before anything is begun."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import run_cli
from tests.mlflow_plugin.conftest import needs_mlflow

pytestmark = [pytest.mark.mlflow, needs_mlflow]


def test_no_repository(tmp_path: Path) -> None:
    """A folder outside any repository is refused before anything is begun."""
    done = run_cli("server", cwd=tmp_path)
    said = f"error: {tmp_path} is not in a git repository. Make one there: `git init`; or work in one: `cd DIR`, "
    assert (1, f"{said}`--repo DIR`.\n") == (done.returncode, done.stderr)


def test_a_port_that_is_taken(git_repo: Path) -> None:
    """A port where another program listens is refused in a sentence that names it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_cli("server", "--port", str(port), cwd=git_repo)
    assert 1 == done.returncode
    assert f"error: Nothing can be served at 127.0.0.1:{port}: " in done.stderr


def test_push_without_a_remote(git_repo: Path) -> None:
    """--push auto needs somewhere to push to."""
    done = run_cli("server", "--push", "auto", "--port", "0", cwd=git_repo)
    assert done.returncode
    assert "git remote add origin URL" in done.stderr


@pytest.mark.parametrize("option", ["--backend-store-uri=sqlite:///x", "--artifacts-destination", "--port", "-w"])
def test_options_that_are_ours(git_repo: Path, option: str) -> None:
    """What decides where runs are kept is not handed on."""
    done = run_cli("server", "--port", "0", "--", option, "x", cwd=git_repo)
    assert 2 == done.returncode
    assert (
        f"error: `{option.partition('=')[0]}` is Runstone's own to say; see `runstone server --help`.\n" == done.stderr
    )


def test_mlflow_s_own_refusal_is_the_exit_code(git_repo: Path) -> None:
    """An option that MLflow does not know ends it, and the command with its exit code."""
    done = run_cli("server", "--port", "0", "--", "--no-such-option", cwd=git_repo)
    assert 2 == done.returncode
    assert "No such option" in done.stderr


def test_a_disk_that_cannot_be_written(git_repo: Path, tmp_path: Path) -> None:
    """A repository that cannot be written to is refused, as clients could only be disappointed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a disk so that it cannot be written")
    place = tmp_path / "read-only"
    place.mkdir()
    for options in (["--bind", str(git_repo)], ["-o", "remount,ro,bind"]):
        if subprocess.run(["mount", *options, str(place)], capture_output=True, check=False).returncode:
            pytest.skip("this machine mounts nothing")
    try:
        done = run_cli("server", "--port", "0", cwd=place)
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert 1 == done.returncode
    assert "cannot be written (Read-only file system)" in done.stderr


def test_mlflow_is_not_installed(git_repo: Path) -> None:
    """Without MLflow the extra is named."""
    hide = "import importlib.util as u, sys; f=u.find_spec; u.find_spec=lambda n,*a: None if n=='flask' else f(n,*a)\n"
    code = f"{hide}sys.argv=['runstone','server','--port','0']\nfrom runstone.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], cwd=git_repo, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert done.stderr.endswith("Install it: `pip install 'runstone[mlflow]'`\n")
