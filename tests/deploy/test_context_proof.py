"""The proof of a serving context: its own steps are done, its own command is started, and what it answers is compared.

A model with pickled weights, so that whether it may be loaded hangs on the digest in the command alone.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

for _module in ("dockerfile_parse", "packaging", "pip", "sklearn", "uvicorn", "orjson", "prometheus_client"):
    pytest.importorskip(
        _module, reason="the extras `serve` and `sklearn` or the tests' own libraries are not installed"
    )

from runstone.deploy.dockerfile import PORT  # noqa: E402  # after what may skip the file
from runstone.serving.environment import SERVING  # noqa: E402  # after what may skip the file
from runstone.serving.packed import FILE, digest_of, hash_files, read  # noqa: E402  # after what may skip the file
from tests.cli.support import run_cli  # noqa: E402  # after what may skip the file
from tests.deploy.support import Built, build, inside, installed_wheels, read_steps  # noqa: E402  # likewise
from tests.serving.support import wait_until  # noqa: E402  # after what may skip the file
from tests.support import git, make_repository, run_python  # noqa: E402  # after what may skip the file

LOG = """
import json, runstone, runstone.sklearn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

x, y = load_diabetes(return_X_y=True, as_frame=True)
model = LinearRegression().fit(x, y)
with runstone.start_run():
    runstone.sklearn.log_model(
        model, "model", registered_model_name="churn", serialization_format="pickle", input_example=x[:2]
    )
request = {"dataframe_split": json.loads(x[:3].to_json(orient="split"))}
print(json.dumps([request, model.predict(x[:3]).tolist()]))
"""


@dataclass
class Proof:
    """A context, what its steps made, and what the model answers."""

    context: Path
    built: Built
    env: dict[str, str]
    request: dict[str, Any]
    predictions: list[float]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    """A context with a wheelhouse, made without a network, and its Dockerfile's steps, done without one."""
    top = tmp_path_factory.mktemp("proof")
    home = {"HOME": str(top), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    repo = make_repository(top / "repo")
    request, predictions = json.loads(run_python(LOG, cwd=repo, env=home).stdout.splitlines()[-1])
    installed_wheels(["scikit-learn", *SERVING], top / "index")
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(top / "index"), "PIP_CONFIG_FILE": os.devnull}
    arguments = ("models", "generate-dockerfile", "churn/1", "-o", str(top / "context"), "--wheelhouse")
    # What is installed here may ask for any newer glibc.
    done = run_cli(*arguments, "--platform", f"manylinux_2_40_{os.uname().machine}", cwd=repo, env={**home, **pip})
    assert (0, f"{top / 'context'}\n") == (done.returncode, done.stdout), done.stderr
    # The wheels come from the context alone. Byte code is left out, which takes most of the time that pip needs.
    env = {
        "HOME": str(top),
        "PATH": os.environ["PATH"],
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_NO_COMPILE": "0",
    }
    return Proof(top / "context", build(top / "context", top / "image", env), env, request, predictions)


@contextmanager
def started(proof: Proof, *arguments: str, before: tuple[str, ...] = ()) -> Iterator["subprocess.Popen[str]"]:
    """The ENTRYPOINT, and what would stand after the image's name; no git, repository or source tree is in reach."""
    root = proof.built.root
    home = root.parent / "tmp"
    home.mkdir(exist_ok=True)
    command = [*before, *proof.built.entrypoint, "--host=127.0.0.1", "--port=0", *arguments]
    process = subprocess.Popen(
        command,
        cwd=root / proof.built.workdir.lstrip("/"),
        env={**proof.built.env, "HOME": str(home), "TMPDIR": str(home), "PATH": str(root / "opt/runstone/bin")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def files(root: Path) -> dict[str, int]:
    """Every file below a folder, and when it was changed."""
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """One request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_its_command_serves_the_pinned_model_and_ends_with_a_signal(proof: Proof) -> None:
    """It is healthy, predicts what the model predicted, tells what it is, writes nothing, and ends by SIGTERM."""
    before = files(proof.built.root)
    told = read(proof.context)
    assert told is not None
    with started(proof) as process:
        assert process.stdout is not None  # it is a pipe
        line = process.stdout.readline()
        assert line.startswith("Serving models:/churn/1 at http://127.0.0.1:"), line + process.communicate()[1]
        port = int(line.split("127.0.0.1:")[1].split()[0])
        assert (200, b"\n") == ask(port, "GET", "/ping")
        status, body = ask(port, "POST", "/invocations", proof.request)
        assert (200, pytest.approx(proof.predictions)) == (status, json.loads(body)["predictions"])
        version = json.loads(ask(port, "GET", "/version")[1])
        facts = ("models:/churn/1", "models:/churn/1", "churn", 1, told.run, told.commit, told.digest)
        assert facts == tuple(version[key] for key in "uri pinned model version run commit digest".split())
        assert f"--digest={version['digest']}" in proof.built.entrypoint
        health = [word.replace(str(PORT), str(port)) for word in proof.built.health]
        assert 0 == subprocess.run(health, env={}, check=False).returncode
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)
        assert 1 == subprocess.run(health, env={}, check=False, stderr=subprocess.DEVNULL).returncode
    assert before == files(proof.built.root)


def test_what_comes_after_the_name_of_the_image_goes_to_the_server(proof: Proof) -> None:
    """Two workers, each of which checks the digest itself."""
    with started(proof, "--workers=2") as process:
        assert process.stdout is not None  # it is a pipe
        line = process.stdout.readline()
        assert line.startswith("Serving models:/churn/1 at "), line + process.communicate()[1]
        port = int(line.split("127.0.0.1:")[1].split()[0])
        assert 200 == ask(port, "POST", "/invocations", proof.request)[0]
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)


UNSHARE = (shutil.which("unshare") or "unshare", "--pid", "--fork", "--kill-child")
CANNOT = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode if UNSHARE[0][0] == "/" else 1


@pytest.mark.skipif(bool(CANNOT), reason="this user cannot make a namespace of processes")
@pytest.mark.parametrize("is_ready", [False, True])
def test_as_the_first_process_of_a_container_it_ends_by_its_signal(proof: Proof, is_ready: bool) -> None:
    """Linux lets the first process ignore what it does not handle; it ends while it loads too, and not by a kill."""
    with started(proof, before=UNSHARE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().split())
        first = int(children.read_text().split()[0])
        if is_ready:
            assert process.stdout is not None  # it is a pipe
            assert process.stdout.readline().startswith("Serving ")
        else:
            wait_until(lambda: handles(first, signal.SIGTERM))
        os.kill(first, signal.SIGTERM)
        assert (0 if is_ready else 128 + signal.SIGTERM) == process.wait(20)


def handles(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (caught,) = [line.split()[1] for line in lines if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def refusal(proof: Proof) -> str:
    """What the command says when it does not start."""
    with started(proof) as process:
        said = process.communicate(timeout=60)
    assert (1, "") == (process.returncode, said[0])
    return said[1]


@pytest.fixture
def home_of_image(proof: Proof) -> Iterator[Path]:
    """The folder of the context in the image, as it was again afterwards."""
    folder = proof.built.root / "srv/runstone"
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    yield folder
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.mark.parametrize("name", ["model.pkl", "conda.yaml"])
def test_one_byte_of_the_model_changed(proof: Proof, home_of_image: Path, name: str) -> None:
    """It does not start, be it a file that runs code or one that nobody reads; the file is named."""
    path = home_of_image / "model" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    said = refusal(proof)
    assert f"`{name}` has md5 " in said
    assert "so the model was not loaded" in said


def test_a_changed_model_whose_digests_were_made_to_fit(proof: Proof, home_of_image: Path) -> None:
    """It does not start either: the digest that counts is the one in the command."""
    model = home_of_image / "model"
    (model / "extra.txt").write_text("more")
    document = json.loads((home_of_image / FILE).read_text())
    document["files"] = hash_files(model)
    document["digest"] = digest_of(document["files"])
    (home_of_image / FILE).write_text(json.dumps(document))
    assert document["digest"].removeprefix("md5:") in refusal(proof)


def test_the_pickle_loads_by_the_digest_alone(proof: Proof) -> None:
    """Without it the context is a folder like any other."""
    pins = [word for word in proof.built.entrypoint if word.startswith("--digest=")]
    kept = proof.built.entrypoint
    proof.built.entrypoint = [word for word in kept if word not in pins]
    try:
        assert 1 == len(pins)
        assert "model.pkl" in refusal(proof)
    finally:
        proof.built.entrypoint = kept


def test_a_changed_wheel_is_not_installed(proof: Proof, tmp_path: Path) -> None:
    """Each is installed by its hash."""
    context = tmp_path / "context"
    shutil.copytree(proof.context, context)
    (wheel,) = context.glob("wheels/click-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(AssertionError, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        build(context, tmp_path / "image", proof.env)


def test_it_is_not_root_and_holds_no_wheels(proof: Proof) -> None:
    """The user is a number, which Kubernetes can tell from root; wheels and pip stay in the first stage."""
    assert "10001:10001" == proof.built.user
    assert [] == list(proof.built.root.rglob("*.whl"))
    assert not list(proof.built.root.glob("opt/runstone/lib/python*/site-packages/pip"))
    assert inside(["/opt/x"], Path("/r")) == ["/r/opt/x"]
    assert len(read_steps(proof.context)) == proof.built.steps


@pytest.mark.skipif(not os.environ.get("RUNSTONE_TEST_FULL"), reason="asks the index: RUNSTONE_TEST_FULL=1")
@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_a_wheelhouse_from_the_index(proof: Proof, tmp_path: Path, platform: str) -> None:
    """For either machine, whichever this one is; every wheel is for it or for any."""
    begun = time.monotonic()
    arguments = ("models", "generate-dockerfile", "churn/1", "-o", str(tmp_path / "c"), "--wheelhouse")
    done = run_cli(*arguments, "--platform", platform, cwd=proof.context.parent / "repo")
    assert 0 == done.returncode, done.stderr
    machine = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[platform]
    wheels = [path.name for path in (tmp_path / "c/wheels").iterdir()]
    assert len(wheels) == len((tmp_path / "c/requirements.txt").read_text().splitlines())
    assert [] == [name for name in wheels if not name.endswith(("-any.whl", f"_{machine}.whl"))]
    assert time.monotonic() - begun < 250


def test_the_repository_is_left_as_it_was(proof: Proof) -> None:
    """Writing a context changes nothing in it."""
    assert "" == git("status", "--porcelain", cwd=proof.context.parent / "repo")
