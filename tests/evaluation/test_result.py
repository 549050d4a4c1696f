"""Results of evaluations: saved to a folder and read again."""

import json
from pathlib import Path

import pytest

from runstone.errors import InvalidValue
from runstone.evaluation import EvaluationArtifact, EvaluationResult

RESULT = EvaluationResult(
    {"auc": 0.1 + 0.2, "odd": float("inf")},
    {
        "residuals": EvaluationArtifact("runs:/run-a/evaluation/12/residuals.csv", b"row,target\n0,1.5\n"),
        "roc_curve_plot": EvaluationArtifact("runs:/run-a/evaluation/12/roc_curve_plot.png", b"\x89PNG"),
    },
    "run-a",
    "md5:12",
    ("`roc_auc` is left out.",),
)


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    """All of it; only CSV files are tables."""
    RESULT.save(tmp_path / "saved")
    read = EvaluationResult.load(tmp_path / "saved")
    assert RESULT == read
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert {"residuals": [{"row": 0, "target": 1.5}]} == {k: v.to_dict("records") for k, v in read.tables.items()}


def test_an_artifact_that_leads_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    """The files are named by others."""
    RESULT.save(tmp_path / "saved")
    about = tmp_path / "saved" / "artifacts_metadata.json"
    document = json.loads(about.read_text())
    document["artifacts"]["residuals"]["uri"] = "runs:/run-a/.."
    about.write_text(json.dumps(document))
    with pytest.raises(InvalidValue, match="holds no evaluation"):
        EvaluationResult.load(tmp_path / "saved")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"artifacts": 3}'])
def test_a_folder_of_something_else(tmp_path: Path, text: str) -> None:
    """Is an error that names it."""
    RESULT.save(tmp_path)
    (tmp_path / "artifacts_metadata.json").write_text(text)
    with pytest.raises(InvalidValue, match="holds no evaluation"):
        EvaluationResult.load(tmp_path)
