"""Several processes that serve one model on one socket: started, watched, started again when they die, ended together.

Each begins anew with this process's interpreter and import path, gets the socket as an inherited descriptor and its
settings on standard input; when that closes, since this process is gone, it ends too.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from types import FrameType

from runstone.errors import ServerFailed
from runstone.serving.access_log import log_event
from runstone.serving.metrics import FOLDER
from runstone.serving.resolve import Identity
from runstone.serving.server import Settings

_PROGRAM = (
    "import json, sys; given = json.loads(sys.stdin.readline()); sys.path[:] = given['path']; "
    "from runstone.serving.worker import main; main(given)"
)
_TICK_S = 0.1
_PATIENCE_S = 5.0
_AGAIN_S = 1.0
_AGAIN_FAILED_S = 10.0


class _Worker:
    """One process."""

    def __init__(self, settings: Settings, identity: Identity, bound: socket.socket, metrics: str) -> None:
        self.begun = time.monotonic()
        self.is_ready = self.is_closed = False
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._told = read
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            pass_fds=(bound.fileno(), write),
            start_new_session=True,  # Ctrl-C is for the one that watches
            env={**os.environ, FOLDER: metrics},
        )
        os.close(write)
        given = {
            "path": sys.path,
            "settings": asdict(settings),
            "identity": asdict(identity),
            "socket": bound.fileno(),
            "ready": write,
        }
        assert self.process.stdin is not None  # it is a pipe
        self.process.stdin.write(json.dumps(given).encode() + b"\n")
        self.process.stdin.flush()

    def look(self) -> bool:
        """Whether it lives; notices when it takes requests."""
        if not self.is_ready and not self.is_closed:
            with contextlib.suppress(BlockingIOError):
                self.is_ready = bool(os.read(self._told, 1))
        return self.process.poll() is None

    def close(self) -> None:
        """Let go of its pipes."""
        if self.is_closed:
            return
        self.is_closed = True
        os.close(self._told)
        if self.process.stdin is not None:
            self.process.stdin.close()


def supervise(settings: Settings, identity: Identity, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Serve with several processes until a signal says to stop; a second one says to wait for no request.

    Args:
        settings: How to serve.
        identity: What to serve.
        bound: The socket.
        ready: Told when all of them take requests.

    Raises:
        ServerFailed: One ended before it took requests, and no other does; it has said why itself.
    """
    stop: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        stop.append(number)

    kept = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory(prefix="runstone-metrics-") as metrics:

        def begin() -> _Worker:
            return _Worker(settings, identity, bound, metrics)

        workers = [begin() for _ in range(settings.workers)]
        try:
            is_told = False
            while not stop:
                for number, worker in enumerate(workers):
                    if not worker.look() and (is_told or not worker.is_ready):
                        others = [other for other in workers if other is not worker and other.look() and other.is_ready]
                        workers[number] = _again(worker, begin, metrics, may_fail=is_told and bool(others))
                if not is_told and all(worker.is_ready for worker in workers):
                    is_told = True
                    ready()
                time.sleep(_TICK_S)
        finally:
            bound.close()  # else it would still be listened on when no worker does
            _end(workers, settings.limits.timeout_s + _PATIENCE_S, stop)
            for number, handler in kept.items():
                signal.signal(number, handler)


def _again(worker: _Worker, begin: Callable[[], _Worker], metrics: str, *, may_fail: bool) -> _Worker:
    """Another process in place of one that died; the same one until it is time for that."""
    from prometheus_client.multiprocess import mark_process_dead

    code = worker.process.returncode
    if not worker.is_ready and not may_fail:
        raise ServerFailed(f"a worker ended with {code} before it took requests", "What it said stands above.")
    if not worker.is_closed:
        log_event("worker-ended", pid=worker.process.pid, code=code, served=worker.is_ready)
        mark_process_dead(worker.process.pid, metrics)  # type: ignore[no-untyped-call]  # the library has no types there
        worker.close()
    if time.monotonic() - worker.begun < (_AGAIN_S if worker.is_ready else _AGAIN_FAILED_S):
        return worker
    return begin()


def _end(workers: list[_Worker], patience_s: float, stop: list[int]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    end = time.monotonic() + patience_s
    while any(worker.process.poll() is None for worker in workers):
        if time.monotonic() > end or len(stop) > 1:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
        time.sleep(_TICK_S / 10)
    for worker in workers:
        worker.close()
