"""`runstone serve`, from the command line."""

import os
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

for _module in ("uvicorn", "httptools", "orjson", "prometheus_client", "packaging", "sklearn"):
    pytest.importorskip(_module, reason="the extras `serve` and `sklearn` are not installed")

from runstone.cli.serve import _without_env, serve  # noqa: E402  # after what may skip the file
from tests.cli.support import run_cli  # noqa: E402  # after what may skip the file
from tests.serving.support import save_odd, serving  # noqa: E402  # after what may skip the file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model that does what its input says."""
    return save_odd(tmp_path / "model")


def test_it_says_where_it_serves_and_ctrl_c_ends_it(folder: Path, tmp_path: Path) -> None:
    """One line on standard output, and nothing but log lines on standard error; the exit code is 0."""
    with serving(str(folder), "--allow-pickle", cwd=tmp_path) as served:
        assert 200 == served.get("/ping")[0]
        served.process.send_signal(signal.SIGINT)
        assert 0 == served.process.wait(30)
        assert served.process.stdout is not None
        assert "" == served.process.stdout.read()
        text = served.errors.read_text()
        assert text.splitlines() == [line for line in text.splitlines() if line.startswith("{")]


def test_no_access_log(folder: Path, tmp_path: Path) -> None:
    """Nothing at all is written then."""
    with serving(str(folder), "--allow-pickle", "--no-access-log", cwd=tmp_path) as served:
        assert 200 == served.odd("answer")[0]
        assert 0 == served.stop()
        assert "" == served.errors.read_text()


def test_a_port_in_use(folder: Path, tmp_path: Path) -> None:
    """Is told before anything is loaded."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_cli("serve", str(folder), "--allow-pickle", "--port", port, cwd=tmp_path)
    assert (1, "") == (done.returncode, done.stdout)
    assert (
        f"Nothing can be served at 127.0.0.1:{port}: Address already in use. Choose another port, or have a free one "
        "found: `--port 0`"
    ) in done.stderr


def test_a_folder_that_nobody_vouches_for(folder: Path, tmp_path: Path) -> None:
    """Is not served."""
    done = run_cli("serve", str(folder), "--port", "0", cwd=tmp_path)
    assert 1 == done.returncode
    assert "no digest in git vouches for it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_environment_that_differs(folder: Path, tmp_path: Path, workers: str) -> None:
    """Nothing is served, unless told; also where several processes would."""
    (folder / "requirements.txt").write_text("click==0.1\n")
    done = run_cli("serve", str(folder), "--allow-pickle", "--port", "0", "--workers", workers, cwd=tmp_path)
    assert 1 == done.returncode
    assert "click==0.1 is asked for, and " in done.stderr
    with serving(str(folder), "--allow-pickle", "--no-check", cwd=tmp_path) as served:
        assert 200 == served.odd("answer")[0]


def test_a_model_whose_library_is_not_installed(folder: Path, tmp_path: Path) -> None:
    """The message names the package and the version."""
    text = (folder / "MLmodel").read_text()
    text = text.replace("mlflow.sklearn", "mlflow.catboost").replace("  sklearn:", "  catboost:")
    (folder / "MLmodel").write_text(text)
    (folder / "requirements.txt").write_text("catboost==0.0.1\n")
    done = run_cli("serve", str(folder), "--allow-pickle", "--port", "0", cwd=tmp_path)
    assert 1 == done.returncode
    assert "catboost==0.0.1 is asked for, and " in done.stderr


@pytest.mark.skipif(not os.environ.get("RUNSTONE_TEST_FULL"), reason="builds an environment: RUNSTONE_TEST_FULL=1")
def test_an_environment_of_its_own(folder: Path, tmp_path: Path) -> None:
    """Is built from the model's requirements, once, and serves what cannot be served here."""
    (folder / "requirements.txt").write_text("pandas\nscikit-learn\nclick==8.1.7\n")
    cache = {"RUNSTONE_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ""}
    for _ in range(2):
        with serving(str(folder), "--allow-pickle", "--env", "venv", cwd=tmp_path, env=cache) as served:
            assert 200 == served.odd("answer")[0]
    assert 1 == len(list((tmp_path / "cache" / "runstone" / "environments").iterdir()))


def test_sizes_and_options() -> None:
    """Sizes are read with their unit, and wrong ones refused."""
    for size in ("0", "x", "1T", "-1"):
        done = CliRunner().invoke(serve, ["uri", "--max-body", size])
        assert 2 == done.exit_code
        assert "is no size such as 500K, 32M or 1G" in done.output
    assert ["serve", "u", "--port", "1"] == _without_env(["serve", "--env", "venv", "u", "--env=venv", "--port", "1"])
