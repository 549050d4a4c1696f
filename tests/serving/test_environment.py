"""The environment of a model, held against the one that is here."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from runstone.errors import EnvironmentDiffers
from runstone.serving.environment import check_environment, find_differences
from runstone.serving.resolve import Needs

PYTHON = ".".join(map(str, sys.version_info[:3]))
NUMPY = version("numpy")


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        (f"numpy=={NUMPY}\n", []),
        (f"numpy>={NUMPY}\n# a comment\n-r other.txt\n--index-url https://example.org\n./local\n", []),
        ("mlflow==2.17.0\nrunstone==9\n", []),
        ("numpy==0.1\n", [f"numpy==0.1 is asked for, and {NUMPY} is installed"]),
        ("no-such-thing==1.0", ["no-such-thing==1.0 is asked for, and is not installed"]),
        ('no-such-thing==1.0; sys_platform == "win32"', []),
    ],
)
def test_packages(requirements: str, expected: list[str]) -> None:
    """Each is held against what is installed; whoever saved the model does not count."""
    assert expected == find_differences(Needs(requirements, PYTHON))


def test_python() -> None:
    """Another patch version is the same, another minor one is not."""
    here = ".".join(map(str, sys.version_info[:2]))
    assert [] == find_differences(Needs("", f"{here}.99"))
    assert [f"Python 3.7.1 is asked for, and this is {here}"] == find_differences(Needs("", "3.7.1"))
    assert [] == find_differences(Needs("", None))


def test_the_error_tells_what_to_do(tmp_path: Path) -> None:
    """Each difference, and two ways on."""
    with pytest.raises(EnvironmentDiffers) as caught:
        check_environment("models:/churn/1", Needs("numpy==0.1", None))
    assert (
        "The environment is not the one that models:/churn/1 was saved with:\n"
        f"  numpy==0.1 is asked for, and {NUMPY} is installed\n"
        "Serve it in an environment of its own: `runstone serve models:/churn/1 --env venv`; or, if the differences do "
        "not matter: `runstone serve models:/churn/1 --no-check`"
    ) == str(caught.value)
