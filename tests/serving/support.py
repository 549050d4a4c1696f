"""What the tests of serving share: models saved to folders, and servers as processes of their own."""

import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.schema import ColSpec, DataType, Schema
from runstone.flavors.signature import ModelSignature
from runstone.serving.resolve import Loaded, identify, load
from tests.cli.support import environment

JSON = {"Content-Type": "application/json"}
ODD = Path(__file__).with_name("odd_model.py")


def save(model: Any, folder: Path, signature: ModelSignature | None = None, **options: Any) -> Path:
    """A model folder."""
    flavor.save(model, folder, SaveOptions(signature=signature if signature is not None else False, **options))
    return folder


def save_odd(folder: Path) -> Path:
    """The folder of the odd model: `do` is text, `x` a double."""
    sys.path.insert(0, str(ODD.parent))
    try:
        from odd_model import OddModel  # type: ignore[import-not-found]  # found through the path, as the server's is

        signature = ModelSignature(Schema([ColSpec(DataType.string, "do"), ColSpec(DataType.double, "x")]))
        options = SaveOptions(signature=signature, code_paths=[ODD], pip_requirements=[])
        flavor.save(OddModel(), folder, options, serialization_format="pickle")
    finally:
        sys.path.remove(str(ODD.parent))
    return folder


def load_folder(folder: Path) -> Loaded:
    """The model of a folder, as a server loads it."""
    return load(None, identify(None, str(folder)), allow_pickle=True)


@dataclass
class Served:
    """A server at work.

    Attributes:
        process: The process.
        port: Where it listens.
        errors: The file of its standard error.
    """

    process: "subprocess.Popen[str]"
    port: int
    errors: Path

    def connect(self, timeout_s: float = 30) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        return self.ask("GET", path)

    def post(
        self, path: str, body: bytes | str | dict[str, Any], headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        data = json.dumps(body) if isinstance(body, dict) else body
        status, answer = self.ask("POST", path, data, JSON if headers is None else headers)
        return status, json.loads(answer)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def odd(self, do: str, x: float = 1.0) -> tuple[int, Any]:
        """One request to the odd model."""
        return self.post("/invocations", {"dataframe_records": [{"do": do, "x": x}]})

    def log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.errors.read_text().splitlines() if line.startswith("{")]

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextmanager
def serving(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> Iterator[Served]:
    """`runstone serve` as a process of its own, from its first word that it serves until the block ends."""
    with tempfile.NamedTemporaryFile("w", suffix=".err", delete=False) as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "runstone", "serve", "--port", "0", *arguments],
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None  # it is a pipe
        line = process.stdout.readline()
        said = Path(errors.name).read_text()
        assert line.startswith("Serving "), f"it said {line!r}, and {said}"
        port = int(line.split(" at http://127.0.0.1:")[1].split()[0])
        yield Served(process, port, Path(errors.name))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        Path(errors.name).unlink()


def wait_until(condition: Any, timeout_s: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not come to be so in time"
        time.sleep(0.05)
