"""Versions of what merged requests ask for."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from runstone import names
from runstone.errors import ModelExists
from runstone.promotion.ci.registering import Outcome, register_merged
from runstone.promotion.ci.upstream import Upstream
from runstone.promotion.proposals.register import propose_registration
from runstone.promotion.rules.judgement import judge
from runstone.records import yaml
from runstone.records.model import VersionBody
from runstone.registry.model_edits import delete_model, rename_model
from runstone.registry.version import get_version, register_version
from runstone.tracking.edit import delete_run
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.promotion.merged import ci_checkout, log_and_share, merge, push_file, request_in, request_of
from tests.promotion.support import ANN, write
from tests.registry.support import log_model
from tests.sharing import Team
from tests.support import git, sign_with_key

pytestmark = pytest.mark.ci


def register(path: Path, commit: str | None = None) -> list[Outcome]:
    """Meet the requests from a checkout."""
    workspace = Workspace.open(path)
    return register_merged(workspace, Upstream(workspace.repo), commit=commit)


def said(outcomes: list[Outcome]) -> list[tuple[str, str | None]]:
    """What became of each, and its version."""
    return [(each.state, each.uri) for each in outcomes]


def test_a_merged_request_becomes_a_version_on_the_remote(team: Team) -> None:
    """From a detached checkout of one commit: the tag names the run's commit, and says what the request says."""
    log_and_share(team, "run-1")
    request = dataclasses.replace(request_of(team, "run-1"), description="On March", tags={"data": "march"})
    file = merge(team, request)
    outcomes = register(ci_checkout(team))
    assert [Outcome("churn", "run-1", "model", "made", 1, file)] == outcomes
    assert request.commit == git("rev-parse", "churn@v1^{commit}", cwd=team.remote)
    text = git("tag", "-l", "--format=%(contents)", "churn@v1", cwd=team.remote)
    assert text.startswith("churn version 1\n\n")
    assert "\nmodel: churn\nrun: run-1\n" in text
    assert "description: On March\n" in text
    assert "data: march" in text
    team.check()


def test_again_makes_nothing(team: Team) -> None:
    """In the same checkout and in a new one, also of a version that was retired."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    first = ci_checkout(team)
    assert [("made", "models:/churn/1")] == said(register(first))
    assert [("present", "models:/churn/1")] == said(register(first))
    git("tag", "-a", "-m", "churn version 1 retired", "churn@v1!", "churn@v1^{commit}", cwd=team.remote, env=ANN)
    assert [("present", "models:/churn/1")] == said(register(ci_checkout(team, "again")))
    assert ["churn@v1", "churn@v1!"] == team.tags()


@pytest.mark.parametrize("is_retired", [True, False])
def test_a_name_that_a_deleted_model_had_is_not_given_by_a_request(team: Team, is_retired: bool) -> None:
    """Neither where its versions were retired, nor where a merge alone has removed its files; from a shallow checkout,
    by a check of the proposal, and by who would propose it.
    """
    ann = team.folder / "ann"
    log_and_share(team, "run-1")
    workspace = Workspace.open(ann)
    register_version(workspace, "churn", RunUri("run-1", "model"))
    sync(workspace)
    rename_model(workspace, "churn", "leavers")
    if is_retired:
        delete_model(workspace, "leavers")
    else:
        write(ann, {"registry/churn/model.yaml": None}, "Remove it")
    git("push", "-q", "origin", "main", cwd=ann)
    log_and_share(team, "run-2")
    why = "versions of a deleted model were given under this name"
    with pytest.raises(ModelExists, match=why):
        propose_registration(Workspace.open(ann), "leavers", RunUri("run-2", "model"))
    git("fetch", "-q", "origin", cwd=ann)
    base = git("rev-parse", "origin/main", cwd=ann)
    merge(team, request_of(team, "run-2"), model="leavers")
    git("pull", "-q", "origin", "main", cwd=ann)
    found = judge(Workspace.open(ann), base, git("rev-parse", "HEAD", cwd=ann))
    assert any(why in problem for each in found.judged for problem in each.problems)
    (outcome,) = register(ci_checkout(team))
    assert ("refused", True) == (outcome.state, why in outcome.why), outcome
    assert not any("leavers" in tag for tag in team.tags())


def test_a_request_makes_no_model_that_nobody_can_tell_from_another(team: Team) -> None:
    """Its folder would be spelled so; a model that is there already goes on."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"), model="chu\u200brn")
    (outcome,) = register(ci_checkout(team))
    assert ("refused", True) == (outcome.state, "U+200B (zero width space)" in outcome.why)


def test_what_was_registered_otherwise_counts_by_run_and_path(team: Team) -> None:
    """A version of the same run but another folder does not meet a request; one of the same folder does."""
    workspace = Workspace.open(team.folder / "ann")
    log_model(workspace, "run-1", path="a")
    log_model(workspace, "run-2", path="b")
    sync(workspace)
    register_version(workspace, "churn", RunUri("run-1", "a"))
    sync(workspace)
    merge(team, request_of(team, "run-1", path="a"))
    merge(team, request_of(team, "run-2", path="b"))
    assert [("present", "models:/churn/1"), ("made", "models:/churn/2")] == said(register(ci_checkout(team)))


def test_a_forged_tag_meets_no_request(team: Team) -> None:
    """One that claims the run and has another digest: it is named, and nothing is made beside it."""
    log_and_share(team, "run-1")
    request = request_of(team, "run-1")
    merge(team, request)
    body = VersionBody("churn", "run-1", request.record, request.path, f"md5:{'0' * 32}.dir")
    text = f"churn version 1\n\n{yaml.dump(body.to_document())}"
    git("tag", "-a", "-m", text, "churn@v1", request.commit, cwd=team.folder / "ann")
    git("push", "-q", "origin", "churn@v1", cwd=team.folder / "ann")
    (outcome,) = register(ci_checkout(team))
    assert "refused" == outcome.state
    assert outcome.why.startswith("The git tag `churn@v1` claims to be `model` of the run run-1, and is not: its dig")
    assert "churn@v1" == git("tag", cwd=team.remote)


def test_only_what_is_needed_is_fetched(team: Team) -> None:
    """The code's history stays away, and with nothing to do the branch of runs, too."""
    for number in range(3):
        push_file(team, "notes.txt", f"{number}\n")
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    register(ci_checkout(team))
    later = ci_checkout(team, "later")
    assert [("present", "models:/churn/1")] == said(register(later))
    assert "" == git("for-each-ref", "refs/remotes/origin/runs", cwd=later)
    assert "1" == git("rev-list", "--count", "refs/remotes/origin/main", cwd=later)


def test_a_run_far_back_is_found(team: Team) -> None:
    """Farther than the first look goes: the branch of runs is brought deeper and deeper."""
    workspace = Workspace.open(team.folder / "ann")
    log_and_share(team, "run-1")
    request = request_of(team, "run-1")
    tree, tip = (git("rev-parse", f"runs{what}", cwd=workspace.repo.common_dir) for what in ("^{tree}", ""))
    for number in range(60):
        tip = git("commit-tree", tree, "-p", tip, "-m", f"Event {number}", cwd=team.folder / "ann")
    git("push", "-q", "origin", f"{tip}:refs/heads/runs", cwd=team.folder / "ann")
    merge(team, request)
    assert [("made", "models:/churn/1")] == said(register(ci_checkout(team)))


def test_the_remote_decides_what_is_merged(team: Team) -> None:
    """HEAD may be a proposal that nobody merged: it is not looked at, and naming it is refused."""
    log_and_share(team, "run-1")
    ann = team.folder / "ann"
    git("checkout", "-q", "-b", "proposal", cwd=ann)
    path = ann / "registry" / "churn" / "registrations" / "run-1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.dump(request_of(team, "run-1").to_document()))
    git("add", ".", cwd=ann)
    git("commit", "-q", "-m", "Ask", cwd=ann)
    assert [] == register(ann)
    with pytest.raises(Exception, match="is not on `main` of `origin`, so nobody has merged it"):
        register(ann, "HEAD")
    assert [] == team.tags()


def test_an_older_commit_may_be_named(team: Team) -> None:
    """Then what came later is left for later, also where the checkout does not have the older one yet."""
    log_and_share(team, "run-1")
    log_and_share(team, "run-2")
    merge(team, request_of(team, "run-1"))
    older = git("rev-parse", "main", cwd=team.remote)
    merge(team, request_of(team, "run-2"))
    checkout = ci_checkout(team)
    assert [("made", "models:/churn/1")] == said(register(checkout, older))
    assert [("present", "models:/churn/1"), ("made", "models:/churn/2")] == said(register(checkout))


def test_a_commit_of_a_fork_is_refused(team: Team) -> None:
    """A record that nobody with the right to push runs has put there: by id the remote would hand it out."""
    log_and_share(team, "run-1")
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=team.remote)
    mallory = team.clone("mallory")
    workspace = Workspace.open(mallory)
    log_model(workspace, "run-9", text="evil")
    git("push", "-q", "origin", "runs:refs/pull/1/head", cwd=mallory)
    record = git("ls-tree", "-r", "--name-only", "runs", cwd=mallory).split("\n")
    record_folder = next(path for path in record if path.endswith("run-9/run.yaml")).removesuffix("/run.yaml")
    forged = dataclasses.replace(
        request_of(team, "run-1"), run="run-9", record=record_folder, commit=git("rev-parse", "runs", cwd=mallory)
    )
    file = merge(team, forged)
    (outcome,) = register(ci_checkout(team))
    commit = forged.commit[:12]
    expected = (
        f"`{file}` was not met: its commit {commit} is not on the branch `runs` of `origin`. "
        "Share the run: `runstone sync`"
    )
    assert ("refused", expected) == (outcome.state, outcome.why)
    assert [] == team.tags()


def test_code_that_looks_like_a_record_is_refused(team: Team) -> None:
    """The code snapshot of a run is an ancestor of the branch of runs, but stands beside its line."""
    ann = team.folder / "ann"
    log_and_share(team, "run-1")
    request = request_of(team, "run-1")
    text = git("show", f"runs:{request.record}/run.yaml", cwd=ann).replace("run-1", "run-7")
    fake = request.record.replace("run-1", "run-7").replace("/-1/", "/-7/")
    push_file(team, f"{fake}/run.yaml", f"{text}\n")
    log_and_share(team, "run-2")  # holds on to that code
    commit = git("rev-parse", "main", cwd=ann)
    assert "" == git("rev-list", commit, "--not", "origin/runs", cwd=ann), "the attack is set up: it is an ancestor"
    merge(team, dataclasses.replace(request, run="run-7", record=fake, commit=commit))
    (outcome,) = register(ci_checkout(team))
    assert "refused" == outcome.state
    assert f"its commit {commit[:12]} is not on the branch `runs`" in outcome.why
    assert [] == team.tags()


def test_each_bad_request_is_named_and_the_good_one_is_met(team: Team) -> None:
    """A wrong digest, a wrong path, another's record, a deleted run, lost bytes, a file that is no request."""
    for number in range(1, 7):
        log_and_share(team, f"run-{number}")
    requests = {number: request_of(team, f"run-{number}") for number in range(1, 7)}
    bad_digest = f"md5:{'0' * 32}.dir"
    merge(team, dataclasses.replace(requests[1], digest=bad_digest))
    merge(team, dataclasses.replace(requests[2], path="other"))
    merge(team, dataclasses.replace(requests[3], record=requests[1].record))
    workspace = Workspace.open(team.folder / "ann")
    delete_run(workspace, "run-4")
    sync(workspace)
    merge(team, requests[4])
    merge(team, requests[5])
    weights = hashlib.md5(b"run-5").hexdigest()
    (team.store / "files" / "md5" / weights[:2] / weights[2:]).unlink()
    push_file(team, "registry/churn/registrations/run-0.yaml", "schema: runstone/registration/v1\n")
    merge(team, requests[6], file="run-x")
    merge(team, requests[6])
    outcomes = register(ci_checkout(team))
    reasons = {Path(each.file or "").stem: each.why for each in outcomes if each.why}
    why = {run: text.partition("was not met: ")[2].partition(". ")[0] for run, text in reasons.items()}
    assert f"its digest is {bad_digest}, and the run recorded {requests[1].digest}" == why["run-1"]
    assert "the run logged no model `other`; it logged model" == why["run-2"]
    assert f"`{requests[1].record}` in {requests[3].commit[:12]} is not the record of this run" == why["run-3"]
    assert "the run was deleted since" == why["run-4"]
    assert weights in reasons["run-5"]
    step = "Correct it, then: `runstone validate registry/churn/registrations/run-0.yaml`"
    assert reasons["run-0"].endswith(f"`run` is missing. {step}")
    assert "`run` must be the name of the file, but is 'run-6'" in reasons["run-x"]
    assert [("made", "models:/churn/1")] == [each for each in said(outcomes) if each[0] != "refused"]
    assert ["churn@v1"] == team.tags()


@pytest.mark.parametrize("model", ["My Model", "a/b", "größe", "Churn"])
def test_names_are_kept(team: Team, model: str) -> None:
    """Capitals, spaces, slashes, other scripts: the tag says the name, encoded as the folder is."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"), model=model)
    assert [("made", f"models:/{model}/1")] == said(register(ci_checkout(team)))
    (tag,) = team.tags()
    assert model == get_version(Workspace.open(team.clone("reader")).repo, model, 1).name
    assert f"{names.encode_component(model)}@v1" == tag


def test_a_folder_that_names_no_model_is_refused(team: Team) -> None:
    """`a*` would be a pattern for git, and `CHURN` on many disks the folder of `churn`."""
    for run, model in (("run-1", "churn"), ("run-2", "CHURN")):
        log_and_share(team, run)
        merge(team, request_of(team, run), model=model)
    push_file(team, "registry/a*/registrations/run-1.yaml", yaml.dump(request_of(team, "run-1").to_document()))
    outcomes = {each.file: each for each in register(ci_checkout(team))}
    assert "its folder would be a%2A, and not a*" in outcomes["registry/a*/registrations/run-1.yaml"].why
    assert "made" == outcomes["registry/CHURN/registrations/run-2.yaml"].state
    assert "by case alone" in outcomes["registry/churn/registrations/run-1.yaml"].why


def test_two_jobs_at_once_make_one_version_of_each_request(team: Team) -> None:
    """Processes in clones of their own: every request has one version, and the numbers have no gap."""
    for number in range(3):
        log_and_share(team, f"run-{number}")
        merge(team, request_of(team, f"run-{number}"))
    paths = [ci_checkout(team, f"ci-{number}") for number in range(3)]
    code = (
        "import sys; from runstone.promotion.ci.registering import register_merged; "
        "from runstone.promotion.ci.upstream import Upstream; from runstone.tracking.workspace import Workspace; "
        "w = Workspace.open('.'); u = Upstream(w.repo); sys.stdin.readline(); "
        "print([o.state for o in register_merged(w, u)])"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for path in paths
    ]
    for job in jobs:  # each has seen a remote without any version
        assert job.stdin is not None
        job.stdin.write("\n")
        job.stdin.flush()
    printed = [job.communicate(timeout=60)[0] for job in jobs]
    assert [0, 0, 0] == [job.returncode for job in jobs]
    assert 3 == "".join(printed).count("made")
    assert ["churn@v1", "churn@v2", "churn@v3"] == team.tags()
    runs = git("tag", "-l", "--format=%(contents)", cwd=team.remote)
    assert ["run: run-0", "run: run-1", "run: run-2"] == sorted(
        line for line in runs.split("\n") if line.startswith("run: ")
    )


def test_without_a_remote_the_repository_itself_counts(git_repo: Path) -> None:
    """Solo use: the default branch, the runs and the tags are those here."""
    log_model(Workspace.open(git_repo), "run-1")
    write(git_repo, {"registry/churn/registrations/run-1.yaml": yaml.dump(request_in(git_repo).to_document())}, "Ask")
    assert [("made", "models:/churn/1")] == said(register(git_repo))
    assert [("present", "models:/churn/1")] == said(register(git_repo))


def test_a_dvc_remote_that_cannot_be_asked_is_no_yes(team: Team) -> None:
    """The run is shared, but whether its bytes are there nobody can tell: later, when it can be asked, it is met."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    away = team.store.rename(team.folder / "away")
    (outcome,) = register(ci_checkout(team))
    assert "refused" == outcome.state
    assert "its folder does not exist" in outcome.why
    away.rename(team.store)
    assert [("made", "models:/churn/1")] == said(register(team.folder / "ci"))


def test_a_tag_about_another_model_meets_nothing(team: Team) -> None:
    """No reader takes it for a version of this model; its number is taken all the same."""
    log_and_share(team, "run-1")
    log_and_share(team, "run-2")
    merge(team, request_of(team, "run-1"), model="other")
    register(ci_checkout(team))
    git("fetch", "-q", "origin", "tag", "other@v1", cwd=team.folder / "ann")
    body = git("tag", "-l", "--format=%(contents)", "other@v1", cwd=team.remote)
    git("tag", "-a", "-m", body, "--cleanup=verbatim", "churn@v1", "other@v1^{commit}", cwd=team.folder / "ann")
    git("push", "-q", "origin", "churn@v1", cwd=team.folder / "ann")
    merge(team, request_of(team, "run-1"))
    states = said(register(ci_checkout(team, "again")))
    assert [("made", "models:/churn/2"), ("present", "models:/other/1")] == states


def test_tags_are_signed_where_git_is_set_to(team: Team) -> None:
    """With the job's key, as `git tag -s` does."""
    log_and_share(team, "run-1")
    merge(team, request_of(team, "run-1"))
    checkout = ci_checkout(team)
    sign_with_key(checkout, "ci@example.org", team.folder)
    for setting, value in {"user.name": "CI", "user.email": "ci@example.org", "tag.gpgSign": "true"}.items():
        git("config", setting, value, cwd=checkout)
    assert [("made", "models:/churn/1")] == said(register(checkout))
    git("verify-tag", "churn@v1", cwd=checkout)


def test_a_renamed_model_and_one_whose_name_is_cut(team: Team) -> None:
    """The tag keeps the folder's name; what is told is the present one; a long name is the one in model.yaml."""
    long = "x" * 200
    for run, model, name in (("run-1", "churn", "leavers"), ("run-2", long, long)):
        log_and_share(team, run)
        merge(team, request_of(team, run), model=model)
        key = names.encode_component(model)
        push_file(team, f"registry/{key}/model.yaml", f"schema: runstone/registered-model/v1\nname: {name}\n")
    assert [("made", "models:/leavers/1"), ("made", f"models:/{long}/1")] == said(register(ci_checkout(team)))
    bodies = git("tag", "-l", "--format=%(contents)", cwd=team.remote)
    assert ["model: churn", f"model: {long}"] == [line for line in bodies.split("\n") if line.startswith("model:")]
    assert ["churn@v1", f"{names.encode_component(long)}@v1"] == team.tags()
