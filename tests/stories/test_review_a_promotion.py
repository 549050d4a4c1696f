"""A model goes to production by review, through the command line, with nothing but a bare repository between people."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import runstone
from runstone.cli import main
from runstone.errors import ReviewRequired
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import clone, hook, name, setup
from tests.promotion.support import write
from tests.sharing import Team
from tests.support import git

POLICY = """\
schema: runstone/policy/v1
stages:
  Staging:
    from: [None, Archived]
  Production:
    from: [Staging, Archived]
    holders: 1
    previous: Archived
    gates:
    - metric: {name: auc, at_least: 0.8}
    - no_worse: {metric: auc}
    approvals: {count: 1}
    bypass: [ann@example.org]
  Archived: {}
metrics: {auc: higher}
"""

Say = Callable[..., Result]


@pytest.fixture
def say() -> Say:
    """Type a command in somebody's clone; it must end with `code`."""

    def run(repo: Path, *words: str, code: int = 0) -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = CliRunner().invoke(main, ["--repo", str(repo), *words])
        assert code == result.exit_code, f"{words} ended with {result.exit_code}: {result.output}"
        return result

    return run


def train(repo: Path, run_id: str, auc: float) -> None:
    """A run that logs a metric and a model."""
    workspace = Workspace.open(repo)
    folder = repo.parent / f"model-of-{run_id}"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "weights.bin").write_text(run_id)
    with start_run(workspace, ensure_experiment(workspace.repo, "churn"), run_id=run_id) as run:
        run.log_metric("auc", auc)
        run.log_model(folder, "model", ["python_function"], None)


def stages(repo: Path) -> dict[int, str]:
    """Version → stage, as a person's clone sees them."""
    client = runstone.Client(repo)
    return {v.version: v.current_stage for v in client.search_model_versions("name = 'churn'")}


def sign_in(team: Team) -> tuple[Path, Path]:
    """Ann, who trains, and Rae, who reviews; the project reviews promotions, and its branch is as they both have it."""
    ann = team.folder / "ann"
    name(ann, "Ann")
    write(ann, {"runstone.yaml": "promotion: review\n", "registry/policy.yaml": POLICY}, "Review promotions", {})
    git("push", "-q", "origin", "main", cwd=ann)
    return ann, team.clone("rae")


def ci_registers(say: Say, team: Team, job: str) -> str:
    """What CI does on every merge: a fresh, shallow, detached checkout, and one command."""
    git("clone", "-q", "--depth=1", f"file://{team.remote}", job, cwd=team.folder)
    name(team.folder / job, "Robot")
    git("checkout", "-q", "--detach", cwd=team.folder / job)
    return say(team.folder / job, "ci", "register").stdout


def test_from_training_to_production_and_back(team: Team, say: Say) -> None:
    """Registered by request, promoted by review, held back by a gate, replaced in one commit, rolled back."""
    ann, rae = sign_in(team)
    (ann / "notes.txt").write_text("mine\n")  # her work tree has edits throughout

    # Two models, registered by requests that Rae merges and CI meets.
    for number, (run, auc) in enumerate([("first-run", 0.9), ("worse-run", 0.7)], 1):
        train(ann, run, auc)
        assert f"register/churn-{run}" in say(ann, "register", "churn", "--run", run, "--propose").stdout
        assert "merged into origin/main" in say(rae, "proposals", "merge", run).stdout
        assert f"models:/churn/{number}" in ci_registers(say, team, f"job{number}")
        assert f"churn@v{number}" in team.tags()

    # The first one: to Staging, and to Production. Nobody skips Staging, nobody approves what is their own.
    skipped = say(ann, "promote", "churn", "1", "--stage", "Production", code=1).stderr
    assert "First: `runstone promote 'churn' 1 --stage Staging`" in skipped
    for stage in ("Staging", "Production"):
        say(ann, "promote", "churn", "1", "--stage", stage, "--message", "The first one")
        branch = f"promote/churn-v1-{stage.lower()}"
        assert branch in say(rae, "proposals", "list").stdout
        report = say(rae, "proposals", "show", "churn").stdout
        assert stage in report
        assert "auc" in report
        assert "approved what is their own" in say(ann, "proposals", "merge", branch, code=1).stderr
        say(rae, "proposals", "merge", branch)
    assert {1: "Production", 2: "None"} == stages(rae)

    # The second one is worse: it may be proposed, and the gate keeps it out.
    say(ann, "promote", "churn", "2", "--stage", "Staging")
    say(rae, "proposals", "merge", "churn-v2-staging")
    assert "In its way: " in say(ann, "promote", "churn", "2", "--stage", "Production").stderr
    held = say(rae, "proposals", "merge", "churn-v2-production", code=1).stderr
    assert "auc" in held
    say(rae, "proposals", "close", "churn-v2-production")
    assert {1: "Production", 2: "Staging"} == stages(rae)

    # A better one replaces the first, which is archived in the same commit.
    train(ann, "better-run", 0.95)
    say(ann, "register", "churn", "--run", "better-run", "--propose")
    say(rae, "proposals", "merge", "better-run")
    assert "models:/churn/3" in ci_registers(say, team, "job3")
    say(ann, "promote", "churn", "3", "--stage", "Staging")
    say(rae, "proposals", "merge", "churn-v3-staging")
    assert "in place of v1" in say(ann, "promote", "churn", "3", "--stage", "Production").stdout
    say(rae, "proposals", "merge", "churn-v3-production")
    assert {1: "Archived", 2: "Staging", 3: "Production"} == stages(rae)
    changed = git("diff", "--name-only", "HEAD^", "HEAD", cwd=rae).split("\n")
    assert [f"registry/churn/stages/{stage}.yaml" for stage in ("Archived", "Production", "Staging")] == changed
    assert ["Merge proposal promote/churn-v3-production", "", "It says: Promote churn v3 to Production", ""] == git(
        "log", "-1", "--format=%B", cwd=rae
    ).split("\n")[:4]

    # It times out in production: back to the first, by review, too.
    rolled = say(ann, "rollback", "churn", "--stage", "Production").stdout
    assert "proposed: Roll churn Production back to v1, in place of v3" in rolled
    say(rae, "proposals", "merge", "rollback/churn-production")  # worse by its metric, and it held Production before
    assert {1: "Production", 2: "Staging", 3: "Archived"} == stages(rae)

    # The second one is wanted after all: whom the policy names may set the gate aside, and says why.
    say(ann, "promote", "churn", "2", "--stage", "Production", "--bypass", "auc is the wrong measure here")
    say(rae, "proposals", "merge", "churn-v2-production")
    assert {1: "Archived", 2: "Production", 3: "Archived"} == stages(rae)
    assert "Bypass: auc is the wrong measure here" in git("log", "-1", "--format=%B", "HEAD^2", cwd=rae)

    # Git alone proves all of it.
    say(rae, "verify", "churn")

    # Nobody's work tree was touched but by what was merged; everything is sound.
    assert "?? notes.txt" == git("status", "--porcelain", cwd=ann)
    assert "" == git("status", "--porcelain", cwd=rae)
    assert "mine\n" == (ann / "notes.txt").read_text()
    team.check()


def share(folder: Path) -> tuple[Path, Path, Path]:
    """Ann's and Rae's clones of a project with two versions of a model, whose stages hold one each."""
    policy = "schema: runstone/policy/v1\nstages:\n  Production: {holders: 1, previous: Archived}\n  Archived: {}\n"
    return setup(folder, {"registry/policy.yaml": policy})


def test_two_people_propose_the_same_stage(tmp_path: Path, say: Say) -> None:
    """The second merge conflicts and names both values; `refresh` mends it."""
    ann, rae, remote = share(tmp_path)
    kim = clone(remote, "kim")
    say(ann, "promote", "churn", "1", "--stage", "Production")
    say(kim, "promote", "churn", "2", "--stage", "Production")
    assert 3 == len(say(rae, "proposals", "list").stdout.splitlines())
    say(rae, "proposals", "merge", "churn-v1")
    told = say(rae, "proposals", "merge", "churn-v2", code=1).stderr
    assert "registry/churn/stages/Production.yaml: origin/main has v1, the proposal v2" in told
    assert "`runstone proposals refresh 'promote/churn-v2-production'`" in told
    assert "in place of v1" in say(kim, "proposals", "refresh", "churn-v2").stdout
    say(rae, "proposals", "merge", "churn-v2")
    assert {1: "Archived", 2: "Production"} == stages(rae)


def test_a_stranger_proposes_from_a_fork(tmp_path: Path, say: Say) -> None:
    """The branch lives in the fork alone; the reviewer fetches it, looks, and merges it to the project."""
    _, rae, remote = share(tmp_path)
    fork = tmp_path / "fork.git"
    git("clone", "-q", "--bare", remote, fork, cwd=tmp_path)
    kim = clone(fork, "kim")
    say(kim, "promote", "churn", "1", "--stage", "Production", "--message", "From afar")
    assert "There are no open proposals." in say(rae, "proposals", "list").stderr
    git("remote", "add", "kims", fork, cwd=rae)
    git("fetch", "-q", "kims", cwd=rae)
    assert "kims/promote/churn-v1-production" in say(rae, "proposals", "list").stdout
    assert "churn v1: None → Production\n" == say(rae, "proposals", "diff", "churn").stdout
    say(rae, "proposals", "merge", "churn")
    assert "Kim" == git("log", "-1", "--format=%an", "main^2", cwd=remote)
    assert "There are no open proposals." in say(rae, "proposals", "list").stderr


def test_a_script_of_mlflow_under_review(tmp_path: Path, say: Say) -> None:
    """It is told which proposal its call became, twice the same; once that is merged, the same call is content."""
    ann, rae, _ = share(tmp_path)
    client = runstone.Client(ann)
    for _ in range(2):
        with pytest.raises(ReviewRequired, match="promote/churn-v1-champion"):
            client.set_registered_model_alias("churn", "champion", 1)
    say(rae, "proposals", "merge", "churn")
    client.set_registered_model_alias("churn", "champion", 1)
    git("pull", "-q", cwd=ann)
    assert 1 == client.get_model_version_by_alias("churn", "champion").version


def test_on_a_train(tmp_path: Path, say: Say) -> None:
    """With no network a proposal is made here, listed, and pushed once there is one; a remote that refuses is told."""
    ann, rae, remote = share(tmp_path)
    remote.rename(tmp_path / "away.git")
    told = say(ann, "promote", "churn", "1", "--stage", "Production", code=1).stderr
    assert "could not be asked, so nothing was proposed" in told
    assert "keep the proposal here meanwhile: `--no-push`" in told
    made = say(ann, "promote", "churn", "1", "--stage", "Production", "--no-push")
    assert "It is here alone. Push it: `runstone proposals refresh 'promote/churn-v1-production'`" in made.stderr
    assert "promote/churn-v1-production" in say(ann, "proposals", "list", "--offline").stdout
    (tmp_path / "away.git").rename(remote)
    hook(remote, "update", 'echo "not today" >&2; exit 1')
    assert "not today" in say(ann, "proposals", "refresh", "churn", code=1).stderr
    (remote / "hooks" / "update").unlink()
    say(ann, "proposals", "refresh", "churn")
    say(rae, "proposals", "merge", "churn")
    assert "" == git("status", "--porcelain", cwd=rae)
