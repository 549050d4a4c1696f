"""What the doubles of the forges share: real HTTP on loopback, accounts and tokens, pages, and faults on request."""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Asked:
    """One request that came in."""

    verb: str
    path: str
    parts: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """One answer; bytes are sent as they are."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What the server does instead, so many times, to calls of a verb whose path holds a text."""

    answer: Answer | None
    verb: str = ""
    path: str = ""
    times: int = 1
    delay_s: float = 0.0


class Refused(Exception):
    """An answer that ends the call."""

    def __init__(self, status: int, body: Any) -> None:
        self.answer = Answer(status, body)
        super().__init__(str(status))


@dataclass
class Change:
    """A request for review, as the server keeps it."""

    number: int
    title: str
    body: str
    source: str  # the project that holds the branch
    branch: str
    base: str
    author: str
    draft: bool = False
    state: str = "open"
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    merged_by: str | None = None
    merged_at: str | None = None
    merge_commit: str | None = None
    head: str = ""


class ForgeServer(ABC):
    """A forge with one project, its forks, and some people."""

    merge_texts = ("", "")  # of the last merge: its title and its body

    def __init__(self, project: str = "team/churn") -> None:
        self.project = project
        self.tokens = {"s3cret-token": "kim"}
        self.people = {"kim": "kim@example.org", "ada": "ada@example.org", "bo": "", "eve": "eve@example.org"}
        self.writers = {"kim", "ada", "bo"}
        self.default_branch = "main"
        self.branches: dict[str, dict[str, str]] = {project: {"main": "0" * 39 + "1"}}
        self.changes: list[Change] = []
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.is_private = False
        self.page_size = 100
        self._ids = 100
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> "ForgeServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- what tests do to it

    def push(self, branch: str, commit: str, project: str | None = None) -> None:
        """Put a branch somewhere, as `git push` would."""
        self.branches.setdefault(project or self.project, {})[branch] = commit
        for change in self.changes:
            if change.state == "open" and (change.source, change.branch) == (project or self.project, branch):
                self.head_moved(change, commit)

    def head_moved(self, change: Change, commit: str) -> None:
        """The branch of an open request is elsewhere."""
        change.head = commit

    def fail(self, status: int, body: Any = None, **options: Any) -> None:
        """Answer so next time."""
        headers = options.pop("headers", {})
        self.faults.append(Fault(Answer(status, body, headers), **options))

    def change(self, number: int) -> Change:
        """One request."""
        return next(change for change in self.changes if change.number == number)

    def calls(self, verb: str, text: str = "") -> list[Asked]:
        """The calls of a verb whose path holds a text."""
        return [asked for asked in self.asked if asked.verb == verb and text in asked.path]

    def merge(self, number: int, by: str, commit: str, at: str = "2026-11-22T12:00:00Z") -> None:
        """Somebody merges a request on its page."""
        change = self.change(number)
        change.state, change.merged_by, change.merged_at, change.merge_commit = "closed", by, at, commit

    @abstractmethod
    def comment(self, number: int, by: str, body: str) -> dict[str, Any]:
        """Somebody writes a comment."""

    # --- for the forges

    @abstractmethod
    def answer(self, asked: Asked, account: str | None) -> Answer:
        """The answer to a call of somebody, or of nobody."""

    @abstractmethod
    def account(self, asked: Asked) -> str | None:
        """Whose token is sent; raises `Refused` if it is nobody's."""

    @abstractmethod
    def not_found(self) -> Refused:
        """The answer where there is nothing, or nothing that may be seen."""

    def no_change(self) -> Refused:
        """The answer where no request has a number."""
        return self.not_found()

    def find(self, number: str) -> Change:
        """The request of an address."""
        for change in self.changes:
            if str(change.number) == number:
                return change
        raise self.no_change()

    def new_id(self) -> int:
        """A number that was not given before."""
        with self._lock:
            self._ids += 1
            return self._ids

    def add(self, change: Change) -> Change:
        """Keep a new request."""
        change.head = self.branches[change.source][change.branch]
        self.changes.append(change)
        return change

    def need_account(self, account: str | None) -> str:
        """Who it is; nobody may not write."""
        if account is None:
            raise Refused(401, {"message": "Requires authentication"})
        return account

    def page(self, items: Sequence[Any], asked: Asked, name: str) -> tuple[list[Any], dict[str, str]]:
        """One page of a list, and the header that leads to the next one."""
        size = min(int(asked.query.get(name, 30)), self.page_size)
        number = int(asked.query.get("page", 1))
        last = max(1, -(-len(items) // size))
        query = "&".join(f"{key}={value}" for key, value in asked.query.items() if key != "page")
        links = []
        for relation, page in (("next", number + 1), ("last", last)):
            if number < last:
                links.append(f'<{self.url}{asked.path}?{query}&page={page}>; rel="{relation}"')
        headers = {"Link": ", ".join(links)} if links else {}
        return list(items[(number - 1) * size : number * size]), headers

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        forge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing is printed."""

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    parts.path,
                    [unquote(part) for part in parts.path.strip("/").split("/")],
                    {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()},
                    {key.lower(): value for key, value in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
                forge.asked.append(asked)
                answer = forge._respond(asked)
                text = answer.body if isinstance(answer.body, bytes) else b""
                if not isinstance(answer.body, bytes) and answer.body is not None:
                    text = json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for key, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:  # a client that no longer waits
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  # the library's names

        return Handler

    def _respond(self, asked: Asked) -> Answer:
        for fault in self.faults:
            if fault.times and fault.verb in ("", asked.verb) and fault.path in asked.path:
                fault.times -= 1
                time.sleep(fault.delay_s)
                if fault.answer is not None:
                    return fault.answer
                break
        try:
            account = self.account(asked)
            if self.is_private and account is None:
                raise self.not_found()
            return self.answer(asked, account)
        except Refused as refused:
            return refused.answer
