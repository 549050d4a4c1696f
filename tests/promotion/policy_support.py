"""What tests of policies share: versions of real runs, and commits of the registry that no branch needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runstone.git.objects import FILE, TreeEntry
from runstone.promotion.rules.judgement import Judgement, judge
from runstone.records import yaml
from runstone.registry.version import register_version
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri

LEAD = "Lea Lead <lead@example.org> 1795327923 +0000"
KIM = "Kim Example <kim@example.org> 1795327923 +0000"


def register(
    workspace: Workspace,
    run_id: str,
    *,
    model: str = "churn",
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    signature: dict[str, Any] | None = None,
    weights: str | None = None,
) -> int:
    """Record a run with a model, and register that; the version's number."""
    folder = workspace.repo.common_dir / f"model-of-{run_id}"
    (folder / "sub").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "sub" / "weights.txt").write_text(run_id if weights is None else weights)
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id=run_id) as run:
        run.log_metrics(metrics or {})
        run.log_params(params or {})
        run.set_tags(tags or {})
        run.log_model(folder, "model", ["sklearn"], signature)
    return register_version(workspace, model, RunUri(run_id, "model")).version


def stage(*versions: int) -> str:
    """The text of a stage's file."""
    return f"schema: runstone/stage/v1\nversions: [{', '.join(map(str, versions))}]\n"


def alias(version: int) -> str:
    """The text of an alias's file."""
    return f"schema: runstone/alias/v1\nversion: {version}\n"


def policy(document: Mapping[str, Any]) -> str:
    """The text of a policy."""
    return yaml.dump({"schema": "runstone/policy/v1", **document})


@dataclass
class Line:
    """Commits of the registry, one on top of the other.

    Attributes:
        workspace: The repository.
        tip: The last one.
    """

    workspace: Workspace
    tip: str = ""
    _files: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tip = self.workspace.repo.head() or ""

    def commit(self, files: Mapping[str, str | None], message: str = "Change", author: str = KIM) -> str:
        """Put a commit on top; paths are in the registry, None removes a file."""
        objects = self.workspace.repo.objects
        entries = {
            f"registry/{path}": None if text is None else TreeEntry(FILE, objects.write("blob", text.encode()))
            for path, text in files.items()
        }
        tree = objects.update_tree(objects.commit(self.tip).tree, entries)
        assert tree is not None
        self.tip = objects.write_commit(tree, [self.tip], author, author, message)
        return self.tip

    def judge(self, files: Mapping[str, str | None], message: str = "Change", author: str = KIM) -> Judgement:
        """Judge a proposal on the tip, which stays where it is."""
        base = self.tip
        head = self.commit(files, message, author)
        self.tip = base
        return judge(self.workspace, base, head)
