"""A server for each forge, and a clone whose remote is there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.promotion.forge import Forge, Patience, Request, find_forge
from tests.promotion.forge.gitea_server import GiteaServer
from tests.promotion.forge.github_server import GitHubServer
from tests.promotion.forge.gitlab_server import GitLabServer
from tests.promotion.forge.server import ForgeServer
from tests.support import git

HURRY = Patience(timeout_s=10, attempts=3, pause_s=0.01, most_s=2)
HEAD, BRANCH = "a" * 40, "promote/churn-v4-production"
KINDS: dict[str, tuple[type[ForgeServer], str, str]] = {
    "github": (GitHubServer, "GITHUB_SERVER_URL", "GITHUB_TOKEN"),
    "gitlab": (GitLabServer, "GITLAB_URL", "GITLAB_TOKEN"),
    "gitea": (GiteaServer, "GITEA_URL", "GITEA_TOKEN"),
}


@dataclass
class Double:
    """A forge, and the server that doubles it."""

    kind: str
    server: ForgeServer
    repo: Repository

    def forge(self, patience: Patience = HURRY) -> Forge:
        """The forge of the remote, found anew."""
        found = find_forge(Repository.open(self.repo.work_tree), "origin", patience=patience)
        assert found is not None
        return found

    def propose(self, branch: str = BRANCH, commit: str = HEAD, title: str = "Promote") -> int:
        """Push a branch and open a request for it."""
        self.server.push(branch, commit)
        return self.forge().open_request(Request(title, "Body", branch, "main")).number

    def approve(self, number: int, by: str, at: str = "2026-11-22T11:00:00Z", commit: str | None = None) -> None:
        """Somebody approves."""
        server = self.server
        if isinstance(server, GitLabServer):
            server.approve(number, by, at.replace("Z", ".000Z"), commit)
        elif isinstance(server, GitHubServer | GiteaServer):
            server.review(number, by, "APPROVED", at, commit)


Make = Callable[[str], Double]


@pytest.fixture
def make(empty_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a server of a kind, and lets the remote and the environment lead there."""
    servers = []

    def build(kind: str) -> Double:
        server_type, address, token = KINDS[kind]
        server = server_type()
        servers.append(server)
        monkeypatch.setenv(address, server.url)
        monkeypatch.setenv(token, "s3cret-token")
        git("remote", "add", "origin", f"{server.url}/team/churn.git", cwd=empty_repo)
        return Double(kind, server, Repository.open(empty_repo))

    yield build
    for server in servers:
        server.__exit__()


@pytest.fixture(params=list(KINDS))
def double(request: pytest.FixtureRequest, make: Make) -> Double:
    """Each of the three forges in turn."""
    return make(request.param)
