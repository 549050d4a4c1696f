"""The ASGI application: which path does what, and how each request ends.

It is plain ASGI: the paths are a table of ten lines, and a framework's routing, requests and responses took a tenth
to a third of the requests a second that uvicorn itself gives.
"""

import asyncio
import itertools
import os
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from runstone._version import __version__
from runstone.serving import docs, inference_v2, json_text, openapi
from runstone.serving.access_log import AccessLog, log_event
from runstone.serving.limits import Bodies, Predictions, read_body
from runstone.serving.metrics import CONTENT_TYPE as METRICS_TYPE
from runstone.serving.metrics import Metrics
from runstone.serving.problem import ClientGone, Problem
from runstone.serving.resolve import Loaded
from runstone.serving.scoring import Scorer, blame, to_answer

_BODIES = 16
"""How many of the largest bodies may be in memory at once; of small ones the queue is the bound."""

_JSON = b"application/json"
_HTML = b"text/html; charset=utf-8"
_SECURITY = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server lets in; see `limits`."""

    timeout_s: float = 60.0
    max_body: int = 32 * 1024 * 1024
    queue: int = 100
    threads: int = 1
    max_memory: int | None = None


@dataclass(slots=True)
class Answer:
    """The answer to a request."""

    body: bytes
    status: int = 200
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[dict[str, Any], Receive], Awaitable[Answer]]


class App:
    """One model behind HTTP; `take_up` puts another one in its place while it serves.

    Args:
        loaded: The model.
        limits: What is let in.
        access_log: Where a line for each request goes: a file descriptor; None for nowhere.
        metrics: Where requests are counted.
    """

    def __init__(
        self,
        loaded: Loaded,
        limits: Limits = Limits(),  # frozen
        *,
        access_log: int | None = 2,
        metrics: Metrics | None = None,
    ) -> None:
        self.limits = limits
        self.metrics = metrics or Metrics()
        self.predictions = Predictions(limits.threads, limits.queue)
        self.bodies = Bodies(_BODIES * limits.max_body)
        self.is_draining = False
        self._log = AccessLog(access_log)
        self._ids = (f"{os.getpid():x}-{int(time.time()):x}-{n:x}" for n in itertools.count(1))
        self.take_up(loaded)

    def take_up(self, loaded: Loaded) -> None:
        """Serve this model from the next request on; those that have begun keep theirs."""
        self.scorer = Scorer(loaded)
        self.metrics.show_model(loaded.identity)
        self._loaded_at = time.time()
        self._page: tuple[bytes, bytes] | None = None
        # One assignment, so that no request sees half of it.
        self._routes = self._table()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        path = scope["path"]
        found = self._routes.get(path)
        if found is None and path.endswith("/"):
            found = self._routes.get(path.rstrip("/"))
        route, method, handler = found or ("other", "", None)
        request_id = next(self._ids)
        try:
            if handler is None:
                raise Problem(
                    HTTPStatus.NOT_FOUND, f"There is nothing at {path[:200]!r}. See what there is: `GET /docs`"
                )
            asked = scope["method"]
            if asked != method and not (asked == "HEAD" and method == "GET"):
                allowed = (b"allow", b"GET, HEAD" if method == "GET" else b"POST")
                raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {method}.", headers=(allowed,))
            answer = await handler(scope, receive)
        except Problem as problem:
            answer = _to_answer(problem, path)
        except ClientGone:
            self._end(scope, route, 499, 0, begun, request_id)
            return
        except Exception as error:  # a bug of ours, or the model's: the trace is for the log alone
            trace = "".join(traceback.format_exception(error))
            log_event("error", id=request_id, path=path[:500], error=type(error).__name__, trace=trace)
            message = f"The model failed on this input. The server's log says more: {request_id}"
            failed = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, error_code="INTERNAL_ERROR")
            answer = _to_answer(failed, path)
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            (b"x-request-id", request_id.encode()),
            *answer.headers,
        ]
        if self.is_draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
        self._end(scope, route, answer.status, len(answer.body), begun, request_id)

    def show_load(self) -> None:
        """Have the numbers tell what is being predicted at this moment."""
        self.metrics.show_load(self.predictions.inside, self.predictions.stuck)

    def flush_log(self) -> None:
        """Write the lines that wait."""
        self._log.flush()

    def _end(self, scope: dict[str, Any], route: str, status: int, size: int, begun: float, request_id: str) -> None:
        seconds = time.perf_counter() - begun
        self.metrics.count(route, status, seconds)
        self._log.request(scope, status, scope.get("runstone.size", 0), size, seconds, request_id)

    # --- paths

    def _table(self) -> dict[str, tuple[str, str, Handler | None]]:
        identity = self.scorer.loaded.identity
        model = f"/v2/models/{identity.name}"
        table: dict[str, tuple[str, Handler]] = {
            "/ping": ("GET", self._ping),
            "/health": ("GET", self._ping),
            "/version": ("GET", self._version),
            "/metrics": ("GET", self._metrics),
            "/invocations": ("POST", self._invocations),
            "/openapi.json": ("GET", self._openapi),
            "/docs": ("GET", self._docs),
            "/v2": ("GET", self._v2),
            "/v2/health/live": ("GET", partial(self._state, "live")),
            "/v2/health/ready": ("GET", partial(self._state, "ready")),
        }
        routes: dict[str, tuple[str, str, Handler | None]] = {
            path: (path, method, handler) for path, (method, handler) in table.items()
        }
        for base in (model, f"{model}/versions/{inference_v2.version_of(identity)}"):
            for path in {base, unquote(base)}:
                routes[path] = ("/v2/models/{name}", "GET", self._v2_model)
                routes[f"{path}/ready"] = ("/v2/models/{name}/ready", "GET", self._v2_ready)
                routes[f"{path}/infer"] = ("/v2/models/{name}/infer", "POST", self._v2_infer)
        return routes

    async def _ping(self, scope: dict[str, Any], receive: Receive) -> Answer:
        if self.predictions.is_healthy:
            return Answer(b"\n")
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "A prediction hangs. Start the server anew.")

    async def _state(self, which: str, scope: dict[str, Any], receive: Receive) -> Answer:
        is_well = self.predictions.is_healthy and not (which == "ready" and self.is_draining)
        return Answer(json_text.write({which: is_well}), 200 if is_well else 503)

    async def _version(self, scope: dict[str, Any], receive: Receive) -> Answer:
        loaded = self.scorer.loaded
        told = {"runstone": __version__, **loaded.identity.to_document()}
        told |= {"flavors": list(loaded.metadata.flavors), "loaded": self._loaded_at}
        return Answer(json_text.write(told))

    async def _metrics(self, scope: dict[str, Any], receive: Receive) -> Answer:
        self.show_load()
        return Answer(self.metrics.text(), content_type=METRICS_TYPE)

    async def _openapi(self, scope: dict[str, Any], receive: Receive) -> Answer:
        return Answer(self._pages()[0])

    async def _docs(self, scope: dict[str, Any], receive: Receive) -> Answer:
        return Answer(self._pages()[1], content_type=_HTML, headers=(_SECURITY,))

    async def _v2(self, scope: dict[str, Any], receive: Receive) -> Answer:
        return Answer(json_text.write(inference_v2.server_metadata()))

    async def _v2_model(self, scope: dict[str, Any], receive: Receive) -> Answer:
        return Answer(json_text.write(inference_v2.model_metadata(self.scorer)))

    async def _v2_ready(self, scope: dict[str, Any], receive: Receive) -> Answer:
        is_well = self.predictions.is_healthy and not self.is_draining
        told = {"name": self.scorer.loaded.identity.name, "ready": is_well}
        return Answer(json_text.write(told), 200 if is_well else 503)

    async def _invocations(self, scope: dict[str, Any], receive: Receive) -> Answer:
        scorer = self.scorer
        content_type, declared = _headers(scope)
        kind = _content_type(content_type)
        score = {openapi.JSON: scorer.score_json, openapi.CSV: scorer.score_csv, openapi.PARQUET: scorer.score_parquet}
        return await self._predict(scope, receive, declared, scorer, lambda body: to_answer(score[kind](body)))

    async def _v2_infer(self, scope: dict[str, Any], receive: Receive) -> Answer:
        scorer = self.scorer
        content_type, declared = _headers(scope)
        if content_type and _content_type(content_type) != openapi.JSON:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This path takes application/json.")
        return await self._predict(
            scope, receive, declared, scorer, lambda body: json_text.write(inference_v2.infer(scorer, body))
        )

    async def _predict(
        self,
        scope: dict[str, Any],
        receive: Receive,
        declared: bytes | None,
        scorer: Scorer,
        score: Callable[[bytes], bytes],
    ) -> Answer:
        """Read the body and have one of the threads work on it: reading it is work too, where it is large."""
        deadline = asyncio.get_running_loop().time() + self.limits.timeout_s
        held = 0

        def add(size: int) -> None:
            nonlocal held
            held += size
            self.bodies.add(size)

        try:
            try:
                async with asyncio.timeout_at(deadline):
                    body = await read_body(receive, declared, self.limits.max_body, add)
            except TimeoutError:
                close = ((b"connection", b"close"),)
                raise Problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time.", headers=close) from None
            scope["runstone.size"] = len(body)

            def work() -> bytes | Problem:
                try:
                    return score(body)
                except Exception as error:
                    problem = blame(error, scorer)
                    if problem is None:
                        raise
                    return problem

            result = await self.predictions.run(work, deadline)
        finally:
            self.bodies.inside -= held
        if isinstance(result, Problem):
            raise result
        return Answer(result)

    def _pages(self) -> tuple[bytes, bytes]:
        if self._page is None:
            scorer = self.scorer
            document = openapi.describe_server(scorer)
            page = docs.write_page(document, scorer.loaded.identity.to_document(), openapi.example_request(scorer))
            self._page = json_text.write(document), page
        return self._page


def _to_answer(problem: Problem, path: str) -> Answer:
    document = problem.to_document()
    if path.startswith("/v2"):  # clients of that protocol look for the message there
        document["error"] = problem.message
    return Answer(json_text.write(document), problem.status.value, headers=problem.headers)


def _headers(scope: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """The content type and the declared length; raises `Problem` for an encoding that is not read."""
    content_type, declared = b"", None
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            declared = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A compressed body is not read. Send it as it is.")
    return content_type, declared


def _content_type(value: bytes) -> str:
    """The media type of a body, which must be one of three, in UTF-8; raises `Problem`."""
    if value == _JSON:
        return openapi.JSON
    kind, *parameters = (part.strip() for part in value.decode("latin-1").split(";"))
    kind = kind.lower()
    if kind not in (openapi.JSON, openapi.CSV, openapi.PARQUET):
        message = f"The content type must be {openapi.JSON}, {openapi.CSV} or {openapi.PARQUET}, not {kind[:80]!r}."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name and (name.lower() != "charset" or text.strip('"').lower() not in ("utf-8", "utf8")):
            message = f"The content type may say charset=utf-8, and not {parameter[:80]!r}."
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    return kind
