"""`RestSource` against a server that answers as MLflow 1.x did, page by page, and fails now and then."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request

import pytest

from runstone.client import Client
from runstone.imports.intake import Intake
from runstone.imports.mlflow.carry import Carrier
from runstone.imports.mlflow.http import ServerFailed, _Redirects
from runstone.imports.mlflow.rest import RestSource
from runstone.imports.report import Report
from runstone.tracking.workspace import Workspace
from tests.imports.mlflow_stores import FIRST, MLMODEL, SECOND, STARTED

_API = "/api/2.0/mlflow"


class Old:
    """A server of MLflow 1.x, as far as an import asks it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.failures: dict[str, list[int]] = {}
        """Path → the statuses of the next answers."""
        self.password: str | None = None
        self.redirect: str | None = None
        self.cut = 0
        """How many downloads break off."""
        self.paths: dict[str, str] = {"model/MLmodel": MLMODEL, "notes.txt": "hello"}

    def answer(self, path: str, values: dict[str, Any]) -> Any:
        """A JSON value; None for a call that is not known."""
        match path.removeprefix(_API):
            case "/experiments/list":
                return {"experiments": [{"experiment_id": "0", "name": "Default", "lifecycle_stage": "active"}]}
            case "/runs/search":
                number = int(values.get("page_token") or 0)
                answer = {"runs": [_run((FIRST, SECOND)[number], STARTED - number)]}
                return answer | ({"next_page_token": "1"} if number == 0 else {})
            case "/metrics/get-history":
                points = [
                    {"key": "m", "value": step / 2, "timestamp": str(STARTED + step), "step": step} for step in (0, 1)
                ]
                return {"metrics": [*points, {"key": "m", "value": "NaN", "timestamp": str(STARTED + 2), "step": "2"}]}
            case "/artifacts/list":
                return {"files": _files(self.paths, values.get("path")) if values["run_id"] == FIRST else []}
            case "/registered-models/list":
                return {"registered_models": [{"name": "Churn", "creation_timestamp": str(STARTED)}]}
            case "/model-versions/search":
                assert "name='Churn'" == values["filter"]
                version = {"name": "Churn", "version": "3", "run_id": FIRST, "current_stage": "Production"}
                return {"model_versions": [version | {"source": f"s3://bucket/0/{FIRST}/artifacts/model"}]}
        return None


def _run(run_id: str, started: int) -> dict[str, Any]:
    info = {
        "run_uuid": run_id,
        "experiment_id": "0",
        "user_id": "kim",
        "status": "FINISHED",
        "start_time": str(started),
    }
    data = {"params": [{"key": "lr", "value": "0.1"}], "metrics": [{"key": "m", "value": 1.0}], "tags": []}
    return {"info": info | {"end_time": str(STARTED + 9), "lifecycle_stage": "active"}, "data": data}


def _files(paths: dict[str, str], folder: str | None) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    inside = {path.removeprefix(start).partition("/")[0] for path in paths if path.startswith(start)}
    return [
        {"path": start + name, "is_dir": start + name not in paths, "file_size": str(len(paths.get(start + name, "")))}
        for name in sorted(inside)
    ]


@pytest.fixture
def old() -> Old:
    """What the server is like."""
    return Old()


@pytest.fixture
def address(old: Old) -> Iterator[str]:
    """The server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(self.path, json.loads(data))

        def _answer(self, path: str, values: dict[str, Any]) -> None:
            old.asked.append((path, self.headers.get("Authorization")))
            if old.redirect is not None:
                self.send_response(302)
                self.send_header("Location", old.redirect + self.path)
                self.end_headers()
            elif old.failures.get(path):
                self._send(old.failures[path].pop(0), b'{"message": "not now"}')
            elif old.password is not None and old.password != self.headers.get("Authorization"):
                self._send(401, b"who are you?")
            elif path == "/get-artifact":
                text = old.paths[values["path"]].encode()
                old.cut -= 1
                self._send(200, text[:-1] if old.cut >= 0 else text, length=len(text))
            else:
                answer = old.answer(path, values)
                status = 404 if answer is None else 200
                self._send(status, json.dumps(answer).encode() if answer is not None else b"<html>no</html>")

        def _send(self, status: int, data: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) if length is None else length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is printed."""

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()


def bring(workspace: Workspace, address: str) -> Report:
    """Import from a server."""
    source = RestSource(address)
    try:
        with Intake(workspace) as intake:
            Carrier(source, source, intake).carry()
    finally:
        source.close()
    return intake.report


def test_a_server_of_mlflow_1(workspace: Workspace, address: str) -> None:
    """Without the calls that MLflow 2 brought, and page by page, all of it comes; again it is known."""
    report = bring(workspace, address)
    assert [] == report.not_carried
    client = Client(workspace.repo.work_tree)
    first = client.get_run(FIRST)
    assert ({"lr": 0.1}, 3, STARTED) == (dict(first.params), first.metrics["m"].count, first.started)
    assert STARTED - 1 == client.get_run(SECOND).started
    assert ["model", "notes.txt"] == [each.path for each in client.list_artifacts(FIRST)]
    version = client.get_model_version("Churn", 3)
    assert (FIRST, "model", "Production") == (version.run_id, version.path, version.current_stage)
    assert {"same": 2} == bring(workspace, address).carried["runs"]


def test_files_that_are_here_are_not_asked_for_again(workspace: Workspace, address: str, old: Old) -> None:
    """By their path and size; one that is new is."""
    bring(workspace, address)
    old.asked.clear()
    old.paths["later.txt"] = "later"
    assert {"same": 1, "updated": 1} == bring(workspace, address).carried["runs"]
    assert 1 == sum(path == "/get-artifact" for path, _ in old.asked)


def test_a_server_that_is_busy_is_asked_again(workspace: Workspace, address: str, old: Old) -> None:
    """A 503, and a download that breaks off, cost a moment and nothing else."""
    old.failures = {f"{_API}/runs/search": [503, 500], "/get-artifact": [502]}
    old.cut = 1
    assert [] == bring(workspace, address).not_carried


def test_a_file_that_the_server_lost_is_listed(workspace: Workspace, address: str, old: Old) -> None:
    """The run comes without it."""
    old.failures = {"/get-artifact": [404]}
    missing = [(each.kind, each.what) for each in bring(workspace, address).not_carried]
    assert [("artifact", f"run {FIRST}: notes.txt")] == missing
    assert FIRST == Client(workspace.repo.work_tree).get_run(FIRST).id


@pytest.mark.parametrize(
    ("set_up", "expected"),
    [
        (lambda m: m.setenv("MLFLOW_TRACKING_TOKEN", "t0ken"), "Bearer t0ken"),
        (
            lambda m: (m.setenv("MLFLOW_TRACKING_USERNAME", "kim"), m.setenv("MLFLOW_TRACKING_PASSWORD", "pw")),
            "Basic " + base64.b64encode(b"kim:pw").decode(),
        ),
    ],
    ids=["token", "password"],
)
def test_who_asks(
    workspace: Workspace,
    address: str,
    old: Old,
    monkeypatch: pytest.MonkeyPatch,
    set_up: Callable[[pytest.MonkeyPatch], object],
    expected: str,
) -> None:
    """MLflow's own variables say it; without them the server's refusal names them."""
    old.password = expected
    with pytest.raises(ServerFailed) as caught:
        bring(workspace, address)
    step = "Say who you are: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert f"The server {address} could not be asked: 401 Unauthorized. {step}" == str(caught.value)
    set_up(monkeypatch)
    assert [] == bring(workspace, address).not_carried


def test_a_password_in_the_address(workspace: Workspace, address: str, old: Old) -> None:
    """It is used, and told nowhere."""
    old.password = "Basic " + base64.b64encode(b"kim:s3cret").decode()
    source = RestSource(address.replace("http://", "http://kim:s3cret@"))
    assert (address, 1) == (source.shown, len(source.experiments()))
    source.close()


def test_nobody_else_is_told_who_asks(
    workspace: Workspace, address: str, old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect to another host is refused, and named."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    old.redirect = "http://elsewhere.example"
    with pytest.raises(ServerFailed, match=r"it redirects to http://elsewhere\.example/api"):
        bring(workspace, address)
    assert None is workspace.repo.runs_tip()


def test_hostile_listings(workspace: Workspace, address: str, old: Old, tmp_path: Path) -> None:
    """A path that climbs out of the folder of artifacts is refused; the other files come."""
    old.paths = {"../evil.txt": "evil", "good.txt": "good"}
    report = bring(workspace, address)
    assert ["good.txt"] == [each.path for each in Client(workspace.repo.work_tree).list_artifacts(FIRST)]
    assert any("evil" in each.what for each in report.not_carried)
    assert [] == list(tmp_path.rglob("evil.txt"))


def test_what_is_no_server(workspace: Workspace) -> None:
    """An address where nobody answers."""
    with pytest.raises(ServerFailed, match=r"The server http://127\.0\.0\.1:9 could not be asked: .*refused"):
        RestSource("http://127.0.0.1:9")


class Moving(Old):
    """A server on which a run begins between two pages, so that the first one is told again."""

    def answer(self, path: str, values: dict[str, Any]) -> Any:
        """See `Old`."""
        answer = super().answer(path, values)
        if path.endswith("/runs/search") and values.get("page_token"):
            answer["runs"].insert(0, _run(FIRST, STARTED))
        return answer


class Garbled(Old):
    """A server that answers with some things that are none."""

    def answer(self, path: str, values: dict[str, Any]) -> Any:
        """See `Old`."""
        answer: Any = None if path.endswith("/model-versions/search") else super().answer(path, values)
        match path.removeprefix(_API):
            case "/runs/search":
                answer["runs"] += [{"info": 5}, {"info": {"run_id": "x" * 32, "start_time": "soon"}, "data": [1]}]
            case "/metrics/get-history":
                answer["metrics"].append({"key": "m", "value": "much", "timestamp": "soon"})
            case "/registered-models/list":
                answer["registered_models"] += [{}, {"name": "D", "aliases": [{"alias": "x", "version": "q"}]}]
            case "/model-versions/search":
                answer = {
                    "model_versions": [{}, {"version": "x"}, {"version": "9", "source": "http://169.254.169.254/"}]
                }
            case "/artifacts/list":
                answer = {"files": [{"path": 5, "file_size": "x"}]}
        return answer


class Endless(Old):
    """A server that tells again and again that there is more after one place."""

    def answer(self, path: str, values: dict[str, Any]) -> Any:
        """See `Old`."""
        answer = super().answer(path, values)
        return answer | {"next_page_token": "1"} if path.endswith("/runs/search") else answer


@pytest.mark.parametrize("old", [Moving()])
def test_a_run_that_is_told_twice_is_one(old: Old, workspace: Workspace, address: str) -> None:
    """Runs that begin while pages are asked for move the others on; none of them comes under another id."""
    report = bring(workspace, address)
    assert ({"new": 2}, {}) == (report.carried["runs"], report.clashes)


@pytest.mark.parametrize("old", [Endless()])
def test_pages_without_end_are_refused(old: Old, workspace: Workspace, address: str) -> None:
    """Rather than to take the first ones again, or for all that there are."""
    with pytest.raises(ServerFailed, match="again and again"):
        bring(workspace, address)


@pytest.mark.parametrize("old", [Garbled()])
def test_garbage_in_answers_costs_what_it_is_of(old: Old, workspace: Workspace, address: str) -> None:
    """Runs, points, models and versions that are none are told, and the others come; no web address is asked."""
    report = bring(workspace, address)
    assert {FIRST, SECOND} <= {run.id for run in Client(workspace.repo.work_tree).search_runs()}
    assert 3 == Client(workspace.repo.work_tree).get_run(FIRST).metrics["m"].count
    told = {each.what: each.why for each in report.not_carried if each.is_loss}
    wanted = {f"{'x' * 32}", f"{FIRST}: m", "Churn version x", "D", f"run {FIRST}: all files"}
    assert set() == wanted - told.keys()
    assert "an address in the web" in told["Churn version 9: http://169.254.169.254/"]


def test_a_redirect_to_plain_http_is_refused() -> None:
    """What is asked with would be sent for all to read."""
    request = Request("https://mlflow.team.org/api")
    handler = _Redirects()
    with pytest.raises(HTTPError, match="name that server"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://mlflow.team.org/api")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://mlflow.team.org/other") is not None


def test_an_address_that_is_none_shows_no_password() -> None:
    """A `/` in a password makes its first part a port, which Python's message quotes."""
    with pytest.raises(ServerFailed, match="%2F") as raised:
        RestSource("http://kim:sec/ret@127.0.0.1:1")
    assert "sec" not in str(raised.value)
