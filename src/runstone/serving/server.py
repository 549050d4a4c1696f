"""A server: the socket, uvicorn around the application, and an end that loses no request.

Linux shares one listening socket between the workers; each loads the model itself, since a fork after that would
share the locks of the libraries' threads.
"""

import asyncio
import contextlib
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from runstone.errors import PortInUse
from runstone.serving.app import App, Limits
from runstone.serving.connection import Connection
from runstone.serving.environment import check_environment
from runstone.serving.follow import Follower
from runstone.serving.resolve import Identity, Loaded, Needs, load
from runstone.tracking.workspace import Workspace

DRAIN_S = 1.0
"""Seconds, from the signal to stop, for connections to say that they are done; answers tell them to close."""

_EMPTY_S = 0.05
_ALL_CLOSED_S = 0.25
_BACKLOG = 2048
_KEEP_ALIVE_S = 75


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        uri: `runs:/…`, `models:/…`, or a folder.
        repo: A folder in the repository; None where a folder is served.
        host: The address to listen at.
        port: The port; 0 for any that is free.
        workers: Processes.
        limits: What is let in.
        follow: Whether to take up another model when the URI means another one.
        follow_every_s: Seconds between fetches.
        access_log: Whether each request is logged.
        allow_pickle: The caller vouches for a folder.
        check: Whether the environment must be the model's.
    """

    uri: str
    repo: str | None = None
    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    follow: bool = False
    follow_every_s: float = 30.0
    access_log: bool = True
    allow_pickle: bool = False
    check: bool = True


def serve_here(
    settings: Settings,
    workspace: Workspace | None,
    loaded: Loaded,
    bound: socket.socket,
    ready: Callable[[], None],
    *,
    others_serve: bool = False,
    until: threading.Event | None = None,
) -> None:
    """Serve in this process until a signal says to stop.

    Args:
        settings: How to serve.
        workspace: The repository.
        loaded: The model.
        bound: The socket.
        ready: Told when requests are taken.
        others_serve: Whether to end when a prediction hangs or memory grows too large: another process follows.
        until: Ends it too, when it is set.

    Raises:
        PortInUse: Another program began to listen there.
    """
    app = App(loaded, settings.limits, access_log=2 if settings.access_log else None)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        loop=_loop(),
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.limits.timeout_s) + 1,
    )
    follow = None
    if settings.follow and workspace is not None:
        follow = _follower(settings, workspace, app, loaded.identity)
    server = _Server(config, app, ready, follow, others_serve, until or threading.Event())
    try:
        with _quiet_signals():
            server.run(sockets=[bound])
    except OSError as error:
        raise PortInUse(settings.host, settings.port, error.strerror or str(error)) from None
    finally:
        app.flush_log()


def load_checked(settings: Settings, workspace: Workspace | None, identity: Identity) -> Loaded:
    """Load the model; raises `EnvironmentDiffers` before anything of it is loaded, and what `resolve.load` raises."""

    def check(needs: Needs) -> None:
        if settings.check:
            check_environment(settings.uri, needs)

    return load(workspace, identity, allow_pickle=settings.allow_pickle, check=check)


class _Server(uvicorn.Server):
    """uvicorn's server, with a longer end: see `shutdown`."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        ready: Callable[[], None],
        follow: Callable[[], Follower] | None,
        others_serve: bool,
        until: threading.Event,
    ) -> None:
        super().__init__(config)
        self._app, self._ready, self._follow = app, ready, follow
        self._others_serve, self._until = others_serve, until
        self._leaves_alone = False
        self._follower: Follower | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell so."""
        await super().startup(sockets)
        if self._follow is not None:
            self._follower = self._follow()
            self._follower.start()
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop, asked ten times a second."""
        self._app.show_load()  # of all workers any one tells, and only what the others have written down
        if self._until.is_set():
            return True
        if self._others_serve and (not self._app.predictions.is_healthy or self._is_too_large(counter)):
            self._leaves_alone = True
            return True
        return await super().on_tick(counter)

    def _is_too_large(self, counter: int) -> bool:
        """Whether the process has grown beyond what it may, looked at once a second."""
        limit = self._app.limits.max_memory
        return limit is not None and counter % 10 == 0 and resident_memory() > limit

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop without losing a request that was accepted.

        What the system closes while it waits to be accepted is lost, so first the queue is made small and emptied, and
        only once nobody listens, in no worker, are clients told to close their connections, for then some connect
        anew. Idle connections have a moment in which a request that is on its way is still answered.
        """
        if self._follower is not None:
            self._follower.stop()
        for listener in sockets or [] if not self._leaves_alone else []:
            listener.listen(0)
        await asyncio.sleep(_EMPTY_S)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(_ALL_CLOSED_S)
        self._app.is_draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_S
        while self.server_state.connections and loop.time() < end and not self.force_exit:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def resident_memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _follower(settings: Settings, workspace: Workspace, app: App, identity: Identity) -> Callable[[], Follower]:
    def begin() -> Follower:
        loop = asyncio.get_running_loop()
        return Follower(
            workspace,
            identity,
            every_s=settings.follow_every_s,
            load=lambda now: load_checked(settings, workspace, now),
            take_up=lambda loaded: _in_loop(loop, app, loaded),
            count=app.metrics.count_swap,
        )

    return begin


def _in_loop(loop: asyncio.AbstractEventLoop, app: App, loaded: Loaded) -> None:
    loop.call_soon_threadsafe(app.take_up, loaded)


def _loop() -> Any:
    """Uvloop where there is one: it answers twice as many small requests a second."""
    try:
        import uvloop  # noqa: F401  # only whether it is there

        return "uvloop"
    except ImportError:
        return "asyncio"


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Uvicorn raises the signal that stopped it once more at its end; that must not end this process by it.

    And a terminal that is closed ends it as SIGTERM does, not in the midst of a request.
    """

    def ignore(number: int, frame: FrameType | None) -> None:
        del number, frame

    def terminate(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.raise_signal(signal.SIGTERM)

    kept = {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not so under nohup
        kept[signal.SIGHUP] = signal.signal(signal.SIGHUP, terminate)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
