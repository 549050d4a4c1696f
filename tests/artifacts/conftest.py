"""Fixtures for the content layer: real DVC, as a program of its own, and an S3 server on loopback."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runstone.artifacts.cache import Cache

Dvc = Callable[..., str]

# A name in Latin letters with marks and an emoji; an empty file; two files of one content; a folder in a folder.
FILES = {
    "empty.txt": b"",
    "sub/ünï 😀.txt": b"hi\n",
    "sub/x/b": b"hi\n",
    "Model.bin": bytes(range(256)) * 512,
    "sub-x/before sub": b"1",
}


@pytest.fixture
def dvc() -> Dvc:
    """Run the real `dvc` in a folder; returns what it printed, and fails with it if it fails."""

    def run(*arguments: object, cwd: Path) -> str:
        command = [sys.executable, "-m", "dvc", *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder that holds `FILES`."""
    return write_files(tmp_path / "made")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty bucket, with credentials for it in the environment; its name."""
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"runs-{abs(hash(request.node.nodeid)) % 10**9}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    return name


def write_files(folder: Path) -> Path:
    """Write `FILES` below a folder."""
    for path, data in FILES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """What lies below a folder, by path with forward slashes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def add_tree(cache: Cache, folder: Path) -> tuple[str, int, int]:
    """Put a folder into a cache; its digest, size and number of files."""
    files = [(path, path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()]
    return cache.add_dir(cache.add_files(files))
