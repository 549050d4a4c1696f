"""What one server lets in: how large a body, how long a request, how many predictions at once and how many waiting.

Predictions run in threads of their own, so that everything else is answered while a model thinks, or hangs. A thread
whose prediction did not come in time is given up, and another one takes its place; while it hangs the server says
that it is not healthy, so that whoever watches it can start it anew.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any

from runstone.serving.problem import ClientGone, Problem

MAX_STUCK = 4
"""Threads that may hang before no further prediction is begun."""

_WAITING, _RUNNING, _DONE, _GIVEN_UP = range(4)


class Bodies:
    """The bodies that are in memory: those that come, those that wait, and the one that is worked on.

    Args:
        limit: Bytes of all of them together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.inside = 0

    def add(self, size: int) -> None:
        """So many bytes more have come; raises `Problem` if that is too much. Whoever adds takes them out again."""
        self.inside += size
        if self.inside > self._limit:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many large requests are here already. Try again.",
                headers=((b"retry-after", b"1"), (b"connection", b"close")),
            )


async def read_body(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    declared: bytes | None,
    limit: int,
    add: Callable[[int], None],
) -> bytes:
    """The whole body of a request.

    Args:
        receive: As ASGI gives it.
        declared: The header `content-length`.
        limit: Bytes it may have.
        add: Told of each part that has come; it may refuse more.

    Raises:
        Problem: It is too large, or too much; what is left of it is not read.
        ClientGone: The connection was closed before its end.
    """
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        add(len(body))
        return body
    parts, size = [body], len(body)
    add(size)
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        add(len(parts[-1]))
    if message["type"] != "http.request":
        raise ClientGone
    return b"".join(parts)


def _too_large(limit: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than {limit:,} bytes. Send fewer rows at once, or start the server with a larger "
        "`--max-body`.",
        error_code="REQUEST_ENTITY_TOO_LARGE",  # newer versions of Python call the status otherwise
        headers=((b"connection", b"close"),),
    )


class _Job:
    """One prediction that waits for its turn, or has it."""

    __slots__ = ("future", "loop", "state", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work, self.loop = work, loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.state = _WAITING


class Predictions:
    """The threads that predict, and the queue before them.

    Args:
        threads: How many predict at once.
        queue: How many more may wait.
    """

    def __init__(self, threads: int = 1, queue: int = 100) -> None:
        self._threads, self._capacity = threads, threads + queue
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._ready = 0  # threads that do not hang
        self.inside = 0
        self.stuck = 0
        for _ in range(threads):
            self._add_thread()

    @property
    def is_healthy(self) -> bool:
        """Whether no prediction hangs."""
        return not self.stuck

    async def run(self, work: Callable[[], Any], deadline: float) -> Any:
        """Do some work in one of the threads.

        Args:
            work: What to do.
            deadline: Until when, by the event loop's clock.

        Raises:
            Problem: Too many wait already, or it was not done in time.
        """
        if self.inside >= self._capacity or not self._ready:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many requests wait already. Try again.",
                headers=((b"retry-after", b"1"),),
            )
        job = _Job(work, asyncio.get_running_loop())
        self.inside += 1
        self._jobs.put(job)
        try:
            async with asyncio.timeout_at(deadline):
                return await job.future
        except TimeoutError:
            raise Problem(HTTPStatus.GATEWAY_TIMEOUT, "The model did not answer in time.") from None
        finally:
            self.inside -= 1
            if job.state != _DONE:
                self._give_up(job)

    def _give_up(self, job: _Job) -> None:
        with self._lock:
            was, job.state = job.state, _GIVEN_UP if job.state != _DONE else _DONE
            if was != _RUNNING:
                return
            self.stuck += 1
            self._ready -= 1
        if self.stuck <= MAX_STUCK:
            self._add_thread()

    def _add_thread(self) -> None:
        self._ready += 1
        threading.Thread(target=self._work, name="runstone-predict", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            with self._lock:
                if job.state == _GIVEN_UP:
                    continue
                job.state = _RUNNING
            result: Any = None
            error: BaseException | None = None
            try:
                result = job.work()
            except BaseException as raised:  # also a SystemExit of the model's: the thread is ours
                error = raised
            with self._lock:
                is_late = job.state == _GIVEN_UP
                job.state = _DONE
                self.stuck -= is_late
                is_replaced = is_late and self._ready >= self._threads
                self._ready += is_late and not is_replaced
            if not is_late:
                job.loop.call_soon_threadsafe(_settle, job.future, result, error)
            del job, result, error  # the thread keeps no request's data while it waits
            if is_replaced:
                return


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))
