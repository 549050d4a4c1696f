"""`runstone evaluate`, from the command line."""

import json
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("sklearn", reason="the extra `sklearn` is not installed")

from sklearn.linear_model import LogisticRegression  # after what may skip the file

import runstone  # likewise
from tests.cli.support import run_cli  # likewise
from tests.evaluation.support import register, rows  # likewise

COMMAND = ("evaluate", "models:/churn/1", "--data", "data.csv", "--targets", "y", "--model-type", "classifier")


@pytest.fixture
def churn(here: Path) -> Path:
    """A repository with a registered classifier, and data for it."""
    data = rows()
    data.to_csv(here / "data.csv", index=False)
    register(LogisticRegression().fit(data[["a", "b"]], data["y"]))
    return here


def test_it_measures_and_records(churn: Path) -> None:
    """Metrics go to standard output, and where they are recorded is said beside."""
    done = run_cli(
        *COMMAND, "--no-importance", "--experiment", "june", "--prefix", "june/", "--positive", "0", cwd=churn
    )
    assert 0 == done.returncode, done.stderr
    (run,) = runstone.search_runs(experiment_names=["june"], output_format="list")
    assert f"Recorded as the run {run.id}. See its files: `runstone artifacts list {run.id}`" in done.stderr
    assert "june/accuracy_score" in done.stdout
    assert [("data.csv", "eval", "data.csv")] == [(each.name, each.role, each.path) for each in run.datasets]
    data = rows()
    assert (
        int((data["y"] == 0).sum())
        == run.data.metrics["june/true_positives"] + run.data.metrics["june/false_negatives"]
    )


def test_what_is_required_decides_the_exit_code(churn: Path) -> None:
    """It is recorded in either case, and JSON is whole."""
    done = run_cli(*COMMAND, "--json", "--require", "accuracy_score>=0.5", "--require", "log_loss<=5", cwd=churn)
    assert 0 == done.returncode, done.stderr
    document = json.loads(done.stdout)
    assert 120 == document["metrics"]["example_count"]
    assert f"runs:/{document['run_id']}/evaluation/" in document["artifacts"]["roc_curve_plot"]
    failed = run_cli(*COMMAND, "--json", "--require", "accuracy_score >= 1.5", cwd=churn)
    assert 1 == failed.returncode
    run_id = json.loads(failed.stdout)["run_id"]
    assert "and at least 1.5 is asked for." in failed.stderr
    assert "FINISHED" == runstone.get_run(run_id).status


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--require", "auc>0.9"], 2, "--require 'auc>0.9' must be as `roc_auc>=0.9` or `log_loss<=0.3`."),
        (["--targets", "z"], 2, "`targets` names the column 'z', which the data does not have. It has: 'a', 'b', 'y'"),
        (["--data", "nowhere.csv"], 2, "There is no file 'nowhere.csv'. Name the data: a CSV or Parquet file."),
        (["--data", "x.jsonl"], 2, "There is no file 'x.jsonl'."),
        (["--positive", "7"], 2, "`pos_label` '7' is none of the classes: [0, 1]."),
    ],
)
def test_wrong_calls(churn: Path, arguments: list[str], code: int, message: str) -> None:
    """Each is said in a sentence, and nothing is recorded."""
    done = run_cli(*COMMAND, *arguments, cwd=churn)
    assert (code, "") == (done.returncode, done.stdout)
    assert message in " ".join(done.stderr.split())
    assert 1 == len(runstone.search_runs(output_format="list"))  # that of the model
