"""`runstone models …` with a model folder made by hand."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.cli.support import complete, run_on_terminal
from tests.support import git

Invoke = Callable[..., Result]


@pytest.fixture
def model_run(workspace: Workspace, tmp_path: Path) -> str:
    """A run `brave-otter-1` that logged a model folder `model`."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "weights.bin").write_bytes(b"\x00\x01")
    run = start_run(workspace, ensure_experiment(workspace.repo, "churn"), name="brave-otter-1")
    run.log_model(folder, "model", ["python_function"], None)
    run.end()
    return run.id


def test_register_show_and_list(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """A run by name or by whole URI; the URI of the version is printed, and a git tag is there."""
    first = invoke("models", "register", "churn", "brave-otter-1/model", "--description", "March")
    assert "models:/churn/1\n" == first.stdout
    assert "models:/churn/2\n" == invoke("models", "register", "churn", f"runs:/{model_run}/model").stdout
    assert "churn@v1\nchurn@v2" == git("tag", cwd=git_repo)
    invoke("models", "alias", "churn", "champion", "1")
    shown = json.loads(invoke("models", "show", "churn", "--json").stdout)
    assert {"champion": 1} == shown["aliases"]
    assert [(2, [], None), (1, ["champion"], "March")] == [
        (one["version"], one["aliases"], one["description"]) for one in shown["versions"]
    ]
    text = invoke("models", "show", "churn").stdout
    assert "aliases  champion → 1\n" in text
    listed = json.loads(invoke("models", "list", "--json").stdout)
    assert [("churn", 2, "champion=1")] == [(one["name"], one["latest"], one["aliases"]) for one in listed]
    versions = invoke("models", "versions", "churn", "-c", "version,run", "-f", "version > 1")
    assert ["version", "run", "2", model_run] == versions.stdout.split()


def test_alias_moves_and_goes(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """One commit on the default branch for each; the version or --delete, not both and not neither."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    assert "churn@champion is version 1\n" == invoke("models", "alias", "churn", "champion", "1").stdout
    assert "Point churn@champion at v1" == git("log", "-1", "--format=%s", cwd=git_repo)
    assert "" == git("status", "--porcelain", cwd=git_repo)
    for words in ([], ["1", "--delete"]):
        assert 2 == invoke("models", "alias", "churn", "champion", *words, code=2).exit_code
    assert "removed churn@champion\n" == invoke("models", "alias", "churn", "champion", "--delete").stdout
    result = invoke("models", "alias", "churn", "champion", "--delete", code=1)
    assert "error: The model 'churn' has no alias 'champion'. It has none." in result.stderr


def test_get(invoke: Invoke, model_run: str, tmp_path: Path) -> None:
    """By version, by alias, the latest, a run's folder, or one file."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    invoke("models", "alias", "churn", "champion", "1")
    uris = ["models:/churn/1", "churn/1", "churn@champion", "churn", f"runs:/{model_run}/model"]
    for number, uri in enumerate(uris):
        out = tmp_path / f"out{number}"
        assert f"{out}\n" == invoke("models", "get", uri, str(out)).stdout
        assert ["MLmodel", "weights.bin"] == sorted(path.name for path in out.iterdir()), uri
    invoke("models", "get", f"runs:/{model_run}/model/MLmodel", str(tmp_path / "one"))
    assert "flavors: {}\n" == (tmp_path / "one" / "MLmodel").read_text()


def test_completion_of_versions_and_aliases(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """Where a run may be named by a version of a model, and of the aliases that the model has."""
    made = json.loads(invoke("models", "register", "churn", "brave-otter-1/model", "--json").stdout)
    assert ("models:/churn/1", "registered", 1, model_run) == tuple(made[k] for k in ("uri", "done", "version", "run"))
    invoke("models", "alias", "churn", "champion", "1")
    assert ["churn@champion", "churn@v1"] == sorted(complete("runstone checkout churn@", git_repo))
    assert ["churn@champion"] == complete("runstone diff chu", git_repo)
    assert ["champion"] == complete("runstone models alias churn c", git_repo)
    assert "Did you mean churn?\n" in invoke("models", "show", "chrun", code=1).stderr


def test_what_cannot_be_registered(invoke: Invoke, model_run: str) -> None:
    """A run without a path is a wrong call; a folder that is no model, and a model nobody registered, are errors."""
    assert "must name a run and a folder of it" in invoke("models", "register", "m", "brave-otter-1", code=2).stderr
    result = invoke("models", "register", "m", "brave-otter-1/plots", code=1)
    expected = f"error: `runs:/{model_run}/plots` is no model. The run logged model. Log one: "
    assert result.stderr.startswith(expected)
    result = invoke("models", "versions", "nope", code=1)
    assert (
        "error: The registry has no model 'nope'. It has none yet. List them: `runstone models list`\n" == result.stderr
    )
    assert "There are no such models.\n" == invoke("models", "list").stderr


def test_what_is_said_of_models_and_versions(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """Made, described, tagged, owned; shown as a table and as JSON; found by it."""
    words = ("--description", "Who leaves", "-t", "risk=low", "--owner", "@growth", "--json")
    made = json.loads(invoke("models", "create", "churn", *words).stdout)
    assert ("created", "churn", {"risk": "low"}, ["@growth"]) == tuple(
        made[k] for k in ("done", "key", "tags", "owners")
    )
    invoke("models", "register", "churn", "brave-otter-1/model", "--description", "March")
    assert "described churn v1\n" == invoke("models", "describe", "churn", "Trained on March", "--version", "1").stdout
    assert "described churn\n" == invoke("models", "describe", "churn", "Who leaves\nand when").stdout
    invoke("models", "tag", "churn", "team=growth", "a=b", "--version", "1")
    invoke("models", "untag", "churn", "a", "--version", "1")
    invoke("models", "tag", "churn", "team=sales", "x=y")
    assert "untagged churn\n" == invoke("models", "untag", "churn", "x").stdout
    assert "churn has 2 owners\n" == invoke("models", "owners", "churn", "kim@example.org", "@growth").stdout
    shown = json.loads(invoke("models", "show", "churn", "--json").stdout)
    assert ("Who leaves\nand when", {"risk": "low", "team": "sales"}) == (shown["description"], shown["tags"])
    assert ["kim@example.org", "@growth"] == shown["owners"]
    assert [("Trained on March", {"team": "growth"})] == [(v["description"], v["tags"]) for v in shown["versions"]]
    text = invoke("models", "show", "churn").stdout
    assert "owners" in text
    assert "  risk" in text
    listed = invoke("models", "list", "-c", "name,latest,tags,description").stdout
    assert "churn 1 risk=low, team=sales Who leaves …" == " ".join(listed.splitlines()[1].split())
    found = json.loads(invoke("models", "search", "tags.team = 'growth'", "--json").stdout)
    assert [("churn", 1)] == [(one["model"], one["version"]) for one in found]
    assert "There are no such versions.\n" == invoke("models", "search", "stage = 'Production'").stderr
    assert "" == git("status", "--porcelain", cwd=git_repo)
    assert 2 == invoke("models", "tag", "churn", "nonsense", code=2).exit_code


def test_rename_copy_retire_and_delete(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """Each says what it did; what is asked on a terminal needs --yes elsewhere."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    assert "renamed churn to Attrition\n" == invoke("models", "rename", "churn", "Attrition").stdout
    error = invoke("models", "show", "churn", code=1).stderr
    assert (
        error == "error: The model 'churn' is called 'Attrition' now. Use that name: `runstone models show Attrition`\n"
    )
    assert "models:/live/1\n" == invoke("models", "copy", "Attrition/1", "live").stdout
    copied = json.loads(invoke("models", "copy", "Attrition", "live", "--json").stdout)
    assert ("models:/live/2", "copied", 2) == tuple(copied[key] for key in ("uri", "done", "version"))
    assert "retired live v1\n" == invoke("models", "retire", "live", "1", "--reason", "Leaked labels").stdout
    assert [2] == [one["version"] for one in json.loads(invoke("models", "versions", "live", "--json").stdout)]
    assert "There is nobody here to ask" in invoke("models", "delete", "live", code=2).stderr
    assert "deleted live\n" == invoke("models", "rm", "live", "--yes").stdout
    assert ["Attrition"] == [one["name"] for one in json.loads(invoke("models", "list", "--json").stdout)]
    assert "error: The model 'live' cannot be made" not in invoke("models", "new", "live").stderr
    assert "cannot be made: the registry has one already" in invoke("models", "create", "live", code=1).stderr


def test_delete_asks_on_a_terminal(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """No is no."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    code, shown = run_on_terminal("models", "delete", "churn", cwd=git_repo, answer="n\n")
    assert (True, True) == (code != 0, "Delete churn, and retire its version? [y/N]" in shown), shown
    assert "churn@v1" == git("tag", cwd=git_repo)


def test_a_card_is_printed_and_written(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """Printed without a commit; written with one; raw as it stands."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    error = invoke("models", "card", "churn", "--raw", code=1).stderr
    assert "churn has no card. Write one: `runstone models card churn --write`" in error
    printed = invoke("models", "card", "churn").stdout
    assert printed.startswith("---\n")
    assert "1" == git("rev-list", "--count", "main", cwd=git_repo)
    assert "wrote the card of churn\n" == invoke("models", "card", "churn", "--version", "1", "--write").stdout
    assert "unchanged: the card of churn\n" == invoke("models", "card", "churn", "--write").stdout
    assert (printed, printed) == (
        (git_repo / "registry/churn/README.md").read_text(),
        invoke("models", "card", "churn", "--raw").stdout,
    )
    assert 2 == invoke("models", "card", "churn", "--raw", "--write", code=2).exit_code


def test_a_model_without_versions(invoke: Invoke, model_run: str) -> None:
    """It is there, by its file alone, so it is not said to be unknown."""
    invoke("models", "create", "churn")
    said = "error: The model 'churn' has no version. Register one: `runstone register churn RUN/PATH`\n"
    assert said == invoke("models", "get", "churn/1", "out", code=1).stderr
    assert said == invoke("models", "get", "churn", "out", code=1).stderr
    assert "error: The registry has no model 'chrn'." in invoke("models", "get", "chrn/1", "out", code=1).stderr


def test_how_a_version_is_shared_is_told_as_it_is(model_run: str, git_repo: Path, tmp_path: Path) -> None:
    """A version that the remote has numbered is there already; one that waits for a DVC remote goes with a sync."""

    def run(*arguments: str) -> tuple[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "runstone", *arguments], cwd=git_repo, capture_output=True, text=True, check=True
        )
        return done.stdout, done.stderr

    git("init", "-q", "--bare", tmp_path / "remote.git", cwd=tmp_path)
    git("remote", "add", "origin", tmp_path / "remote.git", cwd=git_repo)
    source = "brave-otter-1/model"
    assert ("models:/churn/1\n", "Share it: `runstone sync`\n") == run("register", "churn", source)
    run("init", "--remote", str(tmp_path / "store"))
    there = "`origin` has it already; others get it by `runstone pull`.\n"
    assert ("models:/churn/2\n", there) == run("register", "churn", source)
    assert ("models:/other/1\n", there) == run("models", "copy", "churn/2", "other")
    assert ("retired churn v2\n", there) == run("models", "retire", "churn", "2")
    assert "churn@v2!" in git("tag", "--list", cwd=tmp_path / "remote.git").split()
