"""Runs a contender in a process of its own and does what it is told, so that none disturbs another's measurements.

A request is a line of JSON, `[verb, arguments]`, and so is the answer; the end of the input ends the process.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.benchmarks.contenders import Contender
from tests.benchmarks.ours import Runstone
from tests.benchmarks.peers import Mlflow, Plugin, Sacred, Trackio, Write
from tests.benchmarks.setting import Setting

CONTENDERS: dict[str, type[Contender]] = {
    "runstone": Runstone,
    "mlflow": Mlflow,
    "plugin": Plugin,
    "sacred": Sacred,
    "trackio": Trackio,
    "write": Write,
}


class Unavailable(Exception):
    """This contender cannot run here; the message says why."""


class Worker:
    """A contender in a process of its own, in a folder of its own.

    Raises:
        Unavailable: It is a peer that is not installed, or that cannot be imported here.
    """

    def __init__(self, setting: Setting, kind: str, folder: Path) -> None:
        self.kind = kind
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # `close` closes it; a pipe could fill up
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.worker", kind],
            cwd=folder,
            env=setting.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        answer = self.answer()
        if answer != "ready":
            self.close()
            raise Unavailable(str(answer))

    def ask(self, verb: str, *arguments: Any) -> None:
        """Begin something; `answer` waits for its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([verb, arguments]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer of what was asked."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"The process of {self.kind} ended:\n{self.errors.read()[-4000:]}")
        return json.loads(line)

    def __call__(self, verb: str, *arguments: Any) -> Any:
        """Do something and wait for its answer."""
        self.ask(verb, *arguments)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.wait()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(kind: str) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what contenders print is not an answer

    def say(answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        contender = CONTENDERS[kind]()
    except Exception as error:  # whatever keeps a peer from starting is the reason to leave it out; ours must start
        if kind == "runstone":
            raise
        say(f"{type(error).__name__}: {error}".splitlines()[0])
        return
    say("ready")
    for line in sys.stdin:
        verb, arguments = json.loads(line)
        say(getattr(contender, verb)(*arguments))


if __name__ == "__main__":
    serve(sys.argv[1])
