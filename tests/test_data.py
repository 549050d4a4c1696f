"""`runstone.data` describes what a run reads, for `log_input`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import runstone
from runstone import data


def test_what_was_described_is_logged_with_its_role(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame, an array and a file of the repository."""
    monkeypatch.chdir(git_repo)
    with runstone.start_run() as run:
        runstone.log_input(data.from_pandas(pd.DataFrame({"a": [1]}), name="frame"), context="train")
        runstone.log_input(data.from_numpy(np.zeros((2, 3)), name="array"), "test")
        runstone.log_input(data.from_file("train.py"))
        runstone.log_input("train.py", "code", name="script")
        with pytest.raises(runstone.errors.InvalidValue):
            runstone.log_input("train.py", tags={"a": "b"})
    found = runstone.get_run(run.id).inputs.dataset_inputs
    assert [
        ("frame", "train", (1, 1)),
        ("array", "test", (2, 3)),
        ("train.py", None, ()),
        ("script", "code", ()),
    ] == [(d.name, d.role, d.shape) for d in found]
    assert "train.py" == found[2].path == found[3].path
