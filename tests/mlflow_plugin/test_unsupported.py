"""What Runstone does not keep: found empty where MLflow's UI asks, else refused in a sentence; nothing crashes."""

import inspect
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from mlflow.exceptions import MlflowException

from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.registry import RegistryStore
from runstone.mlflow_plugin.tracking import TrackingStore
from tests.mlflow_plugin.serving import Server, serving
from tests.support import make_repository, run_python

pytestmark = pytest.mark.mlflow
since_3 = pytest.mark.skipif(not compat.has_logged_models(), reason="MLflow 2 has none of it")

EMPTY: dict[str, Any] = {
    "search_traces": ([], None),
    "batch_get_traces": [],
    "query_trace_metrics": [],
    "list_scorers": [],
    "search_datasets": [],
    "list_label_schemas": [],
    "list_review_queues": [],
    "list_secret_infos": [],
    "list_gateway_endpoints": [],
    "search_mcp_servers": [],
    "search_issues": [],
}
REFUSED = {
    "start_trace": "Runstone keeps no traces: `start_trace` is not supported.",
    "set_trace_tag": "Runstone keeps no traces: `set_trace_tag` is not supported.",
    "link_traces_to_run": "Runstone keeps no traces: `link_traces_to_run` is not supported.",
    "create_assessment": "Runstone keeps no reviews of traces: `create_assessment` is not supported.",
    "register_scorer": "Runstone keeps no judges and scorers: `register_scorer` is not supported.",
    "create_dataset": "Runstone keeps no evaluation datasets of MLflow's own: `create_dataset` is not supported.",
    "create_gateway_endpoint": "Runstone has no AI gateway: `create_gateway_endpoint` is not supported.",
    "create_mcp_access_endpoint": "Runstone keeps no MCP servers: `create_mcp_access_endpoint` is not supported.",
    "create_review_queue": "Runstone keeps no reviews of traces: `create_review_queue` is not supported.",
}
TRACED = """
import mlflow, time

@mlflow.trace
def double(number):
    return 2 * number

with mlflow.start_run():
    print([double(number) for number in range(5)])
with mlflow.start_span("alone") as span:
    span.set_inputs({"a": 1})
print(len(mlflow.search_traces()))
"""


def called(method: Any) -> Any:
    """What a method answers, or raises, whatever it needs."""
    needed = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    positional = [None for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = {p.name: None for p in needed if p.kind is p.KEYWORD_ONLY}
    try:
        return method(*positional, **named)
    except MlflowException as error:
        return error


def open_methods(cls: type) -> list[str]:
    """The methods of which MLflow's own class says only that a store has to have them."""
    own = next(base for base in cls.__mro__ if base.__module__.startswith("mlflow."))
    names = []
    for name, member in inspect.getmembers(own, inspect.isfunction):
        body = inspect.getsource(member)
        if not name.startswith("_") and ("raise NotImpl" in body or "raise MlflowNotImpl" in body):
            names.append(name)
    return names


@pytest.mark.parametrize("kind", [TrackingStore, RegistryStore])
def test_nothing_is_left_open(kind: type, folder: Path) -> None:
    """No method of MLflow's raises NotImplementedError, which its server would answer with 500 and a traceback."""
    store = kind(f"runstone:{folder}")
    names = open_methods(kind)
    assert "set_trace_tag" in names or "create_webhook" in names or not compat.has_logged_models()
    for name in set(names) - {"log_spans"}:
        method = getattr(store, name)
        if inspect.unwrap(method).__module__.startswith("mlflow."):
            answer = called(method)
            if isinstance(answer, MlflowException):
                assert answer.error_code in ("NOT_IMPLEMENTED", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
                assert answer.message
                assert answer.get_http_status_code() in (400, 404, 501)


@since_3
@pytest.mark.parametrize("name", EMPTY)
def test_reads_of_the_ui_find_nothing(store: TrackingStore, name: str) -> None:
    """What the UI asks on the pages it opens is answered, with nothing."""
    assert EMPTY[name] == called(getattr(store, name))


def test_traces_are_found_empty_in_every_version(store: TrackingStore) -> None:
    """The UI asks for a trace to tell what an experiment is for; pages of none have no next one."""
    assert ([], None) == store.search_traces(["0"])


@since_3
@pytest.mark.parametrize("name", REFUSED)
def test_writes_are_refused_in_a_sentence(store: TrackingStore, name: str) -> None:
    """What was not kept is said by name, with the code that MLflow's clients know."""
    answer = called(getattr(store, name))
    assert (REFUSED[name], "NOT_IMPLEMENTED") == (answer.message, answer.error_code)


@since_3
@pytest.mark.parametrize(
    "name", ["get_trace", "get_trace_info", "get_scorer", "get_or_create_user_queue", "get_dataset"]
)
def test_what_is_asked_for_by_its_id_is_not_there(store: TrackingStore, name: str) -> None:
    """That is no fault of the server, which would log an error for a 501."""
    answer = called(getattr(store, name))
    assert ("RESOURCE_DOES_NOT_EXIST", 404) == (answer.error_code, answer.get_http_status_code())


@since_3
def test_webhooks(folder: Path) -> None:
    """No registry's write asks in vain for webhooks; to make one is refused."""
    store = RegistryStore(f"runstone:{folder}")
    assert [] == store.list_webhooks_by_event(None)
    assert [] == store.list_webhooks()
    answer = called(store.create_webhook)
    assert "Runstone sends no webhooks: `create_webhook` is not supported." == answer.message


def test_what_mlflow_s_class_does_well_is_left_to_it(store: TrackingStore) -> None:
    """A method of MLflow's that only calls others still does, and an argument it refuses is refused in its words."""
    with pytest.raises(MlflowException) as caught:
        store.delete_traces("0")
    assert "INVALID_PARAMETER_VALUE" == caught.value.error_code
    assert store.search_experiments.__module__ != "mlflow.store.tracking.abstract_store"


def test_a_traced_program_goes_on_and_is_told_once(git_repo: Path) -> None:
    """Tracing, as autologging of language models turns it on, breaks nothing; that traces are dropped is said once."""
    env = {"MLFLOW_TRACKING_URI": "runstone:.", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    done = run_python(TRACED, cwd=git_repo, env=env)
    assert ["[0, 2, 4, 6, 8]", "0"] == done.stdout.splitlines()
    assert 1 == done.stderr.count("Runstone keeps no traces"), done.stderr
    assert "Traceback" not in done.stderr


@since_3
def test_the_server_answers_without_a_traceback(tmp_path: Path) -> None:
    """Over REST: an empty search, a 501 or a 404 in a sentence, and no traceback in the log."""
    with serving(make_repository(tmp_path / "repo"), "--workers", "1") as server:
        assert {} == server.ask("/ajax-api/3.0/mlflow/scorers/list?experiment_id=0")
        for path, body, status, words in (
            ("/api/3.0/mlflow/traces", TRACE, 501, "Runstone keeps no traces: `start_trace` is not supported."),
            ("/api/2.0/mlflow/traces", {"experiment_id": "0", "timestamp_ms": 1}, 501, "Runstone keeps no traces"),
            ("/api/3.0/mlflow/traces/tr-1", None, 404, "Runstone keeps no traces"),
            ("/api/2.0/mlflow/webhooks", WEBHOOK, 501, "Runstone sends no webhooks"),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                server.ask(path, body)
            answer = json.loads(caught.value.read() or b"{}")
            assert (status, True) == (caught.value.code, words in answer.get("message", "")), answer
        said = server.log.read_text()
    assert "Traceback" not in said


def test_no_address_of_the_server_answers_with_a_traceback(tmp_path: Path) -> None:
    """Every address that MLflow's server has is asked, of what is there and of what is not: none of them breaks."""
    with serving(make_repository(tmp_path / "repo"), "--workers", "1") as server:
        run = server.ask("/api/2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        server.ask("/api/2.0/mlflow/registered-models/create", {"name": "lin"})
        told = {**dict.fromkeys(WORDS, "x"), "experiment_id": "0", "run_id": run, "run_uuid": run, "name": "lin"}
        statuses = [status_of(server, method, path, told) for method, path in addresses(run)]
        assert len(statuses) > 50
        assert 200 in statuses
        assert 500 not in statuses
        assert "Traceback" not in server.log.read_text()


WORDS = "trace_id request_id key value version metric_key queue_id path model_id dataset_id schema_id user".split()


def addresses(run: str) -> list[tuple[str, str]]:
    """The methods and paths of MLflow's server, with a run and experiment that exist for their variables."""
    from mlflow.server import app

    found = []
    for rule in app.url_map.iter_rules():
        # The UI's addresses are those of clients, twice; its GraphQL needs a query, and is asked by the UI itself.
        if "/ajax-api/" in rule.rule or rule.rule == "/graphql" or "assistant" in rule.rule:
            continue
        path = re.sub(r"<[^>]*experiment[^>]*>", "0", rule.rule)
        path = re.sub(r"<[^>]*>", "x", re.sub(r"<[^>]*run[^>]*>", run, path))
        found += [(method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}]
    return sorted(found, key=lambda each: "delete" in each[1] or each[0] == "DELETE")


def status_of(server: Server, method: str, path: str, told: dict[str, str]) -> int:
    """The status of the answer to a request that tells all it could be asked for."""
    told_ids = {**told, "experiment_ids": ["0"], "trace_ids": ["x"], "max_results": 5}
    query, body = (f"?{urlencode(told)}", None) if method == "GET" else ("", json.dumps(told_ids).encode())
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.address}{path}{query}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


TRACE = {
    "trace": {
        "trace_info": {
            "trace_id": "tr-1",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
            "request_time": "2026-01-01T00:00:00Z",
            "state": "OK",
        }
    }
}
WEBHOOK = {
    "name": "w",
    "url": "https://hooks.example.org/x",
    "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
}
