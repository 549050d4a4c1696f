"""`runstone ci register`."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runstone.cli import main
from runstone.client import Client
from runstone.records import yaml
from runstone.records.approval import ApprovalNote
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.promotion.forge.github_server import GitHubServer
from tests.promotion.forge.server import Change
from tests.promotion.merged import ci_checkout, log_and_share, merge, push_file, request_of
from tests.registry.support import log_model
from tests.sharing import Team
from tests.support import git

pytestmark = pytest.mark.ci


def call(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Result:
    """Run a command line in a folder, in this process."""
    with contextlib.chdir(cwd):
        return CliRunner().invoke(main, arguments, env=env)


def log_with_auc(path: Path, run_id: str, auc: float, *, text: str | None = None) -> None:
    """A run with a model and a metric."""
    workspace = Workspace.open(path)
    log_model(workspace, run_id, text=text or run_id)
    client = Client(path)
    client.log_metric(run_id, "auc", auc)


def test_what_was_merged_is_registered_and_told(team: Team, tmp_path: Path) -> None:
    """New versions on standard output, for later steps and as JSON; a second time there is nothing new."""
    log_and_share(team, "run-1")
    file = merge(team, request_of(team, "run-1"))
    checkout, output = ci_checkout(team), tmp_path / "output"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    done = call("ci", "register", cwd=checkout, env=env)
    assert (0, "models:/churn/1\n", "") == (done.exit_code, done.stdout, done.stderr)
    done = call("ci", "register", cwd=checkout, env=env)
    assert (0, "", "1 request met before\n") == (done.exit_code, done.stdout, done.stderr)
    assert 'versions=["models:/churn/1"]\nversions=[]\n' == output.read_text()
    done = call("ci", "register", "--json", cwd=checkout)
    version = {"uri": "models:/churn/1", "model": "churn", "version": 1, "run": "run-1", "path": "model", "file": file}
    expected = {"versions": [version | {"done": "present"}], "refused": [], "approvals": []}
    assert (0, expected, "") == (done.exit_code, json.loads(done.stdout), done.stderr)


def test_a_bad_request_is_named_and_the_exit_code_is_1(team: Team) -> None:
    """Control characters of its text are shown as escapes."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    bad = push_file(team, "registry/a/registrations/run-0.yaml", 'schema: runstone/registration/v1\nrun: "\\e[2J"\n')
    done = call("ci", "register", cwd=ci_checkout(team))
    assert (1, "models:/churn/1\n") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"refused: `{bad}` at ")
    assert "\x1b" not in done.stderr


def test_without_requests(plain_team: Team) -> None:
    """Nothing is asked for, which is said."""
    done = call("ci", "register", cwd=ci_checkout(plain_team))
    assert (0, "", "there are no registration requests\n") == (done.exit_code, done.stdout, done.stderr)


def test_a_run_of_the_pipeline_is_shared_and_registered_once(team: Team) -> None:
    """From a shallow checkout; a second time the version that is there is told."""
    checkout = ci_checkout(team)
    log_with_auc(checkout, "run-1", 0.9)
    done = call("ci", "register", "--run", "run-1", "--model", "churn", cwd=checkout)
    assert (0, "models:/churn/1\n", "") == (done.exit_code, done.stdout, done.stderr)
    done = call("ci", "register", "--run", "run-1", "--model", "churn", cwd=checkout)
    assert (0, "models:/churn/1\n", "it was there already\n") == (done.exit_code, done.stdout, done.stderr)
    assert (["churn@v1"], ["run-1"]) == (team.tags(), team.runs())
    team.check()


def test_the_best_run_of_all_clones(team: Team) -> None:
    """By direction, experiment and filter; NaN, unfinished runs and runs without a model do not count."""
    ann, checkout = team.folder / "ann", ci_checkout(team)
    log_with_auc(ann, "run-1", 0.7)
    log_with_auc(ann, "run-2", 0.9)
    sync(Workspace.open(ann))
    log_with_auc(checkout, "run-3", 0.8)
    log_with_auc(checkout, "run-4", float("nan"))
    client = Client(checkout)
    other = client.create_run("0", run_id="run-5")
    client.log_metric(other.id, "auc", 0.99)
    client.set_terminated(other.id)
    best = ["ci", "register", "--best", "auc", "--model", "churn", "--json"]

    def chosen(*options: str) -> str:
        done = call(*best, *options, cwd=checkout)
        assert 0 == done.exit_code, done.stderr
        (version,) = json.loads(done.stdout)["versions"]
        return str(version["run"])

    assert "run-2" == chosen("--direction", "higher")
    assert "run-1" == chosen("--direction", "lower")
    assert "run-3" == chosen("--direction", "higher", "--filter", "metrics.auc < 0.85")
    assert "run-2" == chosen("--direction", "higher", "--experiment", "trees")
    done = call(*best, cwd=checkout)
    assert 2 == done.exit_code
    assert "Is a higher or a lower auc better? Say it: `--direction higher`" in done.stderr
    push_file(team, "registry/policy.yaml", "schema: runstone/policy/v1\nmetrics: {auc: lower}\n")
    assert "run-1" == chosen()
    done = call(*best, "--direction", "higher", "--path", "other", cwd=checkout)
    assert 1 == done.exit_code
    assert "No finished run that is meant has the metric auc and logged a model `other`." in done.stderr


def test_a_renamed_model_is_named_as_it_is_called_now(team: Team) -> None:
    """Its tags keep the first name."""
    push_file(team, "registry/churn/model.yaml", "schema: runstone/registered-model/v1\nname: leavers\n")
    checkout = ci_checkout(team)
    log_with_auc(checkout, "run-1", 0.9)
    done = call("ci", "register", "--run", "run-1", "--model", "leavers", cwd=checkout)
    assert (0, "models:/leavers/1\n", ["churn@v1"]) == (done.exit_code, done.stdout, team.tags())


def test_several_models_of_a_run(team: Team) -> None:
    """One must be chosen; what is there of another path does not count."""
    from runstone.tracking.experiment import ensure_experiment
    from runstone.tracking.run import start_run

    checkout = ci_checkout(team)
    workspace = Workspace.open(checkout)
    folder = team.folder / "folder"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id="run-1") as run:
        run.log_model(folder, "a", ["sklearn"], None)
        run.log_model(folder, "b", ["sklearn"], None)
    done = call("ci", "register", "--run", "run-1", "--model", "churn", cwd=checkout)
    assert 2 == done.exit_code
    assert "Run run-1 logged several models. Choose one: `--path a`" in done.stderr
    for number, path in enumerate(("a", "b"), 1):
        done = call("ci", "register", "--run", "run-1", "--model", "churn", "--path", path, cwd=checkout)
        assert f"models:/churn/{number}\n" == done.stdout, done.stderr
    done = call("ci", "register", "--run", "run-1", "--model", "churn", "--path", "c", cwd=checkout)
    assert 1 == done.exit_code
    assert "`runs:/run-1/c` is no model. The run logged a, b." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--run", "a", "--best", "auc", "--model", "m"], "--run and --best cannot be used together."),
        (["--run", "a"], "Name the model: --model MODEL."),
        (["--model", "m"], "--model, --path, --direction, --experiment and --filter are for --run and --best."),
        (
            ["--run", "a", "--model", "m", "--direction", "lower"],
            "--direction, --experiment and --filter are for --best.",
        ),
        (
            ["--run", "a", "--model", "m", "--commit", "HEAD"],
            "--commit is for what was merged, not for --run and --best.",
        ),
    ],
)
def test_wrong_calls(git_repo: Path, arguments: list[str], why: str) -> None:
    """Exit code 2, before anything is asked."""
    done = call("ci", "register", *arguments, cwd=git_repo)
    assert 2 == done.exit_code
    assert f"rror: {why}" in done.stderr


def test_a_remote_that_takes_no_tags(team: Team) -> None:
    """Its words are told, and there is no tag here either."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    team.hook("update", 'case "$1" in refs/tags/*) echo "tags are protected" >&2; exit 1;; esac')
    checkout = ci_checkout(team)
    done = call("ci", "register", cwd=checkout)
    assert (1, "") == (done.exit_code, done.stdout)
    assert "tags are protected" in done.stderr
    assert "" == git("tag", cwd=checkout)
    assert [] == team.tags()


@pytest.fixture
def on_github(plain_team: Team) -> Iterator[tuple[Team, GitHubServer, str]]:
    """A team on a GitHub where Ada approved what Kim asked for and Bo merged; and the merge commit."""
    pytest.importorskip("github")
    push_file(plain_team, "registry/churn/aliases/champion.yaml", "schema: runstone/alias/v1\nversion: 1\n")
    commit = git("rev-parse", "main", cwd=plain_team.remote)
    server = GitHubServer()
    with server:
        server.branches[server.project]["main"] = commit
        server.push("promote/churn-v1-champion", commit)
        server.changes.append(
            Change(7, "Promote", "", server.project, "promote/churn-v1-champion", "main", "kim", head=commit)
        )
        server.review(7, "ada", "APPROVED", "2026-11-22T11:00:00Z")
        server.merge(7, "bo", commit)
        yield plain_team, server, commit


def forge_checkout(team: Team, server: GitHubServer, name: str = "ci") -> tuple[Path, dict[str, str]]:
    """A checkout whose remote is a project on the forge, and the job's environment; git is served from the bare one."""
    checkout = ci_checkout(team, name)
    url = f"{server.url}/{server.project}.git"
    git("remote", "set-url", "origin", url, cwd=checkout)
    git("config", f"url.file://{team.remote}.insteadOf", url, cwd=checkout)
    return checkout, {"GITHUB_SERVER_URL": server.url, "GITHUB_TOKEN": "s3cret-token"}


def test_who_approved_is_noted(on_github: tuple[Team, GitHubServer, str]) -> None:
    """As the forge knows it, on the merge commit, for `verify`; a second job asks nothing."""
    team, server, commit = on_github
    checkout, env = forge_checkout(team, server)
    done = call("ci", "register", "--json", cwd=checkout, env=env)
    url = f"{server.url}/team/churn/pull/7"
    expected = {"versions": [], "refused": [], "approvals": [{"commit": commit, "request": url, "approvals": ["ada"]}]}
    assert (0, expected) == (done.exit_code, json.loads(done.stdout)), done.stderr
    note = git("notes", "--ref", "refs/notes/runstone", "show", commit, cwd=team.remote)
    found = ApprovalNote.from_document(yaml.load(f"{note}\n", "note"), "note")
    assert (url, "kim", "bo", ["ada"]) == (
        found.request,
        found.author,
        found.merged_by,
        [a.by for a in found.approvals],
    )
    calls = len(server.asked)
    checkout, env = forge_checkout(team, server, "again")
    assert 0 == call("ci", "register", cwd=checkout, env=env).exit_code
    assert calls == len(server.asked)


def test_a_forge_that_is_away_or_without_a_token(on_github: tuple[Team, GitHubServer, str]) -> None:
    """The one is a failure, as the approvals are wanted; the other is said, and is none."""
    team, server, _ = on_github
    checkout, env = forge_checkout(team, server)
    server.fail(403, {"message": "No"}, times=99)
    done = call("ci", "register", cwd=checkout, env=env)
    assert 1 == done.exit_code
    assert "approvals could not be noted: " in done.stderr
    assert "s3cret" not in done.stderr
    done = call("ci", "register", cwd=checkout, env={"GITHUB_SERVER_URL": server.url})
    assert 0 == done.exit_code
    assert "Approvals are not noted: there is no token for GitHub in the environment.\n" in done.stderr
    done = call("ci", "register", "--no-approvals", cwd=checkout, env=env)
    assert (0, "there are no registration requests\n") == (done.exit_code, done.stderr)
