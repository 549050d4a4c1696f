"""The three files that say what a model needs."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.linear_model import LinearRegression

from runstone.errors import UsageError
from runstone.flavors import sklearn as flavor
from runstone.flavors.environment import pin, write_environment
from runstone.flavors.protocol import SaveOptions


def read(folder: Path) -> tuple[list[str], Any, Any]:
    """The requirements, and the two others as another YAML reader sees them."""
    python, conda = (yaml.safe_load((folder / name).read_text()) for name in ("python_env.yaml", "conda.yaml"))
    return (folder / "requirements.txt").read_text().splitlines(), python, conda


def test_a_saved_model_needs_exactly_what_made_it(tmp_path: Path, model: LinearRegression) -> None:
    """Exact versions of the few libraries that loading needs; pandas only if the signature has columns."""
    flavor.save(model, tmp_path / "m", serialization_format="cloudpickle")
    names = ["cloudpickle", "numpy", "scikit-learn", "scipy"]
    expected = [f"{name}=={version(name)}" for name in names]
    requirements, python, conda = read(tmp_path / "m")
    assert expected == requirements
    assert {
        "python": platform.python_version(),
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": ["-r requirements.txt"],
    } == python
    assert [f"python={platform.python_version()}", "pip", {"pip": expected}] == conda["dependencies"]


def test_columns_need_pandas(folder: Path) -> None:
    """A signature of columns is enforced with pandas, so the environment has it."""
    assert f"pandas=={version('pandas')}" in read(folder)[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pip_requirements": ["a==1", "b"]}, ["a==1", "b"]),
        ({"extra_pip_requirements": ["c", "found==2"]}, ["found==2", "c"]),
        ({"conda_env": {"dependencies": ["python=3.11", {"pip": ["d==4"]}]}}, ["d==4"]),
    ],
)
def test_the_caller_may_say_what_is_needed(tmp_path: Path, options: dict[str, Any], expected: list[str]) -> None:
    """All requirements, further ones, or a whole conda environment, by MLflow's names."""
    write_environment(tmp_path, ["found==2"], SaveOptions(**options))
    assert expected == read(tmp_path)[0]


def test_requirements_may_be_a_file(tmp_path: Path) -> None:
    """A requirements file is taken line by line, without comments and blank lines."""
    (tmp_path / "mine.txt").write_text("# tools\n\na==1 ; python_version > '3'\nb\n")
    write_environment(tmp_path, [], SaveOptions(pip_requirements=str(tmp_path / "mine.txt")))
    assert ["a==1 ; python_version > '3'", "b"] == read(tmp_path)[0]


def test_contradicting_options_are_refused() -> None:
    """Two answers to one question are an error that names both."""
    with pytest.raises(UsageError) as error:
        SaveOptions(conda_env={}, pip_requirements=[])
    assert "`conda_env` and `pip_requirements` contradict each other. Give one of them." == str(error.value)


def test_what_is_not_installed_is_not_pinned() -> None:
    """A library that is not here cannot have been used."""
    assert [f"numpy=={version('numpy')}"] == pin(["numpy", "no-such-library-anywhere"])


def test_each_distribution_is_pinned_once() -> None:
    """However its name is written."""
    assert [f"PyYAML=={version('pyyaml')}"] == pin(["pyyaml", "PyYAML"])
