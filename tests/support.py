"""What tests share besides fixtures: real git and real Python processes."""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"


def git(*arguments: str | Path, cwd: Path, check: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run git in a folder and return what it printed, without the last line feed."""
    done = subprocess.run(
        ["git", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
    return done.stdout.removesuffix("\n")


@contextmanager
def watched_git(trace: Path) -> Iterator[list[str]]:
    """The names of the git commands that begin within the block, as git tells them; there when it has ended."""
    commands: list[str] = []
    os.environ["GIT_TRACE2_EVENT"] = str(trace)
    try:
        yield commands
    finally:
        del os.environ["GIT_TRACE2_EVENT"]
        events = [json.loads(line) for line in trace.read_text().splitlines()] if trace.exists() else []
        commands += [event["name"] for event in events if event["event"] == "cmd_name"]


def make_repository(path: Path, *, commit: bool = True) -> Path:
    """Make a repository on branch `main`, with an identity of its own and, if asked, one commit of `train.py`."""
    git("init", "-q", "-b", "main", path, cwd=path.parent)
    with (path / ".git" / "config").open("a") as config:
        config.write("[user]\n\tname = Kim Example\n\temail = kim@example.org\n")
    if commit:
        (path / "train.py").write_text("print('trained')\n")
        git("add", "train.py", cwd=path)
        git("commit", "-q", "-m", "Begin", cwd=path)
    return path


def sign_with_key(repo: Path, mail: str, folder: Path) -> Path:
    """Have git sign with a new key of ssh, which is that of an address; nothing is signed unasked. Returns the key."""
    key, allowed = folder / "key", folder / "allowed"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    allowed.write_text(f"{mail} {key.with_suffix('.pub').read_text()}")
    settings = {"gpg.format": "ssh", "user.signingKey": str(key), "gpg.ssh.allowedSignersFile": str(allowed)}
    for name, value in settings.items():
        git("config", name, value, cwd=repo)
    return key


def free_port() -> int:
    """A port of this machine that is free, and that the kernel gives nobody unasked: it takes those above for that."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        if is_free(port):
            return port
    raise AssertionError("a hundred ports, and none is free")


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run_python(
    code: str | Path,
    *arguments: str,
    cwd: Path,
    check: bool = True,
    timeout_s: float = 120,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run code (a text) or a script (a path) in a process of its own, with this interpreter and this source tree."""
    program = [str(code)] if isinstance(code, Path) else ["-c", code]
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"Python ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done
