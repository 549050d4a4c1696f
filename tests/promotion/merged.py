"""What tests of `ci register` share: a team whose registration requests were merged, and checkouts as CI makes them."""

from pathlib import Path

from runstone import names
from runstone.git.runs.branch import read_runs
from runstone.records import yaml
from runstone.records.registration import Registration
from runstone.registry.version import run_commit
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.registry.support import log_model
from tests.sharing import Team
from tests.support import git


def log_and_share(team: Team, run_id: str, *, path: str = "model", clone: str = "ann") -> None:
    """Ann, or somebody else, logs a run with a model, and shares it."""
    workspace = Workspace.open(team.folder / clone)
    log_model(workspace, run_id, text=run_id, path=path)
    sync(workspace)


def request_of(team: Team, run_id: str, *, path: str = "model") -> Registration:
    """The request to register the model of a shared run."""
    return request_in(team.folder / "ann", run_id, path=path)


def request_in(clone: Path, run_id: str = "run-1", *, path: str = "model") -> Registration:
    """The request to register the model of a run that a repository has."""
    repo = Workspace.open(clone).repo
    draft = read_runs(repo)
    folder = draft.find_run_folder(run_id)
    assert folder is not None
    recorded = draft.run(folder)
    assert recorded is not None
    digest = next(model.digest for model in recorded.run.models if model.path == path)
    return Registration(run_id, path, folder, run_commit(repo, folder), digest)


def merge(team: Team, request: Registration, *, model: str = "churn", file: str | None = None) -> str:
    """Put a request on the default branch of the remote, as a merge of a proposal does; returns the file."""
    key = names.encode_component(model)
    return push_file(team, f"registry/{key}/registrations/{file or request.run}.yaml", yaml.dump(request.to_document()))


def push_file(team: Team, path: str, text: str) -> str:
    """Put a file on the default branch of the remote; returns its path."""
    ann = team.folder / "ann"
    git("pull", "-q", "--ff-only", "origin", "main", cwd=ann)
    (ann / path).parent.mkdir(parents=True, exist_ok=True)
    (ann / path).write_text(text)
    git("add", path, cwd=ann)
    git("commit", "-q", "-m", f"Put {path}", cwd=ann)
    git("push", "-q", "origin", "main", cwd=ann)
    return path


def ci_checkout(team: Team, name: str = "ci") -> Path:
    """The newest commit of the default branch, alone and detached, as CI systems check it out: no branch, no tag."""
    path = team.folder / name
    tip = git("rev-parse", "main", cwd=team.remote)
    git("init", "-q", path, cwd=team.folder)
    git("remote", "add", "origin", f"file://{team.remote}", cwd=path)
    git("fetch", "-q", "--no-tags", "--depth=1", "origin", f"+{tip}:refs/remotes/origin/main", cwd=path)
    git("checkout", "-q", "--detach", "refs/remotes/origin/main", cwd=path)
    return path
