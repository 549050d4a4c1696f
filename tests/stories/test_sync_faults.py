"""Syncs are killed, connections cut, remotes fail: the next sync completes, and nothing is lost, doubled or torn."""

import contextlib
import http.client
import http.server
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstone.errors import PushRefused, RemoteFailed, RemoteUnreachable
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.cli.support import environment, run_cli, start_cli
from tests.git.support import check_clean
from tests.sharing import Team, make_team, record, recorded_ids, register, runs_of
from tests.support import git

pytestmark = [pytest.mark.dvc, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]

FULL = bool(os.environ.get("RUNSTONE_TEST_FULL"))
"""Whether the slow tests run at full length."""

ROUNDS = 50 if FULL else 6


def share(repo: Path) -> None:
    """Sync a repository from this process."""
    sync(Workspace.open(repo))


def finish(team: Team, expected: list[str]) -> None:
    """Sync everybody to the end, and look at everything: each run once, one line, tags on it, git without a fault."""
    clones = sorted(path.parent for path in team.folder.glob("*/.git"))
    for _ in range(2):
        for clone in clones:
            done = run_cli("sync", cwd=clone)
            assert 0 == done.returncode, done.stderr
    team.check()
    line = set(git("rev-list", "--first-parent", "runs", cwd=team.remote).split())
    tagged = git("for-each-ref", "--format=%(*objectname)", "refs/tags", cwd=team.remote).split()
    assert [] == [commit for commit in tagged if commit not in line]
    for place in (*clones, team.remote):
        assert sorted(expected) == runs_of(place) == recorded_ids(place)
        assert git("rev-parse", "runs", cwd=team.remote) == git("rev-parse", "runs", cwd=place)
        assert team.tags() == git("tag", "--list", cwd=place).split()
        check_clean(place)


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has begun, in their own sessions or not, at one moment."""
    os.kill(pid, signal.SIGSTOP)
    pids = [pid]
    for parent in pids:
        for tasks in Path("/proc", str(parent), "task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids += map(int, tasks.read_text().split())
    for each in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs a list of processes")
def test_kill_9_at_a_random_moment(team: Team) -> None:
    """A sync that has to replay, send bytes, the branch and a tag is killed with all its git processes."""
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    ann, bob = team.folder / "ann", team.clone("bob")
    runs = []
    begun = time.monotonic()
    assert 0 == run_cli("sync", cwd=ann).returncode
    longest = 1.5 * (time.monotonic() - begun) + 0.5
    for number in range(ROUNDS):
        runs += [record(bob, f"bob-{number}", text=f"{number}"), record(ann, f"ann-{number}", text=f"a{number}")]
        if number % 2:
            register(ann, f"model-{number}")
            runs.append(f"model-{number}")
        share(bob)
        process = start_cli("sync", cwd=ann, output=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0.1, longest))
        if process.poll() is None:
            kill_tree(process.pid)
        process.wait()
        team.check()
        done = run_cli("sync", cwd=ann)
        assert 0 == done.returncode, (seed, number, done.stderr)
    finish(team, runs)


@pytest.mark.parametrize("kind", ["receivepack", "uploadpack"])
def test_the_connection_is_cut(team: Team, kind: str) -> None:
    """The remote's side of a push or a fetch dies at a random moment: told, or overcome; the next sync completes.

    In the first round it dies before it has begun, so at least one cut is always seen.
    """
    dice = random.Random()
    ann, bob = team.folder / "ann", team.clone("bob")
    delay = team.folder / "delay"
    cut = team.folder / "cut.sh"
    program = {"receivepack": "receive-pack", "uploadpack": "upload-pack"}[kind]
    killer = f'(sleep $(cat "{delay}"); kill -9 $me) </dev/null >/dev/null 2>&1 &'
    at_once = f'test -s "{delay}" || kill -9 $me\n'
    cut.write_text(f'#!/bin/sh\nme=$$\n{at_once}{killer}\nexec git {program} "$@"\n')
    cut.chmod(0o755)
    runs: list[str] = []
    told: list[str] = []
    for number in range(ROUNDS):
        runs += [record(bob, f"bob-{number}"), record(ann, f"ann-{number}", text=f"a{number}")]
        share(bob)
        delay.write_text(f"{dice.uniform(0, 0.06 if kind == 'receivepack' else 0.02):.4f}\n" if number else "")
        git("config", f"remote.origin.{kind}", cut, cwd=ann)
        try:
            share(ann)
        except (RemoteUnreachable, PushRefused) as error:
            told.append(str(error))
        team.check()
        git("config", "--unset", f"remote.origin.{kind}", cwd=ann)
        if number % 3 == 2:
            share(ann)
    assert told, "nothing was cut"
    assert [] == [text for text in told if "`runstone sync`" not in text]
    finish(team, runs)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs a list of processes")
@pytest.mark.parametrize("side", ["ann/.git", "remote.git"])
def test_a_lock_file_that_a_killed_git_left(team: Team, side: str) -> None:
    """A git that is killed while it holds the branch leaves its lock file, here or there: the next sync removes it."""
    ann, bob = team.folder / "ann", team.clone("bob")
    record(bob, "first")
    share(bob)
    record(ann, "one")
    flag = team.folder / "flag"
    hook = team.folder / side / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\ngrep -q refs/heads/runs || exit 0\n[ $1 = prepared ] && touch '{flag}' && sleep 30\nexit 0\n"
    )
    hook.chmod(0o755)
    process = start_cli("sync", cwd=ann, output=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not flag.exists() and time.monotonic() < end:
        time.sleep(0.02)
    kill_tree(process.pid)
    process.wait()
    hook.unlink()
    lock = team.folder / side / "refs" / "heads" / "runs.lock"
    os.utime(lock, (time.time() - 11,) * 2)  # instead of waiting for as long
    done = run_cli("sync", cwd=ann)
    assert (0, "synced with origin: 1 run sent") == (done.returncode, done.stdout.partition(",")[0].rstrip())
    assert not lock.exists()
    finish(team, ["first", "one"])


def test_many_clones_at_once(team: Team) -> None:
    """All sync after each of their runs: each run arrives in every clone, once, in one line."""
    clones, each = (8, 20) if FULL else (4, 4)
    code = (
        "import sys, runstone\nfor number in range(int(sys.argv[2])):\n"
        "    with runstone.start_run(run_id=f'{sys.argv[1]}-{number}'): runstone.log_metric('m', number)\n"
        "    runstone.Client().sync()\n"
    )
    record(team.folder / "ann", "first")
    share(team.folder / "ann")
    places = [team.clone(f"c{number}") for number in range(clones)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, place.name, str(each)],
            cwd=place,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for place in places
    ]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert 0 == process.returncode, said
    finish(team, ["first", *(f"{place.name}-{number}" for place in places for number in range(each))])


# --- an S3 server that fails


class FlakyProxy(http.server.BaseHTTPRequestHandler):
    """Hands requests on to a server, and answers some of them with 500 instead."""

    protocol_version = "HTTP/1.1"
    target = ""
    share = 0.5
    dice = random.Random(7)
    answered_500 = 0

    def handle_any(self) -> None:
        """Answer one request."""
        kind = type(self)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if kind.dice.random() < kind.share:
            kind.answered_500 += 1
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection(kind.target)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(key, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(data)
        connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815  # as http.server calls them

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def flaky_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server that answers 500 half of the time, with a bucket `runs-of-a-team`."""
    import boto3
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="runs-of-a-team")
    FlakyProxy.target, FlakyProxy.answered_500 = f"{host}:{port}", 0
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FlakyProxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
    proxy.server_close()
    server.stop()


def test_an_s3_server_that_answers_500_half_of_the_time(
    tmp_path: Path, flaky_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync completes or fails with the branch unpushed; tried again, it completes, and the bytes come back whole."""
    import boto3

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # botocore's own five would hide most of it, slowly
    team = make_team(tmp_path, artifacts=False)
    ann, bob = team.folder / "ann", team.clone("bob")
    config = (
        f"[core]\n    remote = s3\n['remote \"s3\"']\n    url = s3://runs-of-a-team/dvc\n    endpointurl = {flaky_s3}\n"
    )
    for repo in (ann, bob):
        (repo / ".dvc").mkdir()
        (repo / ".dvc" / "config").write_text(config)
    failures = 0
    for number in range(10 if FULL else 1):
        record(ann, f"run-{number}", text=f"text {number}")
        before = team.tip()
        for _ in range(40):
            try:
                share(ann)
                break
            except RemoteFailed:
                failures += 1
                assert before == team.tip(), "the branch went before the bytes"
        else:
            pytest.fail("never completed")
    assert 0 < FlakyProxy.answered_500
    sound = boto3.client("s3", endpoint_url=f"http://{FlakyProxy.target}")
    keys = {item["Key"] for item in sound.list_objects_v2(Bucket="runs-of-a-team")["Contents"]}
    named = git("grep", "-h", "-o", "-E", r"[0-9a-f]{32}\.dir", "runs", cwd=team.remote).split()
    assert set() == {f"dvc/files/md5/{digest[:2]}/{digest[2:]}" for digest in named} - keys
    share(bob)
    monkeypatch.setattr(FlakyProxy, "share", 0.0)
    from runstone.client import Client

    assert "text 0" == Path(Client(bob).download_artifacts("run-0", "a.txt")).read_text()
