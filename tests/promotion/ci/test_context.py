"""Which commits a pipeline is about: from options, from what CI systems say, in clones that have next to nothing."""

import json
import os
from pathlib import Path

import pytest

from runstone.errors import CannotDecide, UsageError
from runstone.git.repository import Repository
from runstone.promotion.ci.check import bring, check
from runstone.promotion.ci.context import find_context
from runstone.promotion.ci.environment import Said, append_plain, read_environment
from runstone.registry.branch import registry_commit
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.promotion.support import make_versions, propose, stage_file, write
from tests.sharing import Team
from tests.support import git

A, B = "a" * 40, "b" * 40
HOSTILE = ("--upload-pack=x", "main..x", ":/secret", "a b", "x\n", "../x", "HEAD", "@{-1}", "", "a.lock", "refs//x", 7)


def github(folder: Path, event: object, **variables: str) -> dict[str, str]:
    """The environment of a job in GitHub Actions."""
    path = folder / "event.json"
    path.write_text(json.dumps(event))
    return {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(path), **variables}


def pull_request(base: object, head: object, ref: object = "main") -> dict[str, object]:
    """What GitHub says of a pull request."""
    sides = {"base": {"ref": ref, "sha": base}, "head": {"ref": "promote/x", "sha": head}}
    return {"pull_request": {"number": 7, **sides}}


def test_what_github_says(tmp_path: Path) -> None:
    """A pull request, a merge queue, a push."""
    event = github(tmp_path, pull_request(A, B), GITHUB_BASE_REF="main", GITHUB_HEAD_REF="promote/x", GITHUB_SHA=A)
    assert Said("github", "main", A, B, 7, "promote/x") == read_environment(event)
    queue = github(tmp_path, {"merge_group": {"base_ref": "refs/heads/main", "base_sha": A, "head_sha": B}})
    assert Said("github", "main", A, B) == read_environment(queue)
    push = {"before": B, "repository": {"default_branch": "trunk"}}
    assert Said("github", head=A, default="trunk") == read_environment(github(tmp_path, push, GITHUB_SHA=A))


def test_what_gitlab_and_jenkins_say() -> None:
    """A merge request's own head before that of its merged result."""
    gitlab = {
        "GITLAB_CI": "true",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "promote/x",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": A,
        "CI_COMMIT_SHA": B,
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
    }
    assert Said("gitlab", "main", A, B, 12, "promote/x") == read_environment(gitlab)
    assert A == read_environment(gitlab | {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": A}).head
    jenkins = {"JENKINS_URL": "x", "CHANGE_TARGET": "main", "GIT_COMMIT": B, "CHANGE_ID": "3", "CHANGE_BRANCH": "p"}
    assert Said("jenkins", "main", None, B, 3, "p") == read_environment(jenkins)
    assert Said() == read_environment({"GIT_COMMIT": B, "GITHUB_SHA": A})


@pytest.mark.parametrize("text", HOSTILE)
def test_what_git_could_take_for_more_than_a_name_is_dropped(text: str | int, tmp_path: Path) -> None:
    """Options, revision expressions, paths: neither a branch nor a commit."""
    event = pull_request(text, text, text)
    assert Said("github", request=7, branch="promote/x") == read_environment(github(tmp_path, event))


def test_an_event_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    """Broken, of another shape, not there."""
    for text in ("{", "[1]", '{"pull_request": 3}', "[" * 100_000):
        (tmp_path / "event.json").write_text(text)
        environ = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}
        assert Said("github") == read_environment(environ)
    assert Said("github") == read_environment({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": "/nowhere"})


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices have names there")
def test_a_pipe_or_a_device_in_place_of_a_file_ends_nothing(tmp_path: Path) -> None:
    """Neither is read for ever, nor is it waited for who writes or reads at the other end."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    for path in (pipe, Path("/dev/zero"), tmp_path, large):
        assert Said("github") == read_environment({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(path)})
    append_plain(str(pipe), "x")
    append_plain(str(tmp_path / "new"), "x")
    append_plain(str(tmp_path / "new"), "y")
    assert "xy" == (tmp_path / "new").read_text()


def test_without_a_ci_system_it_is_head_against_the_default_branch(git_repo: Path) -> None:
    """Or what the options name: branches, ids."""
    base = git("rev-parse", "HEAD", cwd=git_repo)
    git("checkout", "-q", "-b", "work", cwd=git_repo)
    head = write(git_repo, {"a": "1"}, "Work")
    repo = Repository.open(git_repo)
    found = find_context(repo, environ={})
    assert (base, head, base) == (found.base, found.head, found.fork)
    found = find_context(repo, base=head[:12], head="main", environ={})
    assert (head, base, base, "main") == (found.base, found.head, found.fork, found.branch)
    with pytest.raises(UsageError) as caught:
        find_context(repo, base="nope", environ={})
    assert "There is no commit 'nope' here. Name a branch or a commit: `git branch --all`" == str(caught.value)


@pytest.fixture
def proposal(team: Team) -> str:
    """A proposal that Ann pushed: version 2 to Staging; `main` has gone on for some commits since. Its head."""
    ann = team.folder / "ann"
    make_versions(ann)
    sync(Workspace.open(ann))
    git("push", "-q", "origin", "main", cwd=ann)
    head = propose(ann, {"registry/churn/stages/Staging.yaml": stage_file(2)}, "Stage v2", "promote/churn-v2-staging")
    for number in range(4):
        write(ann, {"train.py": f"print({number})\n"}, f"Train {number}")
    git("push", "-q", "origin", "main", "promote/churn-v2-staging", cwd=ann)
    return head


def ci_clone(team: Team, commit: str) -> Path:
    """What a CI system makes: one commit, detached, no branch, no tag."""
    path = team.folder / "ci"
    git("init", "-q", path, cwd=team.folder)
    git("remote", "add", "origin", team.remote.as_uri(), cwd=path)
    git("fetch", "-q", "--no-tags", "--depth=1", "origin", commit, cwd=path)
    git("checkout", "-q", "--detach", "FETCH_HEAD", cwd=path)
    return path


@pytest.mark.parametrize("system", ["github", "gitlab", "jenkins"])
def test_a_detached_clone_of_depth_one_gets_what_it_needs(
    team: Team, proposal: str, tmp_path: Path, system: str
) -> None:
    """The target branch, where the two parted, and the versions of the models that change, with their runs."""
    base = git("rev-parse", "main", cwd=team.remote)
    environ = {
        "github": github(tmp_path, pull_request(base, proposal), GITHUB_BASE_REF="main"),
        "gitlab": {"GITLAB_CI": "true", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_COMMIT_SHA": proposal},
        "jenkins": {"JENKINS_URL": "x", "CHANGE_TARGET": "main", "GIT_COMMIT": proposal},
    }[system]
    path = ci_clone(team, proposal)
    repo = Repository.open(path)
    assert repo.shallow
    context = find_context(repo, environ=environ)
    fork = git("merge-base", "main", "promote/churn-v2-staging", cwd=team.remote)
    assert (base, proposal, fork) == (context.base, context.head, context.fork)
    assert {"churn@v1", "churn@v2"} == context.remote_tags
    assert "" == git("tag", cwd=path)
    found = check(Workspace(repo), context)
    assert ("pass", ()) == (found.result, found.findings)
    assert ["churn@v1", "churn@v2"] == git("tag", cwd=path).split()
    assert "" == git("status", "--porcelain", cwd=path)


def test_a_merge_of_the_proposal_is_as_good_as_its_head(team: Team, proposal: str, tmp_path: Path) -> None:
    """GitHub checks out a merge of its own; without the event it is all that is known."""
    ann = team.folder / "ann"
    git("checkout", "-q", "--detach", "main", cwd=ann)
    git("merge", "-q", "--no-ff", "-m", "Merge", proposal, cwd=ann)
    merge = git("rev-parse", "HEAD", cwd=ann)
    git("push", "-q", "origin", "HEAD:refs/pull/7/merge", cwd=ann)
    repo = Repository.open(ci_clone(team, merge))
    context = find_context(repo, environ={"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main", "GITHUB_SHA": merge})
    base = git("rev-parse", "main", cwd=team.remote)
    assert (base, merge, base) == (context.base, context.head, context.fork)
    event = github(tmp_path, pull_request(base, proposal), GITHUB_BASE_REF="main", GITHUB_SHA=merge)
    assert proposal == find_context(repo, environ=event).head
    assert ["churn v2"] == [f"{c.model} v{c.version}" for c in bring(repo, context, merge) if hasattr(c, "version")]


def test_a_push_that_is_no_proposal(team: Team, proposal: str) -> None:
    """It is judged against the default branch that the CI system names, though the clone knows none."""
    repo = Repository.open(ci_clone(team, proposal))
    environ = {"GITLAB_CI": "true", "CI_COMMIT_SHA": proposal, "CI_DEFAULT_BRANCH": "main"}
    context = find_context(repo, environ=environ)
    assert (git("rev-parse", "main", cwd=team.remote), proposal) == (context.base, context.head)


def test_a_default_branch_that_nobody_names_is_asked_for(team: Team, proposal: str) -> None:
    """On a CI system that is not known the remote's HEAD tells; where it does not, nobody can: exit code 2."""
    path = ci_clone(team, proposal)
    git("branch", "-q", "trunk", "main", cwd=team.remote)
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=team.remote)
    context = find_context(Repository.open(path), environ={})
    assert (git("rev-parse", "main", cwd=team.remote), proposal) == (context.base, context.head)
    assert "refs/remotes/origin/trunk" == git("symbolic-ref", "refs/remotes/origin/HEAD", cwd=path)
    assert context.base == registry_commit(Repository.open(path))
    git("update-ref", "-d", "refs/remotes/origin/trunk", cwd=path)
    git("symbolic-ref", "--delete", "refs/remotes/origin/HEAD", cwd=path)
    git("symbolic-ref", "HEAD", "refs/heads/none-yet", cwd=team.remote)
    with pytest.raises(CannotDecide) as caught:
        find_context(Repository.open(path), environ={})
    assert (
        "Which branch is the default one is not known here. `origin` does not say which branch its HEAD is. Name it: "
        "`--base BRANCH`"
    ) == str(caught.value)


def test_what_is_not_there_cannot_be_judged(team: Team, proposal: str) -> None:
    """A target branch or a commit that nobody has: exit code 2, and what to do."""
    repo = Repository.open(ci_clone(team, proposal))
    with pytest.raises(CannotDecide) as caught:
        find_context(repo, environ={"JENKINS_URL": "x", "CHANGE_TARGET": "gone", "GIT_COMMIT": proposal})
    assert (
        "The branch `gone`, into which this is to be merged, is neither here nor on the remote. "
        "Name what to judge by: `--base BRANCH`"
    ) == str(caught.value)
    with pytest.raises(CannotDecide, match=f"^The commit '{B}', which the CI system names, is neither here nor on"):
        find_context(repo, environ={"JENKINS_URL": "x", "CHANGE_TARGET": "main", "GIT_COMMIT": B})


def test_a_whole_clone_needs_no_remote(team: Team, proposal: str) -> None:
    """Where everything is here and the remote is away, that is all that is not known."""
    path = team.clone("bob")
    git("remote", "set-url", "origin", str(team.folder / "away"), cwd=path)
    environ = {"JENKINS_URL": "x", "CHANGE_TARGET": "main", "GIT_COMMIT": proposal}
    context = find_context(Repository.open(path), environ=environ)
    assert proposal == context.head
    assert context.note is not None
    assert "away" in context.note
    assert not Repository.open(path).shallow
