"""What tests of the registry share besides fixtures."""

from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri


def log_model(workspace: Workspace, run_id: str, *, text: str = "weights", path: str = "model") -> RunUri:
    """A run with a model folder of two files; what is in them does not matter to the registry."""
    folder = workspace.repo.common_dir / f"model-of-{run_id}"
    (folder / "sub").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "sub" / "weights.bin").write_text(text)
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id=run_id) as run:
        run.log_model(folder, path, ["sklearn"], {"inputs": "[]"})
    return RunUri(run_id, path)
