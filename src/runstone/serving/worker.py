"""What each process of a server with several does; see `supervisor`."""

import os
import socket
import sys
import threading
from typing import Any

from runstone.errors import RunstoneError
from runstone.serving.access_log import log_event
from runstone.serving.app import Limits
from runstone.serving.resolve import Identity, Loaded, identify
from runstone.serving.server import Settings, load_checked, serve_here
from runstone.tracking.workspace import Workspace


def main(given: dict[str, Any]) -> None:
    """Serve until told to stop, then end this process.

    Args:
        given: The settings, the identity, and the descriptors of the socket and of the pipe to tell through.
    """
    settings = Settings(**{**given["settings"], "limits": Limits(**given["settings"]["limits"])})
    until = threading.Event()
    threading.Thread(target=_watch_parent, args=(until,), daemon=True).start()
    code = 0
    try:
        workspace = Workspace.open(settings.repo) if settings.repo is not None else None
        serve_here(
            settings,
            workspace,
            _load(settings, workspace, Identity(**given["identity"])),
            socket.socket(fileno=given["socket"]),
            lambda: _tell(given["ready"]),
            others_serve=True,
            until=until,
        )
    except RunstoneError as error:
        print(f"Error: {error}", file=sys.stderr)
        code = error.exit_code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a prediction that hangs must not keep the process


def _load(settings: Settings, workspace: Workspace | None, identity: Identity) -> Loaded:
    """What the URI means by now, where it is followed and that can be served; else what it meant at the start."""
    if settings.follow and workspace is not None:
        try:
            now = identify(workspace, settings.uri)
            if now != identity:
                return load_checked(settings, workspace, now)
        except Exception as error:  # the follower will tell more of it
            log_event("follow-failed", error=f"{type(error).__name__}: {error}")
    return load_checked(settings, workspace, identity)


def _tell(descriptor: int) -> None:
    os.write(descriptor, b"1")
    os.close(descriptor)


def _watch_parent(until: threading.Event) -> None:
    """Standard input ends when the process that watches this one does."""
    while sys.stdin.buffer.read(1024):
        pass
    until.set()
