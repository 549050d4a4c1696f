"""`runstone predict`, from the command line."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

for _module in ("pandas", "sklearn", "pyarrow"):
    pytest.importorskip(_module, reason="the extras `sklearn` and `parquet` are not installed")

import runstone  # noqa: E402  # after what may skip the file
import runstone.sklearn  # noqa: E402
from runstone.client import Client  # noqa: E402
from tests.cli.support import run_cli, run_on_terminal, start_cli  # noqa: E402
from tests.scoring.support import linear  # noqa: E402

_SLOW = """
import time
import runstone
class Slow(runstone.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        time.sleep(0.2)
        return model_input["a"]
runstone.models.set_model(Slow())
"""


@pytest.fixture
def model(here: Path) -> str:
    """The URI of a registered model, y = 2 a + b; and beside it data.csv with three rows."""
    fitted, x = linear()
    with runstone.start_run():
        runstone.sklearn.log_model(fitted, "model", input_example=x, registered_model_name="churn")
    runstone.Client().set_registered_model_alias("churn", "champion", 1)
    (here / "data.csv").write_text("id,a,b,c\n007,1,0,\n008,2,0,\n009,3,1,\n")
    return "models:/churn@champion"


def test_it_is_recorded_as_a_run(model: str, here: Path) -> None:
    """With the version, both digests by role, the number of rows; `--json` tells it all."""
    done = run_cli("predict", model, "-i", "data.csv", "-o", "out.csv", "--id", "id", "--json", cwd=here)
    assert 0 == done.returncode, done.stderr
    assert "The model does not use 1 column: c" in done.stderr
    assert ["id,prediction", "007", "008", "009"] == [
        line if not n else line.split(",")[0] for n, line in enumerate((here / "out.csv").read_text().splitlines())
    ]
    told = json.loads(done.stdout)
    run = Client(here).get_run(told["run_id"])
    assert ("predictions", "FINISHED", 3) == (run.experiment, run.status, told["rows"])
    assert {"model": "churn", "model_version": 1, "keep": ["id"]}.items() <= run.params.items()
    assert {"models:/churn/1"} == {run.tags["runstone.model.uri"], told["model"]["pinned"]}
    known = {(each.role, each.path, each.digest) for each in run.datasets}
    assert {
        ("predict", "data.csv", told["input"]["digest"]),
        ("predictions", "out.csv", told["output"]["digest"]),
    } == known
    assert 3 == run.metrics["rows"].last


def test_no_run(model: str, here: Path) -> None:
    """Nothing is recorded when told so."""
    before = len(Client(here).search_runs_frame())
    done = run_cli("predict", model, "-i", "data.csv", "-o", "out.csv", "--no-run", cwd=here)
    assert (0, "scored 3 rows by models:/churn/1 → out.csv\n") == (done.returncode, done.stdout)
    assert before == len(Client(here).search_runs_frame())


def test_through_pipes(model: str, here: Path) -> None:
    """Standard input and output; what else is said goes to standard error."""
    text = (here / "data.csv").read_text()
    done = run_cli("predict", model, "--format", "csv", "--output-format", "jsonl", "--id", "id", cwd=here, input=text)
    assert 0 == done.returncode, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("007", 2.0), ("008", 4.0), ("009", 7.0)] == [(r["id"], round(r["prediction"], 6)) for r in rows]
    assert "scored 3 rows by models:/churn/1, run " in done.stderr
    done = run_cli("predict", model, "--id", "id", cwd=here, input=text)
    assert 2 == done.returncode
    assert "What comes through `-` does not tell its format. Say it: `--format csv`" in done.stderr
    done = run_cli("predict", model, "--format", "csv", "-o", "scores.txt", cwd=here, input=text)
    assert "'scores.txt' does not tell its format. Say it: `--output-format csv`" in done.stderr


def test_a_failure_is_a_failed_run_and_no_output(model: str, here: Path) -> None:
    """The message names the row."""
    (here / "data.csv").write_text("a,b\n1,2\nx,2\n")
    done = run_cli("predict", model, "-i", "data.csv", "-o", "out.csv", cwd=here)
    assert 1 == done.returncode
    assert "data.csv: in row 2, `a` is 'x', which is no double. Nothing was written." in done.stderr
    assert [] == [path.name for path in here.iterdir() if "out.csv" in path.name]
    listed = run_cli("runs", "list", "--json", cwd=here)
    assert ["FAILED"] == [r["status"] for r in json.loads(listed.stdout) if r["experiment"] == "predictions"]


def test_outside_any_repository(model: str, here: Path, tmp_path: Path) -> None:
    """A folder is scored there too, and nothing recorded."""
    assert 0 == run_cli("models", "pull", "churn/1", str(tmp_path / "model"), cwd=here).returncode
    outside = tmp_path / "outside"
    outside.mkdir()
    data = str(here / "data.csv")
    done = run_cli("predict", str(tmp_path / "model"), "-i", data, "-o", "out.csv", "--json", cwd=outside)
    assert 0 == done.returncode, done.stderr
    assert None is json.loads(done.stdout)["run_id"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_being_stopped_leaves_nothing(here: Path, number: int, code: int) -> None:
    """Neither an output nor a part of one; the run is recorded as KILLED, and the model is not blamed."""
    (here / "slow.py").write_text(_SLOW)
    runstone.pyfunc.save_model(here / "slow", python_model=str(here / "slow.py"), pip_requirements=[])
    (here / "data.csv").write_text("a\n" + "1\n" * 500)
    options = ("--allow-pickle", "--chunk-rows", "1")
    process = start_cli("predict", "slow", "-i", "data.csv", "-o", "out.csv", *options, cwd=here)
    end = time.monotonic() + 60
    while not any("out.csv" in path.name for path in here.iterdir()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert code == process.returncode
    assert "the model failed" not in f"{told!r}"
    assert [] == [path.name for path in here.iterdir() if "out.csv" in path.name]
    assert ["KILLED"] == [run.status for run in Client(here).search_runs(["predictions"])]


def test_a_progress_bar_on_a_terminal(model: str, here: Path) -> None:
    """On standard error, to its end."""
    code, shown = run_on_terminal("predict", model, "-i", "data.csv", "-o", "out.csv", cwd=here)
    assert 0 == code, shown
    assert "predict" in shown
    assert "100%" in shown


def test_calls_that_contradict_themselves(model: str, here: Path) -> None:
    """Each is told before anything is read."""
    for options, why in (
        (("--keep", "--id", "id"), "--keep writes all columns: leave --id out."),
        (("--address", "auto"), "--address goes with --engine ray."),
        (("--json",), "With --json name the output: -o FILE."),
    ):
        done = run_cli("predict", model, "-i", "data.csv", *options, cwd=here)
        assert 2 == done.returncode
        assert why in done.stderr


def test_memory_does_not_grow_with_the_rows(model: str, here: Path) -> None:
    """Twenty times the rows take no more than a few MB more."""
    script = (
        "import resource, sys; from runstone.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    used = []
    for count in (20_000, 400_000):
        (here / "data.csv").write_text("a,b\n" + "1.25,0.5\n" * count)
        options = ["-i", "data.csv", "-o", "out.csv", "--force", "--no-run", "--chunk-rows", "10000"]
        done = subprocess.run(
            [sys.executable, "-c", script, "predict", model, *options],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
        used.append(int(done.stdout.split()[-1]) / 1024)
    assert used[1] - used[0] < 40, used
