"""What the tests of the server and of the UI share: `runstone server` as a process of its own, and clients of it."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import SOURCE

PRIVATE = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "NO_COLOR": "1"}
START_S = 120


@dataclass
class Server:
    """A server at work.

    Attributes:
        process: The process of `runstone server`.
        address: Where it answers.
        log: The file of all that it and its children print.
        env: What it, and its clients, find in their environment.
    """

    process: "subprocess.Popen[str]"
    address: str
    log: Path
    env: dict[str, str]

    def ask(self, path: str, body: Any = None) -> Any:
        """One request; the JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def begin_client(self, code: str, *arguments: str) -> "subprocess.Popen[str]":
        """A program that tracks through the server, in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            env={**self.env, "MLFLOW_TRACKING_URI": self.address},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_client(self, code: str, *arguments: str) -> Any:
        """As `begin_client`, to its end; the JSON of its last line."""
        return ended(self.begin_client(code, *arguments))

    def workers(self) -> list[int]:
        """The processes that answer requests."""
        found = re.findall(r"(?:Started server process \[|Booting worker with pid: )(\d+)", self.log.read_text())
        return [int(pid) for pid in found]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def troubles(self) -> list[str]:
        """The lines of its log that tell of errors."""
        wrong = re.compile(r"ERROR|Traceback|CRITICAL|Exception|\" 5\d\d ")
        return [line for line in self.log.read_text().splitlines() if wrong.search(line)]


def until(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for a condition, or for as long as is reasonable; whoever asks asserts it."""
    end = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)


def ended(client: "subprocess.Popen[str]") -> Any:
    """Wait for a client; the JSON of its last line."""
    said, errors = client.communicate(timeout=600)
    assert client.returncode == 0, errors
    lines = said.splitlines()
    return json.loads(lines[-1]) if lines else None


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with a home of its own: nothing of the person who runs the tests, or of MLflow's, is seen."""
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "MLFLOW_", "RUNSTONE_", "XDG_"))}
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"HOME": str(home), "PYTHONPATH": path, "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1"}
    return {**kept, **own, **PRIVATE, **(extra or {})}


@contextmanager
def serving(repo: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`runstone server` on a repository, from when it answers until the block ends."""
    folder = repo.parent
    told = environment(folder / "home", env)
    log = folder / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "runstone", "server", "--repo", str(repo), "--port", "0", *arguments],
            cwd=folder,
            env=told,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        begun = re.compile(r"^MLflow's server on .* at (http://\S+)", re.M)
        until(lambda: process.poll() is not None or begun.search(log.read_text()) is not None, START_S)
        found = begun.search(log.read_text())
        assert found, f"it did not begin: {log.read_text()}"
        yield Server(process, found[1], log, told)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
        if process.poll() is None:
            process.kill()
