"""MLflow's own server on a repository: begun as a child, and what a repository needs done beside it.

The child is `mlflow server` with the stores of this plug-in. Beside it, here, runs that nobody writes to are committed
now and then, and the repository is kept in sync with its git remote: what fails there is said and tried again, and
never ends the server.
"""

import configparser
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from types import FrameType
from typing import Any
from urllib.parse import quote

from runstone.errors import MissingLibrary, NothingToSyncWith, ReadOnlyRepository, UsageError
from runstone.git.repository import Repository
from runstone.mlflow_plugin import compat
from runstone.mlflow_plugin.place import MARK
from runstone.mlflow_plugin.upkeep import Say, Upkeep
from runstone.serving.address import address_of, bind
from runstone.tracking.workspace import Workspace

_OURS = {"--backend-store-uri", "--registry-store-uri", "--default-artifact-root", "--artifacts-destination"}
_OURS |= {"--host", "-h", "--port", "-p", "--workers", "-w", "--read-replica-backend-store-uri", "--artifacts-only"}
_SECURITY_SINCE = (3, 5)
_THIS_MACHINE = tuple(f"{host}{port}" for host in ("localhost", "127.0.0.1", "[::1]") for port in ("", ":*"))
"""Names that clients on this machine may always use, as they may where nothing is said; no web site can have them."""

_GRACE_S = 30.0
"""Seconds for the child's processes to end by themselves."""

_GUARD = 'read -r _ || { kill -s TERM -- "-$1"; sleep "$2"; kill -s KILL -- "-$1"; }'
"""A shell that waits for a word, or for whoever could say one to be gone."""

_OFF = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_ENABLE_AI_GATEWAY": "false"}
"""What of MLflow needs a database: its UI does not offer it then. Whoever sets the variables is heeded."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        host: The address to listen at.
        port: The port; 0 for any that is free.
        workers: Processes that answer requests.
        push: Whether to keep in sync with the git remote.
        remote: Which one; see `transport.find_remote`.
        sync_every_s: Seconds between syncs.
        idle_s: Seconds after which what a live run has logged is committed, if nobody writes to it.
        allowed_hosts: The names that clients may call the server by, beside this machine's own; MLflow's own default if
            not given.
        cors_allowed_origins: The web sites whose pages may ask it; MLflow's own default if not given.
        further: Further options of `mlflow server`, as they stand.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 2
    push: bool = False
    remote: str | None = None
    sync_every_s: float = 60.0
    idle_s: float = 300.0
    allowed_hosts: str | None = None
    cors_allowed_origins: str | None = None
    further: tuple[str, ...] = ()


def serve(workspace: Workspace, settings: Settings, say: Say, ready: Callable[[str], None]) -> int:
    """Run MLflow's server until it ends, or a signal says to stop.

    Args:
        workspace: The repository.
        settings: How.
        say: Told what goes wrong beside the server, and when it goes well again.
        ready: Told the address once it answers there.

    Returns:
        The exit code of MLflow's server; 0 if a signal stopped it.

    Writes:
        What clients record; commits of runs that wait; as `sync`, with `push`.

    Raises:
        MissingLibrary: MLflow is not installed as a whole.
        PortInUse, NoSuchAddress: Nothing can be served there.
        ReadOnlyRepository, DiskFull: The repository cannot be written.
        NothingToSyncWith: It has no remote, and `push` asks for one.
        UsageError: There is no such remote, or MLflow has no such option.
    """
    check(workspace, settings)
    bound = bind(settings.host, settings.port)
    address, port = address_of(bound), bound.getsockname()[1]
    if os.name != "posix":  # where two sockets that are bound to one port are both asked
        bound.close()
    child = subprocess.Popen(
        command(workspace.repo, settings, port),
        env={**_OFF, **_accounts(workspace.repo, settings.further), **_environment()},
        stdin=subprocess.DEVNULL,
        start_new_session=os.name == "posix",  # so that its workers can be told to end, whoever is told first
    )
    stopping = threading.Event()
    upkeep = Upkeep(workspace, idle_s=settings.idle_s, remote=settings.remote, say=say)
    every_s = settings.sync_every_s if settings.push else None
    beside = threading.Thread(target=upkeep.work, args=(stopping, every_s), name="runstone-upkeep", daemon=True)
    with _Asked(child, stopping) as asked:
        threading.Thread(target=_announce, args=(bound, address, ready, child), daemon=True).start()
        beside.start()
        with _guarded(child):
            code = child.wait()
            _end_group(child)
        stopping.set()
        beside.join()
        upkeep.commit_all()
        if settings.push:
            upkeep.sync()
    return 0 if asked.stopped else code if code >= 0 else 128 - code


def check(workspace: Workspace, settings: Settings) -> None:
    """See that nothing is in the way, before anything is begun; raises as `serve`."""
    for module in ("mlflow", "flask"):  # `mlflow-skinny` has no server
        if importlib.util.find_spec(module) is None:
            raise MissingLibrary("mlflow", "run MLflow's server", "'runstone[mlflow]'")
    for word in settings.further:
        name = word.partition("=")[0]
        if name in _OURS:
            raise UsageError(f"`{name}` is Runstone's own to say; see `runstone server --help`.")
    if (settings.allowed_hosts or settings.cors_allowed_origins) and not compat.is_since(_SECURITY_SINCE):
        raise UsageError(
            f"MLflow {compat.installed()} has no `--allowed-hosts` and no `--cors-allowed-origins`. "
            "Install a newer one: `pip install 'mlflow>=3.5,<4'`"
        )
    folder = workspace.repo.writable_state("server")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ReadOnlyRepository(workspace.repo.common_dir, error.strerror or str(error)) from error
    if settings.push:
        from runstone.git.transport import find_remote

        if find_remote(workspace.repo, settings.remote) is None and workspace.artifacts.remote() is None:
            raise NothingToSyncWith()


def command(repo: Repository, settings: Settings, port: int) -> list[str]:
    """The command line of MLflow's server."""
    store = f"runstone:{quote(str(repo.work_tree or repo.common_dir))}"
    line = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--registry-store-uri", store]
    line += ["--serve-artifacts", "--artifacts-destination", f"{store}{MARK.rstrip('/')}"]
    line += ["--default-artifact-root", "mlflow-artifacts:/"]
    line += ["--host", settings.host, "--port", str(port), "--workers", str(settings.workers)]
    if settings.allowed_hosts is not None:
        line += ["--allowed-hosts", ",".join([settings.allowed_hosts, *_THIS_MACHINE])]
    if settings.cors_allowed_origins is not None:
        line += ["--cors-allowed-origins", settings.cors_allowed_origins]
    return [*line, *settings.further]


class _Asked:
    """Whether a signal has said to stop; while it is the context, signals end the child instead of this process."""

    def __init__(self, child: "subprocess.Popen[bytes]", stopping: threading.Event) -> None:
        self.stopped = False
        self._child = child
        self._stopping = stopping
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "_Asked":
        self._before = {number: signal.signal(number, self._on) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on(self, number: int, frame: FrameType | None) -> None:
        del frame
        again, self.stopped = self.stopped, True
        self._stopping.set()
        if self._child.poll() is not None:
            if again:  # what follows the child's end is a sync, which a second word may cut short
                raise KeyboardInterrupt
            return
        _signal_group(self._child, signal.SIGKILL if again and os.name == "posix" else signal.SIGTERM)


@contextmanager
def _guarded(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """While this is the context, should this process be killed, the child and its workers are told to end.

    They would hold the port, and nobody would commit or sync what they record.
    """
    if os.name != "posix":
        yield
        return
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(child.pid), f"{_GRACE_S:.0f}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the one that it watches
    )
    try:
        yield
    finally:
        guard.communicate(b"\n")


def _signal_group(child: "subprocess.Popen[bytes]", number: int) -> None:
    """To the child and its workers: the MLflow of some versions does not hand on what it is told."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Wait for the workers that outlive the child, and end those that do not end."""
    if os.name != "posix":
        return
    _signal_group(child, signal.SIGTERM)
    until = time.monotonic() + _GRACE_S
    while time.monotonic() < until:
        try:
            os.killpg(child.pid, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.05)
    _signal_group(child, signal.SIGKILL)


def _announce(
    bound: socket.socket, address: str, ready: Callable[[str], None], child: "subprocess.Popen[bytes]"
) -> None:
    """Wait until the server answers, however long its workers take to begin; so long, `bound` keeps its port for it."""
    local = address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while child.poll() is None:
        try:
            with opener.open(f"{local}/health", timeout=5):
                break
        except urllib.error.HTTPError:
            break  # it answers; whether it asks for a password, or lies below a prefix, is another matter
        except OSError:
            time.sleep(0.1)
    bound.close()
    if child.poll() is None:
        ready(address)


def _accounts(repo: Repository, further: Sequence[str]) -> dict[str, str]:
    """What has MLflow keep its accounts in the git directory: its own place is the current folder: a work tree."""
    if "basic-auth" not in [word.removeprefix("--app-name=") for word in further]:
        return {}
    folder = repo.writable_state("server")
    config = configparser.RawConfigParser()
    config.read_string(files("mlflow.server.auth").joinpath("basic_auth.ini").read_text(encoding="utf-8"))
    database = f"sqlite:///{folder / 'basic_auth.db'}"
    config["mlflow"]["database_uri"] = database.replace("%", "%%")  # as MLflow reads it
    path = folder / "basic_auth.ini"
    with path.open("w", encoding="utf-8") as file:
        config.write(file)
    return {"MLFLOW_AUTH_CONFIG_PATH": str(path)}


def _environment() -> dict[str, str]:
    """What the child sees; a tracking URI of a client's would have the server ask itself."""
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
