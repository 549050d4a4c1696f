"""`--follow`: when the registry moves, what the URI means now is loaded beside the old model and takes its place.

Requests that have begun keep the model they began with, so none fails. What cannot be fetched or loaded changes
nothing: the old model goes on, the log says why, and the next look tries again. A fetch that hangs keeps nobody from
seeing what others have brought.
"""

import threading
import time
import traceback
from collections.abc import Callable

from runstone.errors import RunstoneError
from runstone.git import transport
from runstone.registry import branch
from runstone.serving.access_log import log_event
from runstone.serving.resolve import Identity, Loaded, identify
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace

_LOOK_EVERY_S = 1.0
SLOW_S = 120.0
"""Seconds after which the log says that a fetch takes long."""


class Follower:
    """Watches what a URI means, in a thread of its own.

    Args:
        workspace: The repository.
        present: What is served.
        every_s: Seconds from one fetch to the next; what others fetch is noticed within a second.
        load: Loads what the URI means.
        take_up: Told of the loaded model.
        count: Told `loaded` or `failed`.
    """

    def __init__(
        self,
        workspace: Workspace,
        present: Identity,
        *,
        every_s: float,
        load: Callable[[Identity], Loaded],
        take_up: Callable[[Loaded], None],
        count: Callable[[str], None],
    ) -> None:
        self._workspace, self._present, self._every_s = workspace, present, every_s
        self._load, self._take_up, self._count = load, take_up, count
        self._stop = threading.Event()
        self._failed: dict[str, str] = {}
        self._fetching: _Fetching | None = None
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="runstone-follow", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; what is being loaded is not taken up."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(min(_LOOK_EVERY_S, self._every_s)):
            for step in (self._fetch, self._look):
                try:
                    step()
                except Exception as error:  # whatever it is, the model that is served goes on
                    self._tell(step.__name__, error)

    def _fetch(self) -> None:
        """Begin to fetch, if it is time; or see what became of it."""
        taken = time.monotonic() - self._begun
        if self._fetching is None:
            if taken >= self._every_s:
                self._fetching, self._begun = _Fetching(self._workspace), time.monotonic()
                self._fetching.start()
        elif not self._fetching.is_alive():
            error, self._fetching = self._fetching.error, None
            if error is not None:
                raise error
            self._failed.pop("_fetch", None)
        elif taken > SLOW_S:
            raise TimeoutError(f"a fetch has not ended in {SLOW_S:g} s; it is waited for")

    def _look(self) -> None:
        now = identify(self._workspace, self._present.uri)
        if (now.pinned, now.digest) == (self._present.pinned, self._present.digest):
            self._failed.pop("_look", None)
            return
        loaded = self._load(now)
        if self._stop.is_set():
            return
        self._take_up(loaded)
        log_event("model", **{"from": self._present.pinned, "to": now.pinned, "digest": now.digest})
        self._present = now
        self._count("loaded")
        self._failed.pop("_look", None)

    def _tell(self, step: str, error: Exception) -> None:
        """Once for each thing that goes wrong, not once a second."""
        said = f"{type(error).__name__}: {error}"
        if said == self._failed.get(step):
            return
        self._failed[step] = said
        self._count("failed")
        trace = {} if isinstance(error, RunstoneError) else {"trace": "".join(traceback.format_exception(error))}
        log_event("follow-failed", error=said, **trace)


class _Fetching(threading.Thread):
    """A fetch, which may take for ever."""

    error: Exception | None = None

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(name="runstone-fetch", daemon=True)
        self._workspace = workspace

    def run(self) -> None:
        """Fetch, and keep what went wrong."""
        try:
            fetch(self._workspace)
        except Exception as error:  # the follower tells of it
            self.error = error


def fetch(workspace: Workspace) -> None:
    """Bring runs, version tags and the registry's branch from the remote, where there is one.

    Writes:
        As `sync` that sends nothing, and `refs/remotes/<remote>/<default branch>`.
    """
    repo = workspace.repo
    remote = transport.find_remote(repo)
    if remote is None:
        return
    sync(workspace, remote=remote, send=False, artifacts=False)
    name = branch.default_branch(repo)
    if f"refs/heads/{name}" in transport.list_remote(repo, remote, [f"refs/heads/{name}"]):
        transport.fetch(repo, remote, [f"+refs/heads/{name}:refs/remotes/{remote}/{name}"])
        repo.objects.close()  # it remembers which objects were not here
