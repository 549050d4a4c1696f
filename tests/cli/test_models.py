"""`runstone models …` with a model folder made by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.cli.support import complete
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
    assert "Point churn@champion at version 1" == git("log", "-1", "--format=%s", cwd=git_repo)
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
