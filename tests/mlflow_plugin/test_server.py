"""`runstone server`: what clients elsewhere record through it, how it ends, and what it refuses to begin with."""

import json
import os
import signal
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runstone import Client
from runstone.git.repository import Repository
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.server import Settings, command
from tests.cli.support import run_cli
from tests.mlflow_plugin.serving import Server, ended, serving, until
from tests.support import free_port, git, is_free, make_repository

pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
pytestmark = pytest.mark.mlflow

CALLS = 2000 if os.environ.get("RUNSTONE_TEST_FULL") else 60
WRITE = """
import json, sys
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

name, shared, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
client, done, runs = MlflowClient(), 0, []
while done + 20 <= calls:
    run = client.create_run("0", run_name=f"{name}-{len(runs)}", tags={"writer": name}).info.run_id
    for step in range(8):
        client.log_metric(run, "loss", len(runs) + step / 10, step=step)
    for number in range(3):
        client.log_param(run, f"p{number}", f"{name} {number}")
        client.set_tag(run, f"t{number}", f"{name} {number}")
    client.log_batch(run, [Metric("acc", 0.5, 1, 0)], [Param("q", "1")], [RunTag("u", "v")])
    client.log_metric(shared, name, len(runs), step=len(runs))
    client.set_tag(shared, f"{name}-{len(runs)}", run)
    client.log_param(shared, f"{name}-{len(runs)}", run)
    client.set_terminated(run)
    runs.append(run)
    done += 20
print(json.dumps(runs))
"""
GO_ON = """
import json, sys
from pathlib import Path
from mlflow import MlflowClient

client, run, done = MlflowClient(), sys.argv[1], []
for step in range(100000):
    try:
        client.log_metric(run, "loss", step / 8, step=step)
        done.append(step)
    except Exception:
        pass
    Path(sys.argv[2]).write_text(str(step))
    if Path(sys.argv[3]).exists():
        break
print(json.dumps(done))
"""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Begin servers on a fresh repository; all end with the test."""
    from contextlib import ExitStack

    repo = make_repository(tmp_path / "repo")
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(serving(repo, *arguments, **options))


def new_run(server: Server, experiment: str = "0") -> str:
    """A run that is begun through the server."""
    answer = server.ask("/api/2.0/mlflow/runs/create", {"experiment_id": experiment, "start_time": 1790000000000})
    return str(answer["run"]["info"]["run_id"])


def log(server: Server, run: str, key: str, value: float, step: int = 0) -> None:
    """One point of a metric."""
    point = {"run_id": run, "key": key, "value": value, "timestamp": 1790000000000 + step, "step": step}
    server.ask("/api/2.0/mlflow/runs/log-metric", point)


def end(server: Server, run: str) -> None:
    """The end of a run."""
    server.ask("/api/2.0/mlflow/runs/update", {"run_id": run, "status": "FINISHED", "end_time": 1790000001000})


def points_of(repo: Path, run: str) -> list[tuple[str, int, float]]:
    """The points of a run as its file in git holds them: key, step, value."""
    path = git("ls-tree", "-r", "--name-only", "runs", cwd=repo).splitlines()
    file = next(name for name in path if name.endswith(f"{run}/metrics.tsv"))
    _, head, *rows = git("show", f"runs:{file}", cwd=repo).splitlines()
    assert "key\tstep\ttimestamp\tvalue" == head
    return [(key, int(step), float(value)) for key, step, _, value in (row.split("\t") for row in rows)]


def test_two_clients_lose_nothing(begin: Callable[..., Server], tmp_path: Path) -> None:
    """Two clients in processes of their own, two workers: every call that returned is in git, and a run is a commit."""
    server = begin("--workers", "2")
    shared = new_run(server)
    clients = {name: server.begin_client(WRITE, name, shared, str(CALLS)) for name in ("anna", "bela")}
    wrote = {name: ended(client) for name, client in clients.items()}
    end(server, shared)
    assert [] == server.troubles()
    assert 0 == server.stop()
    repo = tmp_path / "repo"
    runs = {run.id: run for run in Client(repo).search_runs(max_results=5000)}
    assert {"anna": CALLS // 20, "bela": CALLS // 20} == {name: len(ids) for name, ids in wrote.items()}
    for name, ids in wrote.items():
        for number, run_id in enumerate(ids):
            run = runs[run_id]
            assert f"{name}-{number}" == run.name
            assert "FINISHED" == run.status
            assert {"q": 1, **{f"p{each}": f"{name} {each}" for each in range(3)}} == dict(run.params)
            expected = {"writer": name, "u": "v", **{f"t{each}": f"{name} {each}" for each in range(3)}}
            assert expected == {key: run.tags[key] for key in expected}
            points = [("acc", 0, 0.5), *(("loss", step, number + step / 10) for step in range(8))]
            assert points == sorted(points_of(repo, run_id))
    both = runs[shared]
    texts = {f"{name}-{number}": run_id for name, ids in wrote.items() for number, run_id in enumerate(ids)}
    assert texts == dict(both.params)
    assert texts == {key: both.tags[key] for key in texts}
    expected_points = [(name, number, float(number)) for name, ids in wrote.items() for number in range(len(ids))]
    assert sorted(expected_points) == sorted(points_of(repo, shared))
    git("fsck", "--strict", cwd=repo)
    subjects = git("log", "--first-parent", "--format=%s", "runs", cwd=repo).splitlines()
    assert len(runs) <= len(subjects) <= len(runs) + 5  # the experiment is a commit, too; a metric is none


@pytest.mark.timeout(900)
def test_a_killed_worker_loses_nothing_it_acknowledged(begin: Callable[..., Server], tmp_path: Path) -> None:
    """One of two workers is killed while a client logs: what it said was done is done, and the others go on."""
    server = begin("--workers", "2")
    run = new_run(server)
    told, enough = tmp_path / "step", tmp_path / "enough"
    client = server.begin_client(GO_ON, run, str(told), str(enough))

    def step() -> int:
        return int(told.read_text() or 0) if told.exists() else 0

    def goes_on() -> bool:
        begun = step()
        until(lambda: step() >= begun + 20, 180)  # on a busy machine MLflow itself is long in beginning
        return step() >= begun + 20

    until(lambda: len(server.workers()) == 2)
    for number in (0, 1):
        assert goes_on()
        os.kill(server.workers()[number], signal.SIGKILL)
    assert goes_on()
    enough.touch()
    done = ended(client)
    end(server, run)
    assert 0 == server.stop()
    recorded = points_of(tmp_path / "repo", run)
    assert [] == [step for step in done if ("loss", step, step / 8) not in recorded]
    assert {("loss", step, step / 8) for step in range(len(recorded))} >= set(recorded)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_commits_what_waits(begin: Callable[..., Server], tmp_path: Path, number: int) -> None:
    """No process is left, the exit code is 0, and a run that still goes on is in git as far as it was."""
    server = begin()
    run = new_run(server)
    log(server, run, "loss", 0.5)
    until(lambda: len(server.workers()) == 2)
    workers = server.workers()
    assert 2 == len(workers)
    assert 0 == server.stop(number)
    assert [] == [pid for pid in workers if is_alive(pid)]
    assert [("loss", 0, 0.5)] == points_of(tmp_path / "repo", run)
    assert "RUNNING" == Client(tmp_path / "repo").get_run(run).status
    with pytest.raises(urllib.error.URLError):
        log(server, run, "loss", 0.25, 1)


def test_nothing_is_left_of_a_server_that_is_killed(begin: Callable[..., Server], tmp_path: Path) -> None:
    """Its workers end, too, so that the next one can have its port; what it had taken is there."""
    port = free_port()
    first = begin("--port", str(port))
    run = new_run(first)
    log(first, run, "loss", 0.5)
    until(lambda: len(first.workers()) == 2)
    workers = first.workers()
    assert -signal.SIGKILL == first.stop(signal.SIGKILL)
    until(lambda: not any(map(is_alive, workers)), 90)
    assert [] == [pid for pid in workers if is_alive(pid)]
    until(lambda: is_free(port))  # what began the workers ends after them
    second = begin("--port", str(port))
    assert first.address == second.address
    log(second, run, "loss", 0.25, 1)
    end(second, run)
    assert 0 == second.stop()
    assert [("loss", 0, 0.5), ("loss", 1, 0.25)] == points_of(tmp_path / "repo", run)


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_goes_on_after_the_server_did(begin: Callable[..., Server], tmp_path: Path) -> None:
    """A run that was begun through one server is logged to and ended through the next."""
    first = begin()
    run = new_run(first)
    log(first, run, "loss", 0.5)
    first.stop()
    second = begin()
    log(second, run, "loss", 0.25, 1)
    end(second, run)
    second.stop()
    assert [("loss", 0, 0.5), ("loss", 1, 0.25)] == points_of(tmp_path / "repo", run)
    assert "FINISHED" == Client(tmp_path / "repo").get_run(run).status


def test_an_idle_run_is_committed_and_goes_on(begin: Callable[..., Server], tmp_path: Path) -> None:
    """A run that nobody writes to for --idle seconds is in git as far as it is, and can be logged to again."""
    server = begin("--idle", "1", "--workers", "1")
    run = new_run(server)
    log(server, run, "loss", 0.5)
    repo = tmp_path / "repo"
    until(lambda: run in git("ls-tree", "-r", "--name-only", "runs", cwd=repo, check=False))
    assert [("loss", 0, 0.5)] == points_of(repo, run)
    log(server, run, "loss", 0.25, 1)
    end(server, run)
    until(lambda: len(points_of(repo, run)) == 2)
    assert [("loss", 0, 0.5), ("loss", 1, 0.25)] == points_of(repo, run)


def test_runs_are_pushed_and_a_remote_that_is_away_is_said(begin: Callable[..., Server], tmp_path: Path) -> None:
    """With --push auto a run reaches the remote; while that is away the server goes on, says so, and tries again."""
    repo, remote, away = tmp_path / "repo", tmp_path / "remote.git", tmp_path / "away.git"
    git("init", "-q", "--bare", "-b", "main", remote, cwd=tmp_path)
    server = None
    git("remote", "add", "origin", remote, cwd=make_repository(repo) if not repo.exists() else repo)
    server = begin("--push", "auto", "--sync-interval", "1", "--workers", "1")
    first = new_run(server)
    end(server, first)
    until(lambda: first in tree_of(remote))
    assert first in tree_of(remote)
    remote.rename(away)
    second = new_run(server)
    end(server, second)
    until(lambda: "The sync failed, and is tried again" in server.log.read_text())
    log_then = server.log.read_text()
    assert 1 == log_then.count("The sync failed, and is tried again")
    third = new_run(server)
    away.rename(remote)
    until(lambda: second in tree_of(remote))
    assert second in tree_of(remote)
    until(lambda: "now it is done" in server.log.read_text())
    end(server, third)
    assert 0 == server.stop()
    assert third in tree_of(remote)
    assert 1 == server.log.read_text().count("The sync failed, and is tried again")


def tree_of(repo: Path) -> str:
    """The names of all files on the branch of runs."""
    return git("ls-tree", "-r", "--name-only", "runs", cwd=repo, check=False) if repo.exists() else ""


def test_artifacts_go_through_the_server(begin: Callable[..., Server], tmp_path: Path) -> None:
    """A client that sees no repository logs files and gets them back; they lie in the repository's own cache."""
    server = begin()
    code = """
    import json, os, sys, mlflow
    from pathlib import Path
    os.chdir(sys.argv[1])
    Path("a.txt").write_text("alpha")
    with mlflow.start_run() as run:
        mlflow.log_artifact("a.txt", "folder")
        mlflow.log_text("beta", "b.txt")
    got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path="got")
    found = {str(path.relative_to(got)): path.read_text() for path in Path(got).rglob("*.txt")}
    print(json.dumps([run.info.run_id, found]))
    """
    run, found = server.run_client(code, str(tmp_path))
    assert {"folder/a.txt": "alpha", "b.txt": "beta"} == found
    server.stop()
    (tmp_path / "out").mkdir()
    folder = Client(tmp_path / "repo").download_artifacts(run, dst_path=tmp_path / "out")
    assert "alpha" == (Path(folder) / "folder" / "a.txt").read_text()
    assert not (tmp_path / "mlartifacts").exists()


def test_a_bare_repository_is_served(tmp_path: Path) -> None:
    """A bare repository, as on a server of git, is tracked in like any other."""
    bare = tmp_path / "bare.git"
    git("init", "-q", "--bare", "-b", "main", bare, cwd=tmp_path)
    with serving(bare, "--workers", "1") as server:
        run = new_run(server)
        log(server, run, "loss", 0.5)
        end(server, run)
        assert [] == server.troubles()
    assert [("loss", 0, 0.5)] == points_of(bare, run)


def test_a_name_with_blanks_and_signs_is_served(tmp_path: Path) -> None:
    """The folder's name is quoted on its way through the URI."""
    repo = make_repository(tmp_path / "a b#ü%20?&@")
    with serving(repo, "--workers", "1") as server:
        run = new_run(server)
        end(server, run)
    assert "FINISHED" == Client(repo).get_run(run).status


def test_security_options(git_repo: Path) -> None:
    """Names and origins are handed on where MLflow knows them, and refused by its version where it does not."""
    settings = Settings(allowed_hosts="a.example", cors_allowed_origins="https://b.example")
    line = command(Repository.open(git_repo), settings, 5000)
    assert ["--allowed-hosts", "--cors-allowed-origins", "https://b.example"] == [line[-4], *line[-2:]]
    assert {"a.example", "localhost:*", "127.0.0.1"} < set(line[-3].split(","))
    if not compat.is_since((3, 5)):
        done = run_cli("server", "--port", "0", "--allowed-hosts", "a.example", cwd=git_repo)
        assert 2 == done.returncode
        assert "has no `--allowed-hosts`" in done.stderr


def test_the_security_of_mlflow_is_on(begin: Callable[..., Server]) -> None:
    """A request under a name that is not allowed is refused; under one that is, it is answered."""
    if not compat.is_since((3, 5)):
        pytest.skip("this MLflow has no such check")
    server = begin("--allowed-hosts", "runs.example.org", "--workers", "1")
    port = int(server.address.rpartition(":")[2])
    assert 403 == status_of(port, "evil.example.org")
    assert 200 == status_of(port, "runs.example.org")
    assert 200 == status_of(port, f"127.0.0.1:{port}")


def test_accounts_of_mlflow_are_not_in_the_work_tree(tmp_path: Path) -> None:
    """There they would come into the next run's snapshot; who has no account is refused, and who has one is not."""
    pytest.importorskip("flask_wtf", reason="MLflow's accounts need it")
    env = {"MLFLOW_AUTH_ADMIN_PASSWORD": "correct horse battery", "MLFLOW_FLASK_SERVER_SECRET_KEY": "staple"}
    repo = make_repository(tmp_path / "repo")
    with serving(repo, "--workers", "1", "--", "--app-name", "basic-auth", env=env) as server:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            server.ask("/api/2.0/mlflow/registered-models/search")
        server.env |= {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "correct horse battery"}
        server.run_client("import mlflow\nwith mlflow.start_run(): mlflow.log_metric('loss', 0.5)\nprint('null')")
    assert "" == git("status", "--porcelain", cwd=repo)
    assert [repo / ".git" / "runstone" / "server" / "basic_auth.db"] == list(tmp_path.rglob("basic_auth.db"))
    assert ["FINISHED"] == [run.status for run in Client(repo).search_runs(["0"])]


def status_of(port: int, host: str) -> int:
    """The status of an answer to a request under some name."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"max_results": 1})
    connection.request(
        "POST", "/api/2.0/mlflow/experiments/search", body, {"Host": host, "Content-Type": "application/json"}
    )
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_opens_no_second_store(begin: Callable[..., Server], tmp_path: Path) -> None:
    """MLflow leaves no database and no folder of its own beside the repository."""
    server = begin("--workers", "1")
    run = new_run(server)
    end(server, run)
    models: Any = server.ask("/api/2.0/mlflow/registered-models/search")
    assert {} == models
    server.stop()
    assert {"repo", "home", "server.log"} == {path.name for path in tmp_path.iterdir()}
    assert "" == git("status", "--porcelain", cwd=tmp_path / "repo")
