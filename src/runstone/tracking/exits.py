"""How a process ends decides how its open runs end: an exception FAILED, Ctrl-C and SIGTERM KILLED, else FINISHED.

SIGTERM is turned into an exception in the main thread, so that `with` blocks unwind and no lock is held while a run is
committed; the process then dies of SIGTERM as its parent expects. A handler the user set is left alone. `sys.exit(1)`
outside a `with` block leaves no trace that could be seen at exit, so such a run ends FINISHED.
"""

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

_terminated = False
_watched_by_atexit = False
_watched_by_multiprocessing = False
_worker: FrameType | None = None
"""In a worker of multiprocessing, the call that runs it; it keeps the exit code when it has returned."""


class Terminated(SystemExit):
    """SIGTERM arrived. A `SystemExit`, so that `except Exception` lets it pass and no traceback is printed."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


def watch(end_all: Callable[[str], None]) -> None:
    """From now on end open runs when the process does.

    Args:
        end_all: Called at exit with the status to end them with.
    """
    global _watched_by_atexit, _watched_by_multiprocessing, _worker
    if not _watched_by_atexit:
        _watched_by_atexit = True
        atexit.register(_at_exit, end_all)
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _watched_by_multiprocessing and sys.modules["multiprocessing"].parent_process():
        # A worker that was forked leaves by `os._exit` and runs only what is registered there.
        _watched_by_multiprocessing = True
        _worker = _find_worker()
        util.Finalize(None, _at_exit, (end_all,), exitpriority=10)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and os.name == "posix" and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def status_of(error: BaseException | type[BaseException] | None) -> str:
    """The status of a run that ends with an exception, or with none."""
    if error is None:
        return "FINISHED"
    kind = error if isinstance(error, type) else type(error)
    if issubclass(kind, KeyboardInterrupt | Terminated):
        return "KILLED"
    if isinstance(error, SystemExit):
        return "FINISHED" if error.code in (None, 0) else "FAILED"
    return "FAILED"


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    global _terminated
    _terminated = True
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one kills at once
    raise Terminated()


def _at_exit(end_all: Callable[[str], None]) -> None:
    # The interpreter keeps the exception it died of in `sys.last_value`; in a worker it is still in flight. In a
    # session that goes on after an error (a notebook, `python -i`) it says nothing about the end.
    last = sys.exc_info()[1] or (None if _is_interactive() else getattr(sys, "last_value", None))
    if last is None and _worker is not None and _worker.f_locals.get("exitcode"):
        last = SystemExit(_worker.f_locals["exitcode"])  # Python 3.13 has printed and dropped what the worker died of
    try:
        end_all("KILLED" if _terminated else status_of(last))
    except BaseException:
        if not _terminated:
            raise
        traceback.print_exc()
    finally:
        if _terminated:
            for stream in (sys.stdout, sys.stderr):
                with suppress(AttributeError, OSError, ValueError):  # may be None, or closed
                    stream.flush()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


def _is_interactive() -> bool:
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return hasattr(sys, "ps1") or (get_ipython is not None and get_ipython() is not None)


def _find_worker() -> FrameType | None:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_code.co_name != "_bootstrap":
        frame = frame.f_back
    return frame


def _after_fork() -> None:
    global _terminated, _watched_by_multiprocessing, _worker
    _terminated = _watched_by_multiprocessing = False
    _worker = None
    if os.name == "posix" and signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the child dies of it as any other, unless it begins a run


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
