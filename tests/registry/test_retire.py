"""Versions are retired by a further git tag, and copied by one of another model; numbers are never given again."""

from pathlib import Path

import pytest

from runstone.errors import InvalidUri, ModelNotFound, VersionInUse, VersionNotAllotted, VersionNotFound
from runstone.registry.alias import read_aliases, set_alias
from runstone.registry.branch import registry_commit
from runstone.registry.copy import copy_version
from runstone.registry.present import present_state
from runstone.registry.retire import retire_version
from runstone.registry.search import search_versions
from runstone.registry.stage import set_stage
from runstone.registry.version import (
    ModelVersion,
    get_version,
    latest_version,
    list_names,
    list_numbers,
    list_versions,
    register_version,
)
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.registry.support import seal_row
from tests.sharing import Team, register
from tests.support import git


def test_a_retired_version_is_found_no_more(
    workspace: Workspace, version: ModelVersion, model: RunUri, git_repo: Path
) -> None:
    """Neither by number, list nor search, unless asked for; who retired it and why is kept in git."""
    register_version(workspace, "churn", model)
    assert version == retire_version(workspace, "churn", 1, reason="Trained on wrong labels")
    repo = workspace.repo
    with pytest.raises(VersionNotFound) as caught:
        get_version(repo, "churn", 1)
    expected = "No model version `churn/1`: it is retired. The registry has 2. List them: `runstone models show churn`"
    assert expected == str(caught.value)
    assert [2] == [each.version for each in list_versions(repo, "churn")] == list_numbers(repo, "churn")
    assert [2] == [each.version for each in search_versions(repo)]
    old = get_version(repo, "churn", 1, include_retired=True)
    assert old.retired is not None
    assert ("Kim Example", "Trained on wrong labels") == (old.retired.user_id, old.retired.reason)
    assert [None, old.retired] == [each.retired for each in list_versions(repo, "churn", include_retired=True)]
    assert "tag" == git("cat-file", "-t", "churn@v1!", cwd=git_repo)
    assert version.commit == git("rev-parse", "churn@v1!^{commit}", cwd=git_repo)
    with pytest.raises(VersionNotFound, match="it is retired"):
        retire_version(workspace, "churn", 1)
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def test_the_numbers_of_retired_versions_are_not_given_again(
    workspace: Workspace, version: ModelVersion, model: RunUri
) -> None:
    """A model all of whose versions are retired is none to list, and goes on counting."""
    retire_version(workspace, "churn", 1)
    assert ([], []) == (list_names(workspace.repo), list_versions(workspace.repo))
    with pytest.raises(ModelNotFound):
        latest_version(workspace.repo, "churn")
    with pytest.raises(VersionNotFound, match=r"it is retired\. The registry has no other one"):
        get_version(workspace.repo, "churn", 1)
    assert 2 == register_version(workspace, "churn", model).version
    assert 2 == latest_version(workspace.repo, "churn").version


def test_it_leaves_its_stage_and_its_aliases(
    workspace: Workspace, version: ModelVersion, model: RunUri, git_repo: Path
) -> None:
    """In one commit, which leaves those of other versions alone and the work tree clean."""
    repo = workspace.repo
    register_version(workspace, "churn", model)
    for number in (1, 2):
        set_stage(repo, "churn", number, "Staging")
    for alias, number in (("champion", 1), ("old", 1), ("next", 2)):
        set_alias(repo, "churn", alias, number)
    before = git("rev-list", "--count", "main", cwd=git_repo)
    was = retire_version(workspace, "churn", 1)
    assert ("Staging", ("champion", "old")) == (was.current_stage, was.aliases)
    assert {"next": 2} == read_aliases(repo, "churn")
    assert {"Staging": (2,)} == dict(present_state(repo, registry_commit(repo), "churn").stages)
    assert int(before) + 1 == int(git("rev-list", "--count", "main", cwd=git_repo))
    tag = git("rev-parse", "refs/tags/churn@v1", cwd=git_repo)
    message = git("log", "-1", "--format=%B", "main", cwd=git_repo).strip()
    seal = seal_row(git_repo, "churn@v1").rstrip()
    assert f"Retire churn v1\n\nModel: churn\nVersion: 1\nTag: {tag}\n{seal}" == message
    assert "" == git("status", "--porcelain", cwd=git_repo)


def test_what_was_interrupted_is_done_by_the_next_call(
    workspace: Workspace, version: ModelVersion, git_repo: Path
) -> None:
    """The tag is there and the alias still, as after a kill between the two."""
    set_alias(workspace.repo, "churn", "champion", 1)
    git("tag", "-a", "-m", "Retire churn version 1", "churn@v1!", "churn@v1^{commit}", cwd=git_repo)
    retire_version(workspace, "churn", 1)
    assert {} == read_aliases(workspace.repo, "churn")
    with pytest.raises(VersionNotFound):
        retire_version(workspace, "churn", 1)


def test_what_is_guarded_is_not_retired_at_once(
    workspace: Workspace, version: ModelVersion, model: RunUri, git_repo: Path
) -> None:
    """Where stages and aliases are reviewed, the demotion is proposed first; a version without either goes."""
    register_version(workspace, "churn", model)
    register_version(workspace, "churn", model)
    set_stage(workspace.repo, "churn", 1, "Production")
    set_alias(workspace.repo, "churn", "champion", 1)
    set_alias(workspace.repo, "churn", "next", 3)
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    reviewed = Workspace(type(workspace.repo).open(git_repo))
    with pytest.raises(VersionInUse) as caught:
        retire_version(reviewed, "churn", 1)
    assert (
        "churn v1 was not retired: it is in Production, churn@champion, and such changes are reviewed here. "
        "Propose that first: `runstone demote 'churn' 1 --propose`"
    ) == str(caught.value)
    with pytest.raises(VersionInUse, match="Propose that first: `runstone models alias 'churn' next --delete`"):
        retire_version(reviewed, "churn", 3)
    assert ["churn@v1", "churn@v2", "churn@v3"] == git("tag", cwd=git_repo).split()
    retire_version(reviewed, "churn", 2)
    assert [1, 3] == list_numbers(workspace.repo, "churn")


def test_review_that_began_meanwhile_guards_versions_in_use(
    workspace: Workspace, model: RunUri, git_repo: Path
) -> None:
    """A server reads its settings once; that somebody has turned review on since is on the default branch."""
    register_version(workspace, "churn", model)
    set_alias(workspace.repo, "churn", "champion", 1)
    assert "direct" == workspace.repo.config.promotion
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    git("add", "runstone.yaml", cwd=git_repo)
    git("commit", "-q", "-m", "Review promotions", cwd=git_repo)

    with pytest.raises(VersionInUse, match="it is churn@champion, and such changes are reviewed here"):
        retire_version(workspace, "churn", 1)


@pytest.mark.dvc
def test_a_retirement_goes_to_the_remote_first(team: Team) -> None:
    """So another clone has it with its next sync; where the remote is away, nothing is retired."""
    ann, bob = team.folder / "ann", team.clone("bob")
    register(ann, "one")
    register(ann, "two")
    retire_version(Workspace.open(ann), "churn", 1)
    assert ["churn@v1", "churn@v1!", "churn@v2"] == team.tags()
    sync(Workspace.open(bob))
    assert [2] == list_numbers(Workspace.open(bob).repo, "churn")
    team.remote.rename(team.folder / "away.git")
    with pytest.raises(VersionNotAllotted) as caught:
        retire_version(Workspace.open(bob), "churn", 2)
    text = str(caught.value)
    assert text.startswith(
        "churn v2 was not retired: the git remote `origin`, which gives the numbers, could not be asked"
    )
    assert text.endswith("Nothing was changed. Try again when it can be reached.")
    assert [2] == list_numbers(Workspace.open(bob).repo, "churn")


def test_a_copy_is_a_version_of_another_model(workspace: Workspace, version: ModelVersion, git_repo: Path) -> None:
    """Same run, folder and bytes; it says where it is from, and has a number and a life of its own."""
    set_alias(workspace.repo, "churn", "champion", 1)
    made = copy_version(workspace, "models:/churn@champion", "churn prod")
    assert ("churn prod", 1, "models:/churn/1") == (made.name, made.version, made.copied_from)
    assert (version.run_id, version.path, version.digest, version.commit, version.signature, "The first", ()) == (
        made.run_id,
        made.path,
        made.digest,
        made.commit,
        made.signature,
        made.description,
        made.aliases,
    )
    assert "\ncopied_from: 'models:/churn/1'" in git("cat-file", "tag", "churn%20prod@v1", cwd=git_repo)
    assert 2 == copy_version(workspace, "models:/churn prod/latest", "churn prod").version
    retire_version(workspace, "churn", 1)
    assert made == get_version(workspace.repo, "churn prod", 1)
    with pytest.raises(InvalidUri):
        copy_version(workspace, "runs:/first-run/model", "other")
    with pytest.raises(ModelNotFound):
        copy_version(workspace, "models:/none/1", "other")


@pytest.mark.dvc
def test_a_copy_is_numbered_on_the_remote(team: Team) -> None:
    """As any other version."""
    ann = team.folder / "ann"
    register(ann, "one")
    copy_version(Workspace.open(ann), "models:/churn/1", "other")
    assert ["churn@v1", "other@v1"] == team.tags()
    team.check()


def test_description_and_tags_of_a_version(workspace: Workspace, model: RunUri, git_repo: Path) -> None:
    """Those it was made with, until a file on the default branch says otherwise."""
    made = register_version(workspace, "churn", model, description="First", tags={"team": "growth", "size": 3})
    assert ({"team": "growth", "size": "3"}, "First") == (made.tags, made.description)
    folder = git_repo / "registry" / "churn" / "versions"
    folder.mkdir(parents=True)
    (folder / "1.yaml").write_text("schema: runstone/version-notes/v1\ndescription: Better\ntags: {team: sales}\n")
    git("add", "registry", cwd=git_repo)
    git("commit", "-q", "-m", "Say it", cwd=git_repo)
    found = get_version(workspace.repo, "churn", 1)
    assert ({"team": "sales"}, "Better") == (found.tags, found.description)
    assert [found] == list_versions(workspace.repo) == list(search_versions(workspace.repo, "tags.team = 'sales'"))
