"""`runstone ci report`: on standard output, and as a comment."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import run_cli
from tests.promotion.support import make_versions, propose, stage_file, write
from tests.support import git

BRANCH = "promote/churn-v2-production"
POLICY = """\
schema: runstone/policy/v1
stages:
  Production:
    gates:
    - tags: [legal]
    approvals: {count: 1}
"""


@pytest.fixture
def repo(git_repo: Path) -> Path:
    """Two versions of `churn`, and a branch that puts the second into Production."""
    make_versions(git_repo)
    write(git_repo, {"registry/churn/stages/Production.yaml": stage_file(1)}, "Begin the registry")
    propose(git_repo, {"registry/churn/stages/Production.yaml": stage_file(2)}, "Promote churn v2", BRANCH)
    return git_repo


def test_it_is_printed(repo: Path) -> None:
    """Markdown and nothing else; it ends as `ci check` does."""
    done = run_cli("ci", "report", "--base", "main", "--head", BRANCH, cwd=repo)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("<!-- runstone report -->\n### What this changes in the registry\n")
    assert "### `churn v2: None → Production`" in done.stdout
    propose(repo, {"registry/churn/stages/Production.yaml": stage_file(9)}, "Promote churn v9", "wrong")
    assert 1 == run_cli("ci", "report", "--head", "wrong", cwd=repo).returncode


def test_without_a_forge_there_is_nothing_to_comment_on(repo: Path) -> None:
    """Exit code 2, and how to name one."""
    done = run_cli("ci", "report", "--head", BRANCH, "--comment", cwd=repo)
    assert 2 == done.returncode
    assert (
        "The git remote is on no forge that Runstone knows, so there is no request to look at. Name the forge: "
        "`forge:` in runstone.yaml"
    ) in " ".join(done.stderr.split())


class Gitea(ThreadingHTTPServer):
    """What a Gitea server answers for one project with one pull request: its comments and reviews."""

    def __init__(self, head: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.comments: list[dict[str, Any]] = []
        self.reviews: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.head = head

    def answer(self, verb: str, path: str, body: dict[str, Any]) -> object:
        """The answer to one call.

        Source: Gitea's API, `/api/v1/swagger`.
        """
        root = "/api/v1/repos/team/churn"
        match (verb, path):
            case ("GET", "/api/v1/user"):
                return {"login": "bot"}
            case ("GET", _) if path == f"{root}/issues/7/comments":
                return self.comments
            case ("POST", _) if path == f"{root}/issues/7/comments":
                number = len(self.comments) + 1
                page = f"{self.url}/team/churn/pulls/7#issuecomment-{number}"
                self.comments.append({"id": number, "user": {"login": "bot"}, "html_url": page, **body})
                return self.comments[-1]
            case ("PATCH", _) if path.startswith(f"{root}/issues/comments/"):
                comment = self.comments[int(path.rpartition("/")[2]) - 1]
                comment.update(body)
                return comment
            case ("GET", _) if path == f"{root}/pulls/7":
                side = {"ref": BRANCH, "sha": self.head, "repo_id": 1}
                user = {"login": "ann", "email": "ann@example.org"}
                page = f"{self.url}/team/churn/pulls/7"
                base = {"ref": "main", "repo_id": 1}
                facts = {"number": 7, "html_url": page, "state": "open", "user": user}
                return facts | {"head": side, "base": base, "title": "Promote", "body": ""}
            case ("GET", _) if path == f"{root}/pulls/7/reviews":
                return self.reviews
        return None


class _Answers(BaseHTTPRequestHandler):
    server: Gitea

    def _do(self) -> None:
        self.server.tokens.add(self.headers.get("Authorization"))
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        found = self.server.answer(self.command, self.path.partition("?")[0], body)
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    do_GET = do_POST = do_PATCH = _do  # noqa: N815  # the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def gitea(repo: Path) -> Iterator[Gitea]:
    """A server that the repository's remote is on."""
    server = Gitea(git("rev-parse", BRANCH, cwd=repo))
    git("remote", "add", "origin", f"{server.url}/team/churn.git", cwd=repo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_comment_is_brought_up_to_date_in_place(repo: Path, gitea: Gitea) -> None:
    """The first time it is written, then it is changed; those of others stay, whatever they hold."""
    quoted = {"id": 1, "user": {"login": "eve"}, "html_url": "x", "body": "<!-- runstone report --> mine"}
    gitea.comments.append(quoted)
    variables = {"GITEA_URL": gitea.url, "GITEA_TOKEN": "s3cret"}
    call = ("ci", "report", "--base", "main", "--head", BRANCH, "--comment", "--request", "7")
    done = run_cli(*call, cwd=repo, env=variables)
    page = f"{gitea.url}/team/churn/pulls/7#issuecomment-2"
    assert (0, "", f"Commented: {page}\n") == (done.returncode, done.stdout, done.stderr)
    assert "### `churn v2: None → Production`" in gitea.comments[1]["body"]
    write(repo, {"registry/policy.yaml": POLICY}, "A policy")
    done = run_cli(*call, cwd=repo, env=variables)
    assert (1, f"Commented: {page}\n") == (done.returncode, done.stderr)
    assert ["<!-- runstone report --> mine", True] == [
        gitea.comments[0]["body"],
        "Needs 1 approval" in gitea.comments[1]["body"],
    ]
    assert 2 == len(gitea.comments)
    assert {"token s3cret"} == gitea.tokens


def test_approvals_are_asked_of_the_forge(repo: Path, gitea: Gitea) -> None:
    """With `--approvals`: that of another person for what is proposed now counts."""
    write(
        repo, {"registry/policy.yaml": POLICY.replace("    - tags: [legal]\n", "    - signature: true\n")}, "A policy"
    )
    variables = {"GITEA_URL": gitea.url, "GITEA_TOKEN": "s3cret", "JENKINS_URL": "x", "CHANGE_ID": "7"}
    variables |= {"GIT_COMMIT": gitea.head, "CHANGE_TARGET": "main", "CHANGE_BRANCH": BRANCH}
    call = ("ci", "check", "--approvals")
    done = run_cli(*call, cwd=repo, env=variables)
    why = "1 approval is needed and none counts: nobody approved it"
    assert f"registry/churn/stages/Production.yaml:1: error: {why}" == done.stdout.splitlines()[0]
    assert 1 == done.returncode
    review = {"state": "APPROVED", "official": True, "submitted_at": "2026-11-22T06:12:03Z"}
    rae = {"login": "rae", "email": "rae@example.org"}
    gitea.reviews.append(review | {"user": rae, "commit_id": "a" * 40})
    done = run_cli(*call, cwd=repo, env=variables)
    assert f"rae approved aaaaaaa, and {gitea.head[:7]} is proposed" in done.stdout
    gitea.reviews.append(review | {"user": {"login": "ann"}, "commit_id": gitea.head})
    assert "ann approved what is their own" in run_cli(*call, cwd=repo, env=variables).stdout
    gitea.reviews.append(review | {"user": rae, "commit_id": gitea.head})
    done = run_cli(*call, cwd=repo, env=variables)
    assert 0 == done.returncode, done.stdout + done.stderr
