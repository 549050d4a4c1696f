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
from tests.cli.support import complete, run_cli, run_on_terminal
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
    assert [("churn", 2, {"champion": 1})] == [(one["name"], one["latest"], one["aliases"]) for one in listed]
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


def test_lists_as_json_hold_maps_and_lists(invoke: Invoke, model_run: str) -> None:
    """No text that a program would have to take apart; what is empty is empty, not null."""
    for _ in range(2):
        invoke("models", "register", "churn", "brave-otter-1/model")
    (bare,) = json.loads(invoke("models", "list", "--json", "-c", "stages,aliases,tags,owners").stdout)
    assert {"stages": {}, "aliases": {}, "tags": {}, "owners": []} == bare
    invoke("promote", "churn", "1", "--stage", "Production")
    invoke("models", "alias", "churn", "champion", "1")
    invoke("models", "owners", "churn", "@growth", "kim@example.org")
    (full,) = json.loads(invoke("models", "list", "--json", "-c", "stages,aliases,owners").stdout)
    assert {"stages": {"Production": 1}, "aliases": {"champion": 1}, "owners": ["@growth", "kim@example.org"]} == full
    newest, oldest = json.loads(invoke("models", "versions", "churn", "--json", "-c", "version,aliases,flavors").stdout)
    assert {"version": 2, "aliases": [], "flavors": ["python_function"]} == newest
    assert ["champion"] == oldest["aliases"]


def test_owners_are_listed_and_never_removed_by_mistake(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """With no name they are printed, and nothing is committed; --delete removes them."""
    invoke("models", "create", "churn", "--owner", "@growth")
    before = git("rev-parse", "HEAD", cwd=git_repo)
    assert "@growth\n" == invoke("models", "owners", "churn").stdout
    assert before == git("rev-parse", "HEAD", cwd=git_repo)
    assert "not both" in invoke("models", "owners", "churn", "@other", "--delete", code=2).stderr
    assert "churn has 0 owners\n" == invoke("models", "owners", "churn", "--delete").stdout
    assert "" == invoke("models", "owners", "churn").stdout


def test_a_model_may_be_called_as_a_version_is(invoke: Invoke, model_run: str, tmp_path: Path) -> None:
    """`7` and `latest` are names in MLflow, too, and can be told from versions."""
    for name in ("7", "latest"):
        assert f"models:/{name}/1\n" == invoke("models", "register", name, "brave-otter-1/model").stdout
        for at, uri in enumerate((name, f"{name}/1", f"{name}/latest", f"models:/{name}/1")):
            invoke("models", "get", uri, str(tmp_path / f"{name}-{at}"))
            assert (tmp_path / f"{name}-{at}" / "MLmodel").is_file()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (" churn", "begins or ends with a space; write 'churn'"),
        ("churn ", "begins or ends with a space; write 'churn'"),
        ("policy.yaml", "the registry has a file of that name"),
        ("Policy.YAML", "the registry has a file of that name"),
    ],
)
def test_names_that_a_model_cannot_get(invoke: Invoke, model_run: str, git_repo: Path, name: str, why: str) -> None:
    """Whichever way it would get it; nothing is changed."""
    invoke("models", "create", "churn-dev")
    before = git("show-ref", cwd=git_repo)
    for words in (("register", name, "brave-otter-1/model"), ("create", name), ("rename", "churn-dev", name)):
        assert why in invoke("models", *words, code=2).stderr
    assert before == git("show-ref", cwd=git_repo)


def test_a_version_tag_of_a_name_that_no_model_can_have(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """Somebody pushed one: it is no model, nothing breaks, and the policy stays."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    policy = git_repo / "registry" / "policy.yaml"
    policy.parent.mkdir(exist_ok=True)
    policy.write_text("schema: runstone/policy/v1\nstages: {Live: {}}\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "A policy", cwd=git_repo)
    body = git("cat-file", "tag", "churn@v1", cwd=git_repo).replace("churn", "policy.yaml")
    (git_repo.parent / "tag").write_text(body + "\n")
    tag = git("hash-object", "-w", "-t", "tag", git_repo.parent / "tag", cwd=git_repo)
    git("update-ref", "refs/tags/policy.yaml@v1", tag, cwd=git_repo)
    assert "name\nchurn\n" == invoke("models", "list", "-c", "name").stdout
    assert "1" == invoke("models", "versions", "-c", "version").stdout.split()[-1]
    for words in (("promote", "policy.yaml", "1", "--stage", "Live"), ("models", "show", "policy.yaml")):
        assert "the registry has a file of that name" in invoke(*words, code=2).stderr
    assert policy.is_file()


def test_a_group_without_a_verb_shows_its_help_once(git_repo: Path) -> None:
    """And no error: there is nothing else to say."""
    done = run_cli("models", cwd=git_repo)
    assert (2, 1) == (done.returncode, (done.stdout + done.stderr).count("Usage:"))
    assert "error" not in done.stderr


def test_a_model_that_cannot_be_had_whole_is_not_left_in_part(
    invoke: Invoke, model_run: str, workspace: Workspace, tmp_path: Path
) -> None:
    """One of its files is damaged: the folder is gone, and what was there before stays."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    for path in workspace.repo.common_dir.rglob("*"):
        if path.is_file() and path.read_bytes() == b"\x00\x01":
            path.chmod(0o644)
            path.write_bytes(b"\x00\x02")
    invoke("models", "get", "churn/1", str(tmp_path / "new"), code=1)
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "mine").write_text("mine")
    invoke("models", "get", "churn/1", str(tmp_path / "old"), code=1)
    assert ["mine"] == [path.name for path in (tmp_path / "old").iterdir()]


def test_a_clone_without_the_tags_says_what_it_lacks(
    invoke: Invoke, model_run: str, git_repo: Path, tmp_path: Path
) -> None:
    """A list that is empty only because this clone is shallow is no answer."""
    invoke("models", "create", "churn")
    invoke("models", "register", "churn", "brave-otter-1/model")
    invoke("promote", "churn", "1", "--stage", "Production")
    git("clone", "-q", "--depth", "1", git_repo.as_uri(), tmp_path / "clone", cwd=tmp_path)
    lacks = "1 version that the registry names has no git tag in this clone. Bring them: `runstone pull`"
    for words in (("list",), ("versions",), ("show", "churn")):
        assert lacks in invoke("models", *words, repo=tmp_path / "clone").stderr
    assert lacks not in invoke("models", "list").stderr


def test_the_shell_completes_versions_and_places(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """The versions of the model that the line names, its stages and aliases, and what `models get` takes."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    invoke("models", "alias", "churn", "champion", "1")
    assert ["1", "@champion", "latest"] == complete("runstone promote churn ", cwd=git_repo)
    assert {"Production", "@champion"} <= set(complete("runstone models blame churn ", cwd=git_repo))
    assert ["churn", "churn@champion", "churn/1"] == complete("runstone models get churn", cwd=git_repo)
    assert "champion" in invoke("models", "blame", "churn", "champion").stdout


def test_no_option_is_advised_that_the_command_lacks(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """`models history` has no `-c`; in a pipe nothing is left out."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    _, shown = run_on_terminal("models", "history", "churn", cwd=git_repo, columns=60)
    assert "A pipe shows all: `| cat`" in " ".join(shown.split())
    assert "`-c" not in shown


def test_the_name_of_a_proposal_is_never_cut(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """It is what `proposals show` and `merge` take."""
    invoke("models", "register", "churn-of-all-our-customers", "brave-otter-1/model")
    invoke("promote", "churn-of-all-our-customers", "1", "--stage", "Production", "--propose")
    _, shown = run_on_terminal("proposals", "list", cwd=git_repo, columns=60)
    assert "promote/churn-of-all-our-customers-v1-production" in shown


def test_a_stage_that_the_policy_does_not_have(invoke: Invoke, model_run: str) -> None:
    """The one that was meant is named; no file is spoken of as if it were there."""
    invoke("models", "register", "churn", "brave-otter-1/model")
    said = invoke("promote", "churn", "1", "--stage", "Prodution", code=2).stderr
    assert "It has Staging, Production, Archived; a file registry/policy.yaml may name others.\n" in said
    assert "Did you mean Production?" in said


def test_setting_up_a_bare_repository_says_nothing_of_tracking(tmp_path: Path, invoke: Invoke) -> None:
    """Nobody trains in one."""
    git("init", "-q", "--bare", "bare.git", cwd=tmp_path)
    assert "Track:" not in invoke("init", "--guard", repo=tmp_path / "bare.git").stderr


def test_a_version_is_named_in_one_word_everywhere(invoke: Invoke, model_run: str, git_repo: Path) -> None:
    """`churn/2`, `churn@v2`, `churn@champion`; a model that has the whole name is meant before."""
    for _ in range(2):
        invoke("models", "register", "churn", "brave-otter-1/model")
    invoke("models", "alias", "churn", "champion", "1")
    for word, number in (("churn/2", 2), ("churn@v2", 2), ("churn@champion", 1), ("churn/latest", 2)):
        assert number == json.loads(invoke("models", "show", word, "--json").stdout)["version"]
    assert "tagged churn v2\n" == invoke("models", "tag", "churn/2", "ok=yes").stdout
    assert "described churn v1\n" == invoke("models", "describe", "churn@champion", "The first").stdout
    assert "untagged churn v2\n" == invoke("models", "untag", "churn/2", "ok").stdout
    assert "Promote churn v2 to Staging\n" == invoke("promote", "churn/2", "--stage", "Staging").stdout
    assert "Demote churn v2 from Staging\n" == invoke("demote", "churn/2").stdout
    assert "Name the version" in invoke("promote", "churn", "--stage", "Staging", code=2).stderr
    invoke("models", "create", "churn/2")
    assert "churn/2" == json.loads(invoke("models", "show", "churn/2", "--json").stdout)["name"]
