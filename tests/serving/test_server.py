"""A server as a process: what it answers, what it refuses, and that it goes on, or ends, as it should."""

import http.client
import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving.support import JSON, Served, serving, wait_until


@pytest.fixture(scope="module")
def server(odd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The odd model, with small limits."""
    options = ["--timeout", "2", "--max-body", "1M", "--queue", "2"]
    with serving(str(odd_folder), "--allow-pickle", *options, cwd=tmp_path_factory.mktemp("cwd")) as served:
        yield served


def test_the_paths_that_tell_of_the_server(server: Served, odd_folder: Path) -> None:
    """Health, version, description, page and numbers."""
    for path in ("/ping", "/health"):
        assert (200, b"\n") == server.get(path)
    status, body = server.get("/version")
    version = json.loads(body)
    assert (200, str(odd_folder), None, None) == (status, version["pinned"], version["model"], version["version"])
    assert re.fullmatch(r"md5:[0-9a-f]{32}\.dir", version["digest"])
    description = json.loads(server.get("/openapi.json")[1])
    request = description["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    columns = request["schema"]["anyOf"][0]["properties"]["dataframe_split"]["properties"]["columns"]
    assert {"enum": [["do", "x"]]} == columns
    assert {"dataframe_split": {"columns": ["do", "x"], "data": [["text", 0.5]]}} == request["example"]
    status, page = server.get("/docs")
    assert 200 == status
    assert b"<script" not in page
    assert b"http://" not in page.replace(b"http://HOST:PORT", b"")
    numbers = server.get("/metrics")[1].decode()
    assert 'runstone_requests_total{route="/ping",status="200"}' in numbers
    assert f'digest="{version["digest"]}"' in numbers


def test_the_example_is_answered(server: Served) -> None:
    """What the page shows can be sent as it is."""
    description = json.loads(server.get("/openapi.json")[1])
    content = description["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    assert (200, {"predictions": [1.0]}) == server.post("/invocations", content["example"])


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "NOT_FOUND"),
        ("GET", "/v2/models/other", {}, 404, "NOT_FOUND"),
        ("GET", "/invocations", {}, 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/ping", {}, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/invocations", {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/invocations", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/invocations", {"Content-Type": "application/json; charset=latin-1"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/invocations", {**JSON, "Content-Encoding": "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/invocations", JSON, 400, "BAD_REQUEST"),
    ],
)
def test_refusals(server: Served, method: str, path: str, headers: dict[str, str], status: int, code: str) -> None:
    """Each in JSON, with a code and a message."""
    got, body = server.ask(method, path, b"{}" if method == "POST" else None, headers)
    assert (status, code) == (got, json.loads(body)["error_code"])
    assert {"error_code", "message"} | ({"error"} if path.startswith("/v2") else set()) == set(json.loads(body))


def test_head_has_no_body(server: Served) -> None:
    """As HTTP says."""
    assert (200, b"") == server.ask("HEAD", "/version")


def test_a_model_that_raises(server: Served) -> None:
    """A ValueError is the input's fault; anything else is a 500 whose trace only the log has."""
    assert (400, "BAD_REQUEST") == (server.odd("refuse")[0], server.odd("refuse")[1]["error_code"])
    assert "The model does not take this input: x is not to my taste" == server.odd("refuse")[1]["message"]
    for do in ("raise", "exit"):
        status, answer = server.odd(do)
        assert (500, "INTERNAL_ERROR") == (status, answer["error_code"])
        assert "secret" not in answer["message"]
        assert "Traceback" not in answer["message"]
        request_id = answer["message"].rpartition(" ")[2]
        wait_until(lambda id_=request_id: any(line["id"] == id_ for line in server.log() if line["event"] == "error"))
    (error,) = [line for line in server.log() if line["event"] == "error" and line["error"] == "RuntimeError"][:1]
    assert "secret detail of the model" in error["trace"]
    assert 200 == server.odd("answer")[0]


def test_the_log_has_a_line_for_each_request(server: Served) -> None:
    """With what a reader needs to find it again."""
    server.post("/invocations", {"dataframe_records": [{"do": "a", "x": 1}]})

    def lines() -> list[dict[str, Any]]:
        requests = [line for line in server.log() if line["event"] == "request"]
        return [line for line in requests if line["path"] == "/invocations" and line["bytes_in"] == 44]

    wait_until(lines)
    line = lines()[-1]
    assert {"client": "127.0.0.1", "method": "POST", "status": 200} == {
        k: line[k] for k in ("client", "method", "status")
    }
    assert (44, 21) == (line["bytes_in"], line["bytes_out"])
    assert 0 < line["ms"] < 10_000


def test_a_full_queue(server: Served) -> None:
    """One works, two wait, and the others are told to come again; afterwards all is as before."""
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(server.odd("sleep", 0.4)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {200: 3, 503: 5} == {status: answers.count(status) for status in set(answers)}
    connection = server.connect()
    assert 200 == server.odd("answer")[0]
    connection.close()


def test_a_model_that_hangs(server: Served) -> None:
    """The request gets a 504, others are answered, and `/ping` says what is wrong until it is over."""
    begun = time.monotonic()
    status, answer = server.odd("sleep", 6)
    assert (504, "GATEWAY_TIMEOUT") == (status, answer["error_code"])
    assert 2 <= time.monotonic() - begun < 6
    assert 503 == server.get("/ping")[0]
    assert (503, b'{"ready":false}') == server.get("/v2/health/ready")
    assert 200 == server.odd("answer")[0]
    assert "runstone_predictions_stuck 1.0" in server.get("/metrics")[1].decode()
    wait_until(lambda: server.get("/ping")[0] == 200)


def test_a_body_that_is_too_large(server: Served) -> None:
    """A 413, at once where its length is declared, and while it comes where it is not."""
    connection = server.connect()
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(50 * 1024 * 1024))
    connection.endheaders()
    response = connection.getresponse()
    assert (413, "REQUEST_ENTITY_TOO_LARGE") == (response.status, json.loads(response.read())["error_code"])
    connection.close()
    connection = server.connect()
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    block = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
    try:
        for _ in range(4000):
            connection.send(block)
    except OSError:
        pass  # it has closed already, which is its right
    else:
        pytest.fail("it read 250 MiB, and 1 MiB is its limit")
    finally:
        connection.close()
    assert 200 == server.get("/ping")[0]


def test_a_slow_client(server: Served) -> None:
    """A body that does not come in time is given up, and nobody else waits for it."""
    connection = server.connect()
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders()
    connection.send(b"{")
    assert 200 == server.odd("answer")[0]
    response = connection.getresponse()
    assert (408, "REQUEST_TIMEOUT") == (response.status, json.loads(response.read())["error_code"])
    connection.close()


def test_many_large_bodies_that_do_not_end(odd_folder: Path, tmp_path: Path) -> None:
    """Do not fill the memory: beyond sixteen of the largest, more are refused, and small ones are answered after."""
    arguments = [str(odd_folder), "--allow-pickle", "--max-body", "1M", "--timeout", "60"]
    head = b"POST /invocations HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with serving(*arguments, cwd=tmp_path) as served:
        connections = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(18)]
        try:
            for connection in connections:
                with suppress(ConnectionError):
                    connection.sendall(head % 1024**2 + b" " * (1024**2 - 1))
            with selectors.DefaultSelector() as answers:  # `select` takes no file descriptor above 1,023
                for connection in connections:
                    answers.register(connection, selectors.EVENT_READ)
                first = answers.select(30)[0][0].fileobj
            assert isinstance(first, socket.socket)
            refused = http.client.HTTPResponse(first)
            refused.begin()
            assert 503 == refused.status
            assert b"Too many large requests are here already" in refused.read()
        finally:
            for connection in connections:
                connection.close()
        wait_until(lambda: served.odd("answer")[0] == 200)


def test_a_connection_that_is_half_closed(server: Served) -> None:
    """A client that has sent all and says so still gets its answer; one that has not is forgotten."""
    body = b'{"dataframe_records": [{"do": "sleep", "x": 0.2}]}'
    head = b"POST /invocations HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    for sent, expected in ((body, b"HTTP/1.1 200 OK"), (body[:-5], b"")):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(head % len(body) + sent)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))  # used up in this turn
            assert expected == answer.partition(b"\r\n")[0]
    assert 200 == server.get("/ping")[0]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_no_machine_here(host: str) -> None:
    """Is said to be that, and not a matter of the port."""
    from runstone.errors import NoSuchAddress
    from runstone.serving.address import bind

    with pytest.raises(NoSuchAddress, match=f"Nothing can be served at {host}: .*Choose an address of this machine"):
        bind(host, 0)


def test_headers_without_end(server: Served) -> None:
    """Are a 400 once they are too large."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: h\r\n")
        answer = b""
        try:
            for number in range(2000):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * 100))
            answer = connection.recv(65536)
        except OSError:
            answer = answer or b"HTTP/1.1 400 closed"
    assert answer.startswith(b"HTTP/1.1 400")
    assert 200 == server.get("/ping")[0]


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process, and what it begins, may hold thousands of files open: mostly 1,024 are allowed unasked."""
    resource = pytest.importorskip("resource")
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if most == resource.RLIM_INFINITY else min(4096, most)
    if wanted < 2048:
        pytest.skip(f"no more than {most} files may be open: `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, wanted), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_connections(odd_folder: Path, tmp_path: Path) -> None:
    """All are held, all are answered."""
    with serving(str(odd_folder), "--allow-pickle", cwd=tmp_path) as served, ExitStack() as opened:
        address = ("127.0.0.1", served.port)
        connections = [opened.enter_context(socket.create_connection(address, timeout=30)) for _ in range(1000)]
        for connection in connections:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
        assert {b"HTTP/1.1 200 OK"} == {connection.recv(65536).partition(b"\r\n")[0] for connection in connections}


def test_many_rows_do_not_keep_others_waiting(odd_folder: Path, tmp_path: Path) -> None:
    """A body of 50 MB is answered, and `/ping` meanwhile."""
    with serving(str(odd_folder), "--allow-pickle", "--max-body", "64M", cwd=tmp_path) as served:
        count = 2_500_000
        body = b'{"dataframe_split": {"columns": ["do", "x"], "data": [' + b'["answer", 0.25],' * count
        body = body[:-1] + b"]}}"
        assert 40_000_000 < len(body) < 64 * 1024**2
        waited: list[float] = []
        done = threading.Event()

        def ping() -> None:
            while not done.is_set():
                begun = time.monotonic()
                assert 200 == served.get("/ping")[0]
                waited.append(time.monotonic() - begun)
                time.sleep(0.05)

        thread = threading.Thread(target=ping)
        thread.start()
        connection = served.connect(timeout_s=120)
        connection.request("POST", "/invocations", body, JSON)
        response = connection.getresponse()
        answer = json.loads(response.read())
        done.set()
        thread.join()
        connection.close()
        assert (200, count) == (response.status, len(answer["predictions"]))
        assert sorted(waited)[len(waited) // 2] < 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_under_load_loses_no_request(odd_folder: Path, tmp_path: Path, workers: str) -> None:
    """Each request that was sent on an open connection is answered, and the server ends with 0."""
    sent, lost, refused = [0], [], [0]
    ended = threading.Event()

    def ask(port: int) -> None:
        body = json.dumps({"dataframe_records": [{"do": "sleep", "x": 0.01}]})
        connection = None
        while not ended.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                    connection.connect()
            except OSError:  # it listens no more
                refused[0] += 1
                return
            try:
                connection.request("POST", "/invocations", body, JSON)
                sent[0] += 1
                response = connection.getresponse()
                response.read()
                assert 200 == response.status
                if response.getheader("connection") == "close":
                    connection.close()
                    connection = None
            except Exception as error:
                lost.append(repr(error))
                return

    arguments = [str(odd_folder), "--allow-pickle", "--workers", workers]
    with serving(*arguments, cwd=tmp_path) as served:
        threads = [threading.Thread(target=ask, args=(served.port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: sent[0] > 40 or lost)
        assert 0 == served.stop()
        ended.set()
        for thread in threads:
            thread.join()
        assert served.process.stdout is not None
        assert "" == served.process.stdout.read()
    assert [] == lost
    assert sent[0] > 20
    assert 8 == refused[0]


def test_workers_that_hang_or_die_are_replaced(odd_folder: Path, tmp_path: Path) -> None:
    """Another process takes the place of one whose prediction hangs, and the numbers are those of all."""
    import os
    import signal

    arguments = [str(odd_folder), "--allow-pickle", "--workers", "2", "--timeout", "1"]
    with serving(*arguments, cwd=tmp_path) as served:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        first = set(children.read_text().split())
        assert 2 == len(first)
        assert 504 == served.odd("sleep", 60)[0]
        wait_until(lambda: len(first & set(children.read_text().split())) == 1)
        wait_until(lambda: len(set(children.read_text().split())) == 2)
        (old,) = first & set(children.read_text().split())
        os.kill(int(old), signal.SIGKILL)
        wait_until(lambda: not first & set(children.read_text().split()))
        wait_until(lambda: len(set(children.read_text().split())) == 2)

        def answers() -> bool:
            try:
                return served.odd("answer")[0] == 200
            except OSError:
                return False

        wait_until(answers)
        counted = b'runstone_requests_total{route="/invocations",status="200"}'
        wait_until(lambda: counted in served.get("/metrics")[1])  # the count follows the answer
        served.process.kill()  # whoever watches them dies without a word: then they end too
        alive = set(children.read_text().split()) if children.exists() else set()
        wait_until(lambda: not any(Path(f"/proc/{pid}/fd").exists() for pid in alive))


def test_a_model_that_takes_its_process_down(odd_folder: Path, tmp_path: Path) -> None:
    """Takes down its own request and worker; another worker serves, and the place is filled again, time after time."""
    arguments = [str(odd_folder), "--allow-pickle", "--workers", "2"]
    with serving(*arguments, cwd=tmp_path) as served:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        for do in ("die", "crash"):
            before = set(children.read_text().split())
            with pytest.raises((http.client.BadStatusLine, ConnectionError)):
                served.odd(do)
            assert 200 == served.odd("answer")[0]
            wait_until(lambda known=before: len(set(children.read_text().split()) - known) == 1)
            wait_until(lambda: len(ready(served)) == 2)
        ended = [(line["code"], line["served"]) for line in served.log() if line["event"] == "worker-ended"]
        assert [(4, True), (-11, True)] == ended
        assert 0 == served.stop()


def ready(served: Served) -> set[str]:
    """The workers that answer: each puts its process into the ids of its requests."""
    found = set()
    for _ in range(40):
        connection = served.connect()
        connection.request("GET", "/ping")
        response = connection.getresponse()
        response.read()
        found.add(str(response.getheader("x-request-id")).partition("-")[0])
        connection.close()
    return found


def test_a_worker_that_cannot_be_replaced(odd_folder: Path, tmp_path: Path) -> None:
    """Leaves the others to serve; only when none is left does the server end, and says so."""
    import os
    import shutil
    import signal

    folder = tmp_path / "model"
    shutil.copytree(odd_folder, folder)
    with serving(str(folder), "--allow-pickle", "--workers", "2", cwd=tmp_path) as served:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        folder.rename(tmp_path / "away")
        first, second = children.read_text().split()
        os.kill(int(first), signal.SIGKILL)

        def ended() -> list[bool]:
            return [line["served"] for line in served.log() if line["event"] == "worker-ended"]

        wait_until(lambda: ended()[:2] == [True, False])
        assert 200 == served.odd("answer")[0]
        os.kill(int(second), signal.SIGKILL)
        assert 1 == served.process.wait(60)
        assert "Nothing is served: a worker ended with 1 before it took requests." in served.errors.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_waits_for_no_request(odd_folder: Path, tmp_path: Path, workers: str) -> None:
    """Whoever presses Ctrl-C twice means it."""
    import signal

    with serving(str(odd_folder), "--allow-pickle", "--workers", workers, "--timeout", "600", cwd=tmp_path) as served:

        def ask() -> None:
            with suppress(OSError, http.client.HTTPException, ValueError):
                served.odd("sleep", 600)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: b"runstone_predictions_inside 1.0" in served.get("/metrics")[1])
        served.process.send_signal(signal.SIGINT)
        wait_until(lambda: not can_connect(served.port))
        served.process.send_signal(signal.SIGINT)
        served.process.wait(60)
        thread.join()


def test_a_terminal_that_is_closed(odd_folder: Path, tmp_path: Path) -> None:
    """Ends the server as SIGTERM does: what was accepted is answered."""
    import signal

    with serving(str(odd_folder), "--allow-pickle", cwd=tmp_path) as served:
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(served.odd("sleep", 2)[0]))
        thread.start()
        wait_until(lambda: b"runstone_predictions_inside 1.0" in served.get("/metrics")[1])
        served.process.send_signal(signal.SIGHUP)
        assert 0 == served.process.wait(60)
        thread.join()
        assert [200] == answers


def can_connect(port: int) -> bool:
    """Whether anybody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_model_that_prints(odd_folder: Path, tmp_path: Path) -> None:
    """Prints on, also when nobody reads what the server says; its answers are as ever."""
    with serving(str(odd_folder), "--allow-pickle", cwd=tmp_path) as served:
        assert (200, {"predictions": [6.0]}) == served.odd("print", 3.0)
        assert served.process.stdout is not None
        assert "the model says {}\n" == served.process.stdout.readline()
        assert "and complains\n" in served.errors.read_text()
        assert all(line["event"] == "request" for line in served.log())


def test_a_model_that_leaks(odd_folder: Path, tmp_path: Path) -> None:
    """Its worker is replaced once it has grown too large, and no request is lost meanwhile."""
    arguments = [str(odd_folder), "--allow-pickle", "--workers", "2", "--max-memory", "600M"]
    with serving(*arguments, cwd=tmp_path) as served:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        first = set(children.read_text().split())
        assert 200 == served.odd("leak", 600 * 1024**2)[0]
        statuses = set()
        end = time.monotonic() + 30
        while first == set(children.read_text().split()) and time.monotonic() < end:
            statuses.add(served.odd("answer")[0])
        assert {200} == statuses
        wait_until(lambda: len(set(children.read_text().split())) == 2)
        assert 200 == served.odd("answer")[0]


def test_requests_leave_nothing_behind(odd_folder: Path, tmp_path: Path) -> None:
    """The server's own memory does not grow with the requests that it has answered."""
    with serving(str(odd_folder), "--allow-pickle", "--no-access-log", cwd=tmp_path) as served:
        body = json.dumps({"dataframe_records": [{"do": "answer" * 100, "x": 1}] * 200})
        resident = Path(f"/proc/{served.process.pid}/statm")

        def ask(count: int) -> int:
            connection = served.connect()
            for number in range(count):
                connection.request("POST", "/invocations", body if number % 2 else "{", JSON)
                connection.getresponse().read()
            connection.close()
            return int(resident.read_text().split()[1]) * 4096

        before = ask(200)
        assert ask(1000) - before < 30 * 1024**2  # 1,000 bodies are 60 MB
