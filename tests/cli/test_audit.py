"""`runstone audit`, and `runstone ci events`."""

import csv
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import Result

from runstone.git.repository import Repository
from tests.registry.lines import BOB, Line, alias, stage
from tests.support import git

Invoke = Callable[..., Result]


@pytest.fixture
def line(git_repo: Path) -> Line:
    """Two models, and a policy; a minute between all that happened."""
    line = Line(Repository.open(git_repo))
    line.commit({"policy.yaml": "schema: runstone/policy/v1\n"}, "Agree on a policy")
    line.tag("churn", 1)
    line.commit({"churn/stages/Production.yaml": stage(1)}, "Promote (#3)", author="Ann, the 1st <ann@example.org>")
    line.commit({"other/aliases/a.yaml": alias(1)}, committer=BOB)
    return line


def test_one_row_a_change(invoke: Invoke, line: Line) -> None:
    """As CSV that a spreadsheet reads, and as JSON; a wholesome row has all its parts."""
    rows = list(csv.DictReader(io.StringIO(invoke("audit", "--csv").stdout)))
    assert [("", "policy"), ("churn", "version registered"), ("churn", "stage"), ("other", "alias a")] == [
        (row["model"], row["what"]) for row in rows
    ]
    assert {
        "time": "2025-10-09T08:56:20.000Z",
        "model": "churn",
        "what": "stage",
        "version": "1",
        "from": "",
        "to": "Production",
        "proposed_by": "Ann, the 1st <ann@example.org>",
        "merged_by": "",
        "approved_by": "",
        "request": "#3",
        "run": "run-1",
        "commit": git("rev-parse", "main~1", cwd=line.repo.git_dir),
        "tag": "",
        "registered_by": "",
        "bypass": "",
    } == rows[2]
    assert "Bob <bob@example.org>" == rows[3]["merged_by"]
    documents = json.loads(invoke("audit", "--json").stdout)
    assert [row["commit"] or None for row in rows] == [document["commit"] for document in documents]


def test_a_stretch_of_time_and_one_model(invoke: Invoke, line: Line) -> None:
    """Both ends count; of one model, with the policy of all."""

    def what(*words: str) -> list[str]:
        return [row["what"] for row in json.loads(invoke("audit", "--json", *words).stdout)]

    assert ["version registered", "stage"] == what("--since", "2025-10-09T08:55:20Z", "--until", "2025-10-09T08:56:20Z")
    assert 4 == len(what("--since", "2025-10-09", "--until", "2025-10-09"))
    assert [] == what("--since", "2025-10-10")
    assert ["policy", "version registered", "stage"] == what("--model", "churn")
    assert "is no time" in invoke("audit", "--since", "soon", code=2).stderr


def test_events_of_a_range(invoke: Invoke, line: Line) -> None:
    """As a table, as one list, or a line each; OLD may be zeros, and NEW left out."""
    assert "model_version_alias.created" in invoke("ci", "events", "main~1..main").stdout
    zeros = "0" * 40
    found = json.loads(invoke("ci", "events", f"{zeros}..main", "--json").stdout)
    git("checkout", "-q", "main", cwd=line.repo.work_tree or Path())
    lines = invoke("ci", "events", f"{zeros}..", "--lines").stdout.splitlines()
    assert found == [json.loads(each) for each in lines]
    assert ["policy", "model_version_stage", "model_version_alias"] == [event["entity"] for event in found]
    empty = invoke("ci", "events", "main..main")
    assert ("", "Nothing happened to the registry.\n") == (empty.stdout, empty.stderr)
    assert "[]\n" == invoke("ci", "events", "main..main", "--json").stdout


def test_events_of_refs_and_versions(invoke: Invoke, line: Line) -> None:
    """As a hook is told them on its standard input, and by name."""
    oid = git("rev-parse", "churn@v1", cwd=line.repo.git_dir)
    told = f"{'0' * 40} {oid} refs/tags/churn@v1\n{line.start} {line.tip} refs/heads/main\n"
    found = json.loads(invoke("ci", "events", "--refs", "-", "--json", input=told).stdout)
    assert ["created", "created", "created", "set", "created"] == [event["action"] for event in found]
    named = json.loads(invoke("ci", "events", "--version", "churn/1", "--json").stdout)
    assert found[:2] == named


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say what was pushed: OLD..NEW, --version NAME, or --refs FILE."),
        (["main"], "'main' is no range. Write OLD..NEW, or OLD.. for up to HEAD."),
        (["main...main"], "'main...main' is no range"),
        (["gone..main"], "The commit gone is not in this clone"),
        (["main..main", "--insecure"], "--secret-env and --insecure are for --post."),
        (["main..main", "--post", "http://example.org/"], "http://example.org would carry events in the open"),
        (["main..main", "--post", "https://x/", "--secret-env", "NO_SUCH"], "NO_SUCH holds no secret to sign with"),
    ],
)
def test_wrong_calls(invoke: Invoke, line: Line, words: list[str], message: str) -> None:
    """What cannot be understood, or decided, ends with 2 and says why."""
    assert message in invoke("ci", "events", *words, code=2).stderr


def test_refs_that_are_none(invoke: Invoke, line: Line) -> None:
    """The line is named."""
    result = invoke("ci", "events", "--refs", "-", code=2, input="\nmain main refs/heads/main\n")
    assert "Line 2 of --refs must be `OLD NEW REF`, with full ids: 'main main refs/heads/main'" in result.stderr


def test_events_are_posted(invoke: Invoke, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """All taken: 0, and how many is said; one refused: 1, and which is said."""
    codes, got = [204, 204, 204, 204, 403, 204], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.headers["X-MLflow-Signature"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(codes.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HOOK_SECRET", "s")
    url = f"http://127.0.0.1:{server.server_port}"
    words = [
        "ci",
        "events",
        f"{line.start}..main",
        "--lines",
        "--post",
        f"{url}/hook?k=v",
        "--secret-env",
        "HOOK_SECRET",
    ]
    done = invoke(*words)
    assert f"3 events of 3 delivered to {url}\n" == done.stderr
    assert [json.loads(each) for each in done.stdout.splitlines()] == [json.loads(body) for _, body in got]
    assert all(signature.startswith("v1,") for signature, _ in got)
    failed = invoke(*words, code=1)
    assert "not delivered: model_version_stage.set " in failed.stderr
    assert f"2 events of 3 delivered to {url}\n" in failed.stderr
    server.shutdown()
    server.server_close()
