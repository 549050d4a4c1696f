"""Work begun now and needed later: beside the caller's own code, and never lost with a thread."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A value being worked out in a thread of its own.

    Args:
        work: Makes the value. It may run again in a child process that was forked before it ended.
        head_start_s: How long the caller lets it work alone, at most.
    """

    def __init__(self, work: Callable[[], T], *, head_start_s: float = 0.0) -> None:
        self._work = work
        self._outcome: list[T] = []
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = threading.Thread(target=self._run, name="runstone-capture", daemon=True)
        try:
            self._thread.start()
            if head_start_s:
                self._thread.join(head_start_s)
        except RuntimeError:
            self._thread = None  # no more threads, or the interpreter is ending: `result` does the work itself

    def result(self) -> T:
        """The value; waits for it. What the work raised is raised here."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._outcome and self._error is None:
            self._run()  # the thread never ran, or stayed behind in the process this one was forked from
        if self._error is not None:
            raise self._error
        return self._outcome[0]

    def _run(self) -> None:
        try:
            self._outcome.append(self._work())
        except BaseException as error:
            self._error = error
