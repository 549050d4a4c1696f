"""Registered models: made, described, tagged, renamed, deleted; found by name whatever their name is."""

from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import (
    InvalidName,
    LocalEdits,
    ModelExists,
    ModelNotFound,
    ModelRenamed,
    RecordInvalid,
    RecordsSkipped,
    ReviewRequired,
)
from runstone.git.repository import Repository
from runstone.registry.alias import get_version_by_alias, set_alias
from runstone.registry.card_fill import write_card
from runstone.registry.copy import copy_version
from runstone.registry.keys import find_key, find_name
from runstone.registry.model import get_model, latest_versions, list_model_names, search_models
from runstone.registry.model_edits import (
    create_model,
    delete_model,
    delete_model_tags,
    describe_model,
    rename_model,
    set_model_tags,
    set_owners,
)
from runstone.registry.resolve import resolve_version
from runstone.registry.stage import get_version_by_stage, set_stage
from runstone.registry.version import ModelVersion, get_version, list_versions, register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri, parse_uri
from tests.registry.support import log_model
from tests.support import git

NAMES = ["Churn Model", "a/b/c", "ж модель", "näme", "Q@home", "100%", "a..b", "con", "-x", "x.lock", "x" * 300]


def files(repo: Path) -> list[str]:
    """The registry's files on the default branch."""
    return git("ls-tree", "-r", "--name-only", "main", "registry", cwd=repo).splitlines()


def subjects(repo: Path, count: int = 1) -> list[str]:
    """The subjects of the last commits, the newest first."""
    return git("log", f"-{count}", "--format=%s", "main", cwd=repo).splitlines()


def test_a_model_is_made_before_it_has_a_version(workspace: Workspace, git_repo: Path) -> None:
    """One file, one commit with a trailer; it is found, listed, and takes versions."""
    made = create_model(workspace, "churn", {"risk": "low"}, "Who leaves", owners=["kim@example.org"])
    assert ("churn", "Who leaves", {"risk": "low"}, ("kim@example.org",), ()) == (
        made.name,
        made.description,
        made.tags,
        made.owners,
        made.latest_versions,
    )
    assert made.creation_timestamp is not None
    assert made.last_updated_timestamp is not None
    assert (["registry/churn/model.yaml"], ["Create the model churn"]) == (files(git_repo), subjects(git_repo))
    assert "Model: churn" == git("log", "-1", "--format=%(trailers:only)", cwd=git_repo).strip()
    assert ["churn"] == list_model_names(workspace.repo)
    register_version(workspace, "churn", log_model(workspace, "first-run"))
    assert [1] == [version.version for version in get_model(workspace.repo, "churn").latest_versions]
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_what_cannot_be_made(workspace: Workspace, version: ModelVersion) -> None:
    """One that is there by its file or by a version alone, and one that differs from it by case alone."""
    create_model(workspace, "Other")
    for name in ("churn", "Other"):
        with pytest.raises(ModelExists) as caught:
            create_model(workspace, name)
        assert str(caught.value).startswith(f"The model {name!r} cannot be made: the registry has one already.")
    for name in ("Churn", "other"):
        with pytest.raises(InvalidName, match="by case alone"):
            create_model(workspace, name)
    with pytest.raises(InvalidName):
        create_model(workspace, "new", {"../x": "1"})
    assert ["Other", "churn"] == list_model_names(workspace.repo)


def test_a_description_and_tags(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Set, set again where nothing changes, removed; of a model that had no file yet; secrets do not get in."""
    described = describe_model(workspace, "churn", "Who leaves")
    assert ("Who leaves", ["Describe churn"]) == (described.description, subjects(git_repo))
    tip = git("rev-parse", "main", cwd=git_repo)
    describe_model(workspace, "churn", "Who leaves")
    assert tip == git("rev-parse", "main", cwd=git_repo)
    set_model_tags(workspace, "churn", {"risk": "low", "n": 3})
    set_model_tags(workspace, "churn", {"risk": "high"})
    assert {"risk": "high", "n": "3"} == get_model(workspace.repo, "churn").tags
    delete_model_tags(workspace, "churn", ["risk", "none"])
    set_owners(workspace, "churn", ["@growth"])
    found = get_model(workspace.repo, "churn")
    assert ({"n": "3"}, ("@growth",), "Who leaves") == (found.tags, found.owners, found.description)
    assert describe_model(workspace, "churn", " ").description is None
    with pytest.warns(UserWarning, match="api_key"):
        set_model_tags(workspace, "churn", {"api_key": "hunter2hunter2"})
    assert "hunter2" not in git("show", "main:registry/churn/model.yaml", cwd=git_repo)
    with pytest.raises(ModelNotFound, match=r"The registry has no model 'chrun'\. It has churn"):
        describe_model(workspace, "chrun", "x")


def test_unknown_keys_are_carried_through_and_a_broken_file_is_not_overwritten(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """A change must lose nothing that is written there; reading goes on with a warning."""
    file = git_repo / "registry/churn/model.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("schema: runstone/registered-model/v1\nfuture: [1, 2]\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "By hand", cwd=git_repo)
    describe_model(workspace, "churn", "x")
    assert "future: [1, 2]" in file.read_text()
    file.write_text("schema: runstone/registered-model/v1\ntags: 3\n")
    with pytest.raises(LocalEdits):
        describe_model(workspace, "churn", "y")
    git("commit", "-q", "-am", "Break", cwd=git_repo)
    with pytest.raises(RecordInvalid), pytest.warns(RecordsSkipped):
        describe_model(workspace, "churn", "y")
    with pytest.warns(RecordsSkipped, match=r"registry/churn/model\.yaml"):
        assert get_model(Workspace(workspace.repo).repo, "churn").description is None


def test_a_renamed_model_keeps_everything_but_its_name(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """Key, tags and history stay; all goes by the new name, and the old one means nothing more."""
    set_alias(workspace.repo, "churn", "champion", 1)
    set_stage(workspace.repo, "churn", 1, "Production")
    renamed = rename_model(workspace, "churn", "Attrition (EU)")
    assert ("Attrition (EU)", "churn", {"champion": 1}) == (renamed.name, renamed.key, renamed.aliases)
    assert (["Rename churn to Attrition (EU)"], "churn@v1") == (subjects(git_repo), git("tag", cwd=git_repo))
    repo = workspace.repo
    for uri in ("models:/Attrition (EU)/1", "models:/Attrition (EU)@champion", "models:/Attrition (EU)/production"):
        parsed = parse_uri(uri)
        assert isinstance(parsed, ModelUri)
        found = resolve_version(repo, parsed)
        assert ("Attrition (EU)", 1, "Production", ("champion",)) == (
            found.name,
            found.version,
            found.current_stage,
            found.aliases,
        )
    again = register_version(workspace, "Attrition (EU)", RunUri("first-run", "model"))
    assert ("Attrition (EU)", 2, "churn@v1\nchurn@v2") == (again.name, again.version, git("tag", cwd=git_repo))
    for call in (
        lambda: get_model(repo, "churn"),
        lambda: get_version_by_alias(repo, "churn", "champion"),
        lambda: get_version_by_stage(repo, "churn", "Production"),
        lambda: get_version(repo, "churn", 1),
        lambda: register_version(workspace, "churn", RunUri("first-run", "model")),
    ):
        with pytest.raises(ModelRenamed, match=r"The model 'churn' is called 'Attrition \(EU\)' now"):
            call()
    with pytest.raises(ModelExists, match=r"are those of the model now called 'Attrition \(EU\)'"):
        create_model(workspace, "churn")
    assert ("churn", "Attrition (EU)") == (find_key(repo, "Attrition (EU)"), find_name(repo, "churn"))
    assert ["Attrition (EU)"] == list_model_names(repo)
    assert [("Attrition (EU)", 2), ("Attrition (EU)", 1)] == [(v.name, v.version) for v in list_versions(repo)]
    rename_model(workspace, "Attrition (EU)", "churn")
    assert "name:" not in git("show", "main:registry/churn/model.yaml", cwd=git_repo)
    assert 2 == resolve_version(repo, ModelUri("churn", word="latest")).version


def test_a_new_name_must_be_free(workspace: Workspace, version: ModelVersion) -> None:
    """Not another model's present one, not its first one, not one that differs by case alone."""
    create_model(workspace, "second")
    rename_model(workspace, "second", "third")
    for name in ("second", "third"):
        with pytest.raises(ModelExists):
            rename_model(workspace, "churn", name)
    for name in ("Second", "THIRD"):
        with pytest.raises(InvalidName):
            rename_model(workspace, "churn", name)
    assert "Churn" == rename_model(workspace, "churn", "Churn").name
    with pytest.raises(ModelNotFound):
        rename_model(workspace, "none", "free")


@pytest.mark.parametrize("name", NAMES)
def test_any_name_works_throughout(workspace: Workspace, git_repo: Path, name: str) -> None:
    """Capitals, spaces, slashes, Unicode, what a ref or a disk cannot hold, and what is too long for a path."""
    create_model(workspace, name, description="Odd")
    register_version(workspace, name, log_model(workspace, "first-run"))
    set_alias(workspace.repo, name, "champion", 1)
    set_stage(workspace.repo, name, 1, "staging")
    repo = workspace.repo
    for given in (
        ModelUri(name, version=1),
        ModelUri(name, word="latest"),
        ModelUri(name, word="Staging"),
        ModelUri(name, alias="champion"),
    ):
        parsed = parse_uri(str(given))
        assert isinstance(parsed, ModelUri)
        assert (name, 1) == (resolve_version(repo, parsed).name, resolve_version(repo, parsed).version)
    model = get_model(repo, name)
    assert (name, "Odd", name) == (model.name, model.description, find_name(repo, find_key(repo, name)))
    assert [name] == [each.name for each in search_models(repo)] == list_model_names(repo)
    assert "" == git("status", "--porcelain", cwd=git_repo)


@pytest.mark.mlflow
def test_the_latest_versions_are_those_of_each_stage(workspace: Workspace, model: RunUri) -> None:
    """As MLflow's `get_latest_versions`: by stage, no stage included, the newest first."""
    for _ in range(5):
        register_version(workspace, "churn", model)
    set_stage(workspace.repo, "churn", 1, "Production")
    set_stage(workspace.repo, "churn", 3, "Production")
    set_stage(workspace.repo, "churn", 2, "Staging")
    found = latest_versions(workspace.repo, "churn")
    assert [(5, "None"), (3, "Production"), (2, "Staging")] == [(v.version, v.current_stage) for v in found]
    assert [3, 5] == sorted(v.version for v in latest_versions(workspace.repo, "churn", ["production", "none"]))
    assert [] == latest_versions(workspace.repo, "churn", ["Archived"])


def test_models_are_searched_by_what_is_said_of_them(workspace: Workspace, version: ModelVersion) -> None:
    """Tags and descriptions count, and models without a version are found."""
    create_model(workspace, "pricing", {"team": "sales"}, "What it costs")
    describe_model(workspace, "churn", "Who leaves")
    for filter_string, expected in [
        ("tags.team = 'sales'", ["pricing"]),
        ("description LIKE 'Who%'", ["churn"]),
        ("name LIKE '%'", ["churn", "pricing"]),
    ]:
        assert expected == [model.name for model in search_models(workspace.repo, filter_string)]
    newest = search_models(workspace.repo, order_by=["last_updated_timestamp DESC"])[0]
    assert newest.last_updated_timestamp == max(m.last_updated_timestamp or 0 for m in search_models(workspace.repo))


def test_a_deleted_model_is_gone_and_its_numbers_stay_taken(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """Versions are retired, files removed; made anew, it counts on."""
    set_alias(workspace.repo, "churn", "champion", 1)
    set_stage(workspace.repo, "churn", 1, "Production")
    describe_model(workspace, "churn", "x")
    write_card(workspace, "churn")
    delete_model(workspace, "churn")
    assert ([], "churn@v1\nchurn@v1!") == (files(git_repo), git("tag", cwd=git_repo))
    assert ("", []) == (git("status", "--porcelain", cwd=git_repo), list_model_names(workspace.repo))
    assert "Delete the model churn" == subjects(git_repo)[0]
    with pytest.raises(ModelNotFound):
        get_model(workspace.repo, "churn")
    with pytest.raises(ModelNotFound):
        delete_model(workspace, "churn")
    create_model(workspace, "churn")
    assert 2 == register_version(workspace, "churn", RunUri("first-run", "model")).version


def test_under_review_only_what_leads_nobody_anywhere_is_changed_at_once(version: ModelVersion, git_repo: Path) -> None:
    """A description may be changed, a name not, and what says more than a card is not removed."""
    set_stage(Workspace.open(git_repo).repo, "churn", 1, "Production")
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Review", cwd=git_repo)
    workspace = Workspace(Repository.open(git_repo))
    with pytest.raises(ReviewRequired, match=r"churn was not deleted: .* Propose it: `runstone models delete"):
        delete_model(workspace, "churn")
    with pytest.raises(ReviewRequired, match="churn was not renamed: "):
        rename_model(workspace, "churn", "leavers")
    assert "New" == describe_model(workspace, "churn", "New").description
    assert "churn@v1" == git("tag", cwd=git_repo)
    register_version(workspace, "other", RunUri("first-run", "model"))
    write_card(workspace, "other")
    delete_model(workspace, "other")
    assert ["churn"] == list_model_names(workspace.repo)


def test_hostile_folders_are_no_models(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """A folder that no name leads to, and a `model.yaml` that takes the name of another model, hide nothing."""
    for key, text in [
        ("not a key", ""),
        ("evil", "name: churn\n"),
        ("bad", "name: 'a\\x00b'\n"),
    ]:
        (git_repo / "registry" / key).mkdir(parents=True)
        (git_repo / "registry" / key / "model.yaml").write_text(f"schema: runstone/registered-model/v1\n{text}")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Hostile", cwd=git_repo)
    assert "churn" == find_key(workspace.repo, "churn")
    assert "first-run" == get_version(workspace.repo, "churn", 1).run_id
    assert "not a key" not in list_model_names(workspace.repo)


@pytest.mark.mlflow
def test_the_client_speaks_mlflows_verbs(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Each under its name and with its parameters."""
    client = Client(git_repo)
    assert "new" == client.create_registered_model("new", {"a": "b"}, "d").name
    assert "e" == client.update_registered_model("new", "e").description
    client.set_registered_model_tag("new", "c", "d")
    client.delete_registered_model_tag("new", "a")
    assert {"c": "d"} == client.get_registered_model("new").tags
    assert "newer" == client.rename_registered_model("new", new_name="newer").name
    client.delete_registered_model("newer")
    assert ["churn"] == [model.name for model in client.search_registered_models()]
    assert [1] == [each.version for each in client.get_latest_versions("churn", stages=["None"])]


def test_a_deleted_models_last_name_stays_its_own(workspace: Workspace, version: ModelVersion, model: RunUri) -> None:
    """A name whose versions were given out with another key is not given again; the first name counts on."""
    rename_model(workspace, "churn", "leavers")
    delete_model(workspace, "leavers")
    for call in (
        lambda: create_model(workspace, "leavers"),
        lambda: register_version(workspace, "leavers", model),
        lambda: rename_model(workspace, "other", "leavers"),
        lambda: copy_version(workspace, "models:/other/1", "leavers"),
    ):
        if not list_versions(workspace.repo, "other"):
            assert 1 == register_version(workspace, "other", model).version
        with pytest.raises(ModelExists, match="versions of a deleted model were given under this name"):
            call()
    assert 2 == register_version(workspace, "churn", model).version
