"""Versions of MLflow: which are refused, in which words, and how one that lacks something is spoken to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runstone.errors import MlflowUnsupported
from runstone.mlflow_plugin import compat
from tests.cli.support import run_cli
from tests.support import SOURCE, run_python

OLD = (
    "MLflow {} is too old for Runstone, which works with 2.17 to 3.x. Install a newer one: "
    "`pip install 'mlflow>=2.17,<4'`"
)
NEW = (
    "MLflow {} is too new for Runstone, which works with 2.17 to 3.x. Install one it knows, or a newer Runstone: "
    "`pip install 'mlflow>=2.17,<4'`"
)


@pytest.fixture
def pretended(tmp_path: Path) -> dict[str, str]:
    """An environment in which the metadata of another MLflow is found first."""
    folder = tmp_path / "site" / "mlflow-1.30.1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mlflow\nVersion: 1.30.1\n")
    before = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([str(folder.parent), *filter(None, [before])])}


@pytest.mark.parametrize("version", ["2.17.0", "2.17.0rc0", "2.22.4", "3.0.0rc1", "3.17.2", "3.99.0.dev0"])
def test_versions_that_work(version: str) -> None:
    """From 2.17 up to whatever comes in 3.x."""
    compat.check(version)


@pytest.mark.parametrize(
    ("version", "words"), [("2.16.2", OLD), ("1.30.1", OLD), ("0.9", OLD), ("4.0.0", NEW), ("10.1", NEW)]
)
def test_versions_that_do_not(version: str, words: str) -> None:
    """An older one, and one of a later major version, are named with what to do."""
    with pytest.raises(MlflowUnsupported) as caught:
        compat.check(version)
    assert words.format(version) == str(caught.value)


@pytest.mark.mlflow
def test_the_one_installed_works() -> None:
    """What the tests run with is in the range, and known by its version."""
    from mlflow.version import VERSION

    assert VERSION == compat.installed()
    compat.check()
    assert VERSION.startswith("3.") == compat.has_logged_models()
    assert compat.is_since((2, 17))
    assert not compat.is_since((4, 0))


@pytest.mark.mlflow
def test_mlflow_itself_tells_it(pretended: dict[str, str], git_repo: Path) -> None:
    """A program that tracks with an MLflow that is too old reads why there is no plug-in."""
    done = run_python(
        "import mlflow; mlflow.set_tracking_uri('runstone:.'); mlflow.search_experiments()",
        cwd=git_repo,
        check=False,
        env=_with_source(pretended),
    )
    assert done.returncode
    assert OLD.format("1.30.1") in done.stderr


def test_the_command_tells_it(pretended: dict[str, str], git_repo: Path) -> None:
    """`runstone server` does, too, and nothing is begun."""
    done = run_cli("server", cwd=git_repo, env=_with_source(pretended))
    assert (1, f"error: {OLD.format('1.30.1')}\n") == (done.returncode, done.stderr)


def test_without_mlflow_nothing_is_refused(tmp_path: Path) -> None:
    """Where no MLflow is installed, what needs none can be imported."""
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\nfrom runstone.mlflow_plugin import compat\n"
    code += "assert compat.installed() is None; compat.check(); print('fine')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ("fine\n", "") == (done.stdout, done.stderr)


def test_options_that_a_version_does_not_know_are_dropped() -> None:
    """What a call does not know is left out, and what it does is given; one that takes any gets all."""

    def narrow(first: int, second: int = 0) -> tuple[int, int]:
        return first, second

    def wide(**options: int) -> dict[str, int]:
        return options

    assert (1, 2) == compat.made(narrow, 1, second=2, third=3)
    assert {"third": 3} == compat.made(wide, third=3)


@pytest.mark.mlflow
def test_names_that_a_version_does_not_have() -> None:
    """An entity of MLflow's, or None; also where there is no such module."""
    from mlflow.entities import Run

    assert Run is compat.entity("Run")
    assert None is compat.entity("NoSuchThing")
    assert None is compat.entity("anything", "mlflow.no_such_module")


def _with_source(env: dict[str, str]) -> dict[str, str]:
    """What is pretended stands before all else."""
    return {"PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(SOURCE)])}
