"""Fixtures of checkouts."""

from pathlib import Path

import pytest

from runstone.tracking.workspace import Workspace
from tests.support import git


@pytest.fixture
def project(git_repo: Path) -> Path:
    """A repository with a program, a link, a name in other letters and a folder, all committed."""
    (git_repo / "src").mkdir()
    (git_repo / "src" / "run.sh").write_text("#!/bin/sh\n")
    (git_repo / "src" / "run.sh").chmod(0o755)
    (git_repo / "link").symlink_to("src/run.sh")
    (git_repo / "ünï 😀.bin").write_bytes(bytes(range(256)))
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Code", cwd=git_repo)
    return git_repo


@pytest.fixture
def workspace(project: Path) -> Workspace:
    """The workspace of `project`."""
    return Workspace.open(project)
