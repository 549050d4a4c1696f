"""What tests of the registry share besides fixtures."""

from pathlib import Path

from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.support import git


def log_model(workspace: Workspace, run_id: str, *, text: str = "weights", path: str = "model") -> RunUri:
    """A run with a model folder of two files; what is in them does not matter to the registry."""
    folder = workspace.repo.common_dir / f"model-of-{run_id}"
    (folder / "sub").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "sub" / "weights.bin").write_text(text)
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id=run_id) as run:
        run.log_model(folder, path, ["sklearn"], {"inputs": "[]"})
    return RunUri(run_id, path)


def seal_row(repo: Path, tag: str) -> str:
    """The trailer `Seal:` of a commit that moves a version, as plain git makes it: the id of the tag, were it on the
    folder of the run's record.
    """
    head, _, text = git("cat-file", "tag", tag, cwd=repo).partition("\n\n")
    folder = next(line for line in text.split("\n") if line.startswith("record: ")).removeprefix("record: ")
    record = git("rev-parse", f"{tag}^{{commit}}:{folder}", cwd=repo)
    rows = [f"object {record}", "type tree", *head.split("\n")[2:]]
    file = repo / ".git" / "sealed"
    file.write_text("\n".join([*rows, "", text]) + "\n")
    return f"Seal: {git('hash-object', '-t', 'tag', file, cwd=repo)}\n"
