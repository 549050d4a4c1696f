"""What the tests of the flavors for deep learning and language share: checks that each of them must pass."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged
from runstone.flavors import get_flavor
from runstone.flavors.trust import Trust
from tests.flavors.boosters import edit
from tests.flavors.support import ALLOWED, digests_of
from tests.support import SOURCE


def check_damage(flavor_name: str, folder: Path, weights: str, setting: str) -> None:
    """Weights that git recorded otherwise, that are garbage, that are gone, or that the folder has elsewhere.

    Args:
        flavor_name: The flavor.
        folder: A good model folder of it; it is left damaged.
        weights: A file that loading reads.
        setting: The line of the MLmodel file that says where the weights are.
    """
    load = get_flavor(flavor_name).load
    recorded = digests_of(folder)
    (folder / weights).write_bytes(b"garbage" + (folder / weights).read_bytes()[7:-7] + b"garbage")
    with pytest.raises(ModelFileChanged) as changed:
        load(folder, trust=Trust(recorded))
    assert weights == changed.value.file
    for trust in (Trust(digests_of(folder)), ALLOWED):
        with pytest.raises(InvalidModelFolder):
            load(folder, trust=trust)
    (folder / weights).unlink()
    with pytest.raises(InvalidModelFolder, match=r"cannot load|is missing|is no"):
        load(folder, trust=ALLOWED)
    key = setting.partition(":")[0]
    (folder.parent / "beside").write_bytes(b"secret")
    for path in ("../beside", "/etc/hostname"):
        edit(folder, setting, f"{key}: {path}")
        with pytest.raises(InvalidModelFolder) as error:
            load(folder, trust=ALLOWED)
        assert error.value.problem.startswith("the path '") or "names" in error.value.problem
        assert error.value.problem.endswith("leaves the folder")
        edit(folder, f"{key}: {path}", setting)


def check_other_version(flavor_name: str, folder: Path, distribution: str, setting: str) -> None:
    """A library that is not the one the model was saved with is warned about, and the model is loaded all the same.

    Args:
        flavor_name: The flavor.
        folder: A good model folder of it; its MLmodel file is edited.
        distribution: The library.
        setting: The key of its version in the MLmodel file.
    """
    flavor = get_flavor(flavor_name)
    said = next(
        line for line in (folder / "MLmodel").read_text().splitlines() if line.strip().startswith(f"{setting}:")
    )
    edit(folder, said.strip(), f"{setting}: 0.0.1")
    with pytest.warns(UserWarning, match=f"was saved with {distribution} ") as caught:
        flavor.load(folder, trust=ALLOWED)
    expected = (
        f"The model in {folder} was saved with {distribution} 0.0.1, and {flavor.version()} is installed; it may fail "
        f"or predict otherwise. Install the other: `pip install {distribution}==0.0.1`"
    )
    assert expected in [str(warning.message) for warning in caught]


def check_missing_library(flavor_name: str, folder: Path, distribution: str, face: str = "load") -> None:
    """In a Python that has no packages at all, loading says which one to install, in which version.

    Args:
        flavor_name: The flavor.
        folder: A good model folder of it.
        distribution: The library.
        face: The function of the flavor to load with.
    """
    code = f"""
from pathlib import Path
from runstone.errors import MissingLibrary
from runstone.flavors import get_flavor
from runstone.flavors.trust import Trust

try:
    get_flavor({flavor_name!r}).{face}(Path({str(folder)!r}), trust=Trust(allow_pickle=True))
except MissingLibrary as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],  # without site-packages
        cwd=folder.parent,
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    installed = version(distribution).partition("+")[0]
    assert (
        f"`{distribution}` is needed to load this model, and is not installed. "
        f"Install it: `pip install {distribution}=={installed}`\n" == done.stdout
    ), done.stderr
