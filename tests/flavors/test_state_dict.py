"""Weights of PyTorch without their module: saved, logged and loaded, by us and by MLflow, without a pickle's code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import runstone
from runstone.errors import InvalidModelFolder, UsageError
from tests.flavors.support import Boom

torch: Any = pytest.importorskip("torch", reason="the extra `pytorch` is not installed")


@pytest.fixture
def weights() -> dict[str, Any]:
    """The weights of a layer."""
    return dict(torch.nn.Linear(2, 1).state_dict())


def same(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether two maps hold the same tensors."""
    return expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.mlflow
def test_either_loads_what_the_other_saves(tmp_path: Path, weights: dict[str, Any]) -> None:
    """As files in a folder."""
    theirs = pytest.importorskip("mlflow.pytorch", reason="MLflow is not installed as a whole")
    runstone.pytorch.save_state_dict(weights, tmp_path / "ours")
    assert same(weights, theirs.load_state_dict(str(tmp_path / "ours")))
    theirs.save_state_dict(weights, str(tmp_path / "theirs"))
    assert same(weights, runstone.pytorch.load_state_dict(str(tmp_path / "theirs")))


@pytest.mark.usefixtures("here")
def test_weights_are_artifacts_of_the_run(weights: dict[str, Any]) -> None:
    """From the run they come back, for a module to take."""
    with runstone.start_run() as run:
        runstone.pytorch.log_state_dict(weights, "deep/weights")
    found = runstone.pytorch.load_state_dict(f"runs:/{run.id}/deep/weights", map_location="cpu")
    assert same(weights, found)
    torch.nn.Linear(2, 1).load_state_dict(found)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"no" * 99])
def test_damage(tmp_path: Path, weights: dict[str, Any], damage: Callable[[bytes], bytes]) -> None:
    """A file that is cut off or something else is an error of the folder, and so is none at all."""
    runstone.pytorch.save_state_dict(weights, tmp_path / "m")
    file = tmp_path / "m" / "state_dict.pth"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InvalidModelFolder, match=r"PyTorch reads no weights from `state_dict\.pth`: "):
        runstone.pytorch.load_state_dict(str(tmp_path / "m"))
    file.unlink()
    with pytest.raises(InvalidModelFolder, match=r"the file `state_dict\.pth` is missing"):
        runstone.pytorch.load_state_dict(str(tmp_path / "m"))


def test_code_does_not_run(tmp_path: Path) -> None:
    """A pickle that would run something is refused."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "state_dict.pth").write_bytes(pickle.dumps(Boom(tmp_path / "ran")))
    with pytest.raises(InvalidModelFolder, match="PyTorch reads no weights"):
        runstone.pytorch.load_state_dict(str(tmp_path / "m"))
    assert not (tmp_path / "ran").exists()


def test_a_module_is_no_weights(tmp_path: Path) -> None:
    """The error says what its weights are."""
    with pytest.raises(UsageError, match=r"this is a Linear. Of a module they are `module.state_dict\(\)`"):
        runstone.pytorch.save_state_dict(torch.nn.Linear(1, 1), tmp_path / "m")
    assert not (tmp_path / "m").exists()
