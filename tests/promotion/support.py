"""What tests of promotion share: people, versions of a model, and proposals made with plain git."""

from pathlib import Path

from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.stage import Stage
from runstone.registry.version import register_version
from runstone.tracking.workspace import Workspace
from tests.registry.support import log_model
from tests.support import git


def person(name: str) -> dict[str, str]:
    """The environment in which git takes its user for somebody."""
    mail = f"{name.lower()}@example.org"
    facts = {"NAME": name, "EMAIL": mail}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in facts.items()}


ANN, RAE = person("Ann"), person("Rae")


def write(repo: Path, files: dict[str, str | None], message: str, who: dict[str, str] = ANN) -> str:
    """Commit files as somebody on the branch that is checked out; None removes one."""
    for path, text in files.items():
        if text is None:
            (repo / path).unlink()
            continue
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(text)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", message, cwd=repo, env=who)
    return git("rev-parse", "HEAD", cwd=repo)


def stage_file(*versions: int) -> str:
    """The text of a stage's file."""
    return yaml.dump(Stage.of(versions).to_document())


def alias_file(version: int) -> str:
    """The text of an alias's file."""
    return yaml.dump(Alias(version).to_document())


def propose(repo: Path, files: dict[str, str | None], message: str, branch: str, who: dict[str, str] = ANN) -> str:
    """A branch with one commit; `main` stays checked out."""
    git("checkout", "-q", "-b", branch, cwd=repo)
    head = write(repo, files, message, who)
    git("checkout", "-q", "main", cwd=repo)
    return head


def merge(repo: Path, branch: str, who: dict[str, str] = RAE, message: str = "Merge a proposal") -> str:
    """Merge a branch into `main` as somebody."""
    git("merge", "-q", "--no-ff", "-m", message, branch, cwd=repo, env=who)
    return git("rev-parse", "HEAD", cwd=repo)


def make_versions(repo: Path, count: int = 2, model: str = "churn") -> list[str]:
    """Register versions 1, 2, … of a model, each of a run of its own; the ids of the runs."""
    workspace = Workspace.open(repo)
    runs = [f"{names_of(model)}-run-{number}" for number in range(1, count + 1)]
    for run in runs:
        register_version(workspace, model, log_model(workspace, run, text=run))
    return runs


def names_of(model: str) -> str:
    """A model's name as a run id can hold it."""
    return "".join(c for c in model.lower() if c.isalnum() and c.isascii()) or "model"
