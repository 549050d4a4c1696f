"""Fixtures for all tests: a home of their own, and real repositories."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from runstone import fluent
from runstone.fluent import active
from runstone.tracking import workspace as opened
from runstone.tracking.workspace import Workspace
from tests.sharing import Team, make_team
from tests.support import git, make_repository

_INHERITED = ("GIT_", "DVC_", "RUNSTONE_", "MLFLOW_", "AWS_", "XDG_")
_OF_FORGES = ("CI_", "GITHUB_", "GH_", "GITLAB_", "GITEA_", "FORGEJO_", "JENKINS_")  # not `CI` itself


def pytest_configure() -> None:
    """Ctrl-C is tested: a shell that starts the tests in the background makes them, and their children, ignore it.

    And a machine that has other work to do is no fault of a test's strategy.
    """
    settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("here")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, plot_cache: Path) -> Path:
    """A fresh home folder; no identity, configuration or credential of the person who runs the tests is seen."""
    home = tmp_path_factory.mktemp("home")
    for name in os.environ:
        if name.startswith((*_INHERITED, *_OF_FORGES)) or name == "EMAIL":
            monkeypatch.delenv(name)
    (home / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n")
    settings = {
        "HOME": home,
        "USERPROFILE": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_DATA_HOME": home / ".local" / "share",
        "GIT_CONFIG_GLOBAL": home / ".gitconfig",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": home / "dvc-global",
        "DVC_SYSTEM_CONFIG_DIR": home / "dvc-system",
        "DVC_SITE_CACHE_DIR": home / "dvc-site-cache",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": plot_cache,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return home


@pytest.fixture(autouse=True)
def import_path() -> Iterator[None]:
    """The code of a loaded model stays importable in its process; no test, and no child of one, imports another's."""
    before = sys.path[:]
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def fluent_state() -> Iterator[None]:
    """The fluent API keeps a repository and an experiment for the process; no test sees those of another."""
    yield
    active._experiment = active._tracking_uri = None
    active._joined.clear()
    active.threads.last = None


@pytest.fixture(autouse=True)
def workspaces() -> Iterator[None]:
    """A process keeps the workspaces it has used; thousands of tests in one would hold as many files open."""
    yield
    for path in [path for path, each in opened._by_path.items() if not each.open_runs]:
        del opened._by_path[path]
    for place in [place for place, each in opened._by_tree.items() if not each.open_runs]:
        del opened._by_tree[place]


@pytest.fixture(scope="session")
def plot_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matplotlib's font cache, shared by all tests: building it anew for each home would cost seconds."""
    return tmp_path_factory.mktemp("matplotlib")


@pytest.fixture
def git_repo(tmp_path: Path) -> Path:
    """A repository on branch `main` with an identity and one commit."""
    return make_repository(tmp_path / "repo")


@pytest.fixture
def empty_repo(tmp_path: Path) -> Path:
    """A repository without any commit."""
    return make_repository(tmp_path / "empty", commit=False)


@pytest.fixture
def bare_remote(tmp_path: Path) -> Path:
    """An empty bare repository, to be pushed to."""
    git("init", "-q", "--bare", "-b", "main", tmp_path / "remote.git", cwd=tmp_path)
    return tmp_path / "remote.git"


@pytest.fixture
def workspace(git_repo: Path) -> Workspace:
    """The workspace of a fresh repository."""
    return Workspace.open(git_repo)


@pytest.fixture
def here(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder is a fresh repository; runs that the test leaves open are ended."""
    monkeypatch.chdir(git_repo)
    yield git_repo
    while fluent.active_run() is not None:
        fluent.end_run()


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A team with a DVC remote."""
    return make_team(tmp_path)


@pytest.fixture
def plain_team(tmp_path: Path) -> Team:
    """A team that has no DVC remote."""
    return make_team(tmp_path, artifacts=False)
