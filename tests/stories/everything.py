"""One small run of everything, as a user writes it; the stories of odd places run it in each of them.

It prints the ids of its two runs: the outer one, and the one nested in it, which logged the model.
"""

import tempfile
from pathlib import Path

import runstone

MLMODEL = "artifact_path: model\nflavors:\n  python_function:\n    loader_module: odd\n"

with tempfile.TemporaryDirectory() as name:
    made = Path(name)
    (made / "rows.csv").write_bytes(b"a,b\r\n1,2\n")
    (made / "plots").mkdir()
    (made / "plots" / "été 1.svg").write_bytes(b"<svg/>\r\n")
    (made / "model").mkdir()
    (made / "model" / "MLmodel").write_text(MLMODEL)
    (made / "model" / "weights.bin").write_bytes(bytes(range(256)))

    runstone.set_experiment("Odd places/été 🚀")
    with runstone.start_run(run_name="outer", tags={"team": "growth"}, description="Why\r\nnot") as outer:
        runstone.log_params({"lr": 0.01, "deep": {"a": [1, None]}, "text": "line\r\nline\n"})
        for step in range(3):
            runstone.log_metric("loss", 1 / (step + 1), step=step)
        runstone.log_input(made / "rows.csv", context="train", name="rows")
        runstone.log_text("one\r\ntwo\n", "log/out.txt")
        runstone.log_artifacts(made / "plots", "plots")
        with runstone.start_run(nested=True, run_name="inner") as inner:
            runstone.log_metrics({"loss": 0.125, "auc": float("nan")})
            inner.log_model(made / "model", "model", ["python_function"], None)

print(outer.info.run_id, inner.info.run_id)
