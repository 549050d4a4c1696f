"""`verify`: what is guarded came by an approved merge, and each version leads back to its bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.names import encode_component
from runstone.promotion.proof.provenance import Break
from runstone.promotion.proof.verify import Bypass, verify
from runstone.promotion.proposals.merge import merge_proposal
from runstone.records import yaml
from runstone.tracking.workspace import Workspace
from tests.promotion.faults import FAULTS, Make, propose_fault
from tests.promotion.merged import request_in
from tests.promotion.proposing import clone, setup
from tests.promotion.support import ANN, RAE, alias_file, make_versions, merge, propose, stage_file, write
from tests.registry.support import seal_row
from tests.support import git, watched_git

PRODUCTION = "registry/churn/stages/Production.yaml"


@pytest.fixture
def reviewed(git_repo: Path) -> Path:
    """A project that reviews, with two versions of `churn`, version 1 in Production by an approved merge."""
    write(git_repo, {"runstone.yaml": "promotion: review\n"}, "Review")
    make_versions(git_repo)
    propose(git_repo, {PRODUCTION: stage_file(1)}, "Promote churn v1 to Production", "promote/1")
    merge(git_repo, "promote/1")
    return git_repo


def breaks(repo: Path, *, artifacts: bool = True) -> tuple[Break, ...]:
    """What does not hold."""
    return verify(Workspace.open(repo), artifacts=artifacts).breaks


def test_an_approved_history_holds(reviewed: Path) -> None:
    """One guarded change, one version in use, no break."""
    found = verify(Workspace.open(reviewed))
    assert ((), 1, 1) == (found.breaks, found.changes, found.versions)


def test_a_change_before_review_was_asked_for_is_judged_by_its_day(git_repo: Path) -> None:
    """Direct work stays as it was; what comes after needs approval."""
    make_versions(git_repo)
    write(git_repo, {PRODUCTION: stage_file(1)}, "Promote at once")
    write(git_repo, {"runstone.yaml": "promotion: review\n"}, "Review from now on")
    assert () == breaks(git_repo)
    commit = write(git_repo, {PRODUCTION: stage_file(2)}, "Promote at once again")
    expected = "1 approval is needed and none counts: it was pushed as it is, and nobody approved it"
    assert [
        Break("churn/1 Production → no stage", f"commit {commit[:7]}", expected),
        Break("churn/2 no stage → Production", f"commit {commit[:7]}", expected),
    ] == list(breaks(git_repo))


def test_a_self_approved_merge_is_named(reviewed: Path) -> None:
    """With commit and change."""
    propose(reviewed, {"registry/churn/aliases/champion.yaml": alias_file(2)}, "Point", "promote/2")
    commit = merge(reviewed, "promote/2", ANN)
    (found,) = breaks(reviewed)
    assert ("churn@champion nothing → 2", f"commit {commit[:7]}") == (found.what, found.where)
    assert found.why.endswith("Ann approved what is their own")


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"runstone.yaml": "promotion: direct\n"}, "policy of runstone.yaml"),
        ({"runstone.yaml": None}, "policy of runstone.yaml"),
        ({"runstone.yaml": "promotion: [\n"}, "policy of runstone.yaml"),
        ({"runstone.yaml": "promotion: review\nregistry: elsewhere\n"}, "policy of runstone.yaml"),
        ({"registry/policy.yaml": "schema: runstone/policy/v1\nchanges: {count: 0}\n"}, "policy"),
        ({"registry/churn/policy.yaml": "schema: runstone/policy/v1\nchanges: {count: 0}\n"}, "policy of churn"),
    ],
)
def test_turning_review_off_alone_is_named(reviewed: Path, files: dict[str, str | None], what: str) -> None:
    """Settings and policies are as guarded as what they guard."""
    commit = write(reviewed, files, "Sneak")
    git("checkout", "-q", "--detach", "HEAD~1", cwd=reviewed)  # the settings that we run with are not the point here
    assert (what, f"commit {commit[:7]}") in [(each.what, each.where) for each in breaks(reviewed)]


@pytest.mark.parametrize(("make", "what", "why"), FAULTS)
def test_what_no_approval_makes_right_is_named(reviewed: Path, make: Make, what: str, why: str) -> None:
    """Once, of the commit that brought it, although somebody else merged it; not again of those after it."""
    propose_fault(reviewed, make, "odd")
    commit = git("commit-tree", "-m", "Merge", "odd^{tree}", "-p", "main", "-p", "odd", cwd=reviewed, env=RAE)
    git("update-ref", "refs/heads/main", commit, cwd=reviewed)
    repo = Repository.open(reviewed)
    found = [each for each in verify(Workspace(repo), artifacts=False).breaks if not each.why.startswith("1 approval")]
    assert Break(what, f"commit {commit[:7]}", why) in found
    assert len({each.why for each in found}) == len(found)


def test_a_new_stage_that_comes_with_its_rule_is_none_too_few(git_repo: Path) -> None:
    """As where a registry begins: the policy that comes with it is heeded, too."""
    make_versions(git_repo)
    policy = "schema: runstone/policy/v1\nstages: {Live: {}}\n"
    write(git_repo, {"registry/policy.yaml": policy, "registry/churn/stages/Live.yaml": stage_file(1)}, "Begin")
    assert () == breaks(git_repo)


def test_a_registry_that_moves_is_judged_by_the_policy_where_it_was(git_repo: Path) -> None:
    """In the new folder no policy stood, so that all would be free there."""
    make_versions(git_repo)
    policy = "schema: runstone/policy/v1\nstages: {Production: {approvals: {count: 1}}}\n"
    write(git_repo, {"registry/policy.yaml": policy, PRODUCTION: stage_file(1)}, "Begin")
    git("mv", "registry", "reg2", cwd=git_repo)
    files: dict[str, str | None] = {
        "runstone.yaml": "registry: reg2\n",
        PRODUCTION.replace("registry", "reg2"): stage_file(2),
    }
    commit = write(git_repo, files, "Move")
    found = [(each.what, each.where) for each in breaks(git_repo)]
    assert ("policy of runstone.yaml", f"commit {commit[:7]}") in found
    assert ("churn/2 no stage → Production", f"commit {commit[:7]}") in found


def test_a_change_of_who_is_who_needs_approval(reviewed: Path) -> None:
    """As settings do, since it makes one of two; merged by somebody else it holds."""
    mailmap: dict[str, str | None] = {".mailmap": "<ann@example.org> <home@example.org>\n"}
    propose(reviewed, mailmap, "Map", "map")
    merge(reviewed, "map")
    assert () == breaks(reviewed)
    commit = write(reviewed, {".mailmap": None}, "Sneak")
    assert [("policy of .mailmap", f"commit {commit[:7]}")] == [(each.what, each.where) for each in breaks(reviewed)]


def test_a_policy_that_cannot_be_read_judges_nothing_as_right(reviewed: Path) -> None:
    """The commit after it is named."""
    propose(reviewed, {"registry/policy.yaml": "schema: runstone/policy/v1\nstages: 7\n"}, "Break", "promote/policy")
    merge(reviewed, "promote/policy")
    commit = write(reviewed, {PRODUCTION: stage_file(2)}, "Use the gap")
    (found,) = breaks(reviewed)
    assert ("policy", f"commit {commit[:7]}") == (found.what, found.where)
    assert "`stages` must be a map" in found.why


def test_other_commits_and_facts_are_nobodys_business(reviewed: Path) -> None:
    """Code, cards and descriptions need no approval."""
    files: dict[str, str | None] = {
        "train.py": "print(2)\n",
        "registry/churn/README.md": "# Card\n",
        "registry/churn/model.yaml": "schema: runstone/registered-model/v1\ndescription: x\n",
    }
    write(reviewed, files, "Work")
    assert () == breaks(reviewed)


def test_one_model_can_be_asked_for(reviewed: Path) -> None:
    """The breaks of others are not told then, those of settings are."""
    make_versions(reviewed, 1, "Ünder/score")
    key = encode_component("Ünder/score")
    write(reviewed, {f"registry/{key}/stages/Staging.yaml": stage_file(1)}, "Sneak")
    workspace = Workspace.open(reviewed)
    assert () == verify(workspace, "churn").breaks
    assert ["Ünder/score/1 no stage → Staging"] == [each.what for each in verify(workspace, key).breaks]


def test_a_tag_made_anew_is_named(reviewed: Path) -> None:
    """The proposal's commit says which tag object it moved."""
    tag = git("rev-parse", "refs/tags/churn@v2", cwd=reviewed)
    message = f"Promote churn v2 to Production\n\nModel: churn\nVersion: 2\nTag: {tag}"
    propose(reviewed, {PRODUCTION: stage_file(2)}, message, "promote/2")
    commit = merge(reviewed, "promote/2")
    assert () == breaks(reviewed)
    body = git("cat-file", "tag", "churn@v1", cwd=reviewed).partition("\n\n")[2]
    git("tag", "-f", "-a", "-m", body, "churn@v2", "churn@v1^{commit}", cwd=reviewed)
    now = git("rev-parse", "refs/tags/churn@v2", cwd=reviewed)
    (found,) = breaks(reviewed)
    why = f"it was {tag[:7]} when commit {commit[:7]} moved the version, and is {now[:7]}: it was made anew since"
    assert Break("churn/2", "git tag churn@v2", why) == found


@pytest.mark.parametrize("renamed", [False, True])
def test_a_tag_that_was_pushed_by_force_is_found_in_a_fresh_clone(tmp_path: Path, renamed: bool) -> None:
    """The commits that Runstone makes name the tags of what they move, also under a name that the model got later."""
    ann, rae, remote = setup(tmp_path)
    model = "churn"
    if renamed:
        model = "Churn 2"
        text = f"schema: runstone/registered-model/v1\nname: {model}\n"
        propose(ann, {"registry/churn/model.yaml": text}, "Rename", "rename")
        merge(ann, "rename")
        git("push", "-q", "origin", "main", cwd=ann)
    made = Client(ann).promote(model, 1, "Production")
    merge_proposal(Workspace.open(rae), made.plan.branch)
    body = git("cat-file", "tag", "churn@v2", cwd=ann).partition("\n\n")[2]
    was = git("rev-parse", "refs/tags/churn@v1", cwd=ann)
    git("tag", "-f", "-a", "-m", body, "churn@v1", "churn@v2^{commit}", cwd=ann)
    git("push", "-q", "--force", "origin", "refs/tags/churn@v1", cwd=ann)
    (found,) = breaks(clone(remote, "eve"), artifacts=False)
    assert ("churn/1", "git tag churn@v1") == (found.what, found.where)
    assert found.why.startswith(f"it was {was[:7]} when commit ")


def test_a_rollback_to_several_names_the_tag_of_each(git_repo: Path) -> None:
    """Each after the number of its version."""
    make_versions(git_repo, 3)
    write(git_repo, {PRODUCTION: stage_file(1, 2)}, "Promote")
    write(git_repo, {PRODUCTION: stage_file(3)}, "Promote")
    Client(git_repo).rollback("churn", "Production")
    tags = [git("rev-parse", f"refs/tags/churn@v{number}", cwd=git_repo) for number in (1, 2)]
    seals = [seal_row(git_repo, f"churn@v{number}") for number in (1, 2)]
    rows = f"Version: 1\nTag: {tags[0]}\n{seals[0]}Version: 2\nTag: {tags[1]}\n{seals[1]}"
    assert rows in git("log", "-1", "--format=%B", "main", cwd=git_repo)
    assert () == breaks(git_repo)
    git("update-ref", "refs/tags/churn@v2", tags[0], cwd=git_repo)
    assert "churn/2" in {each.what for each in breaks(git_repo, artifacts=False)}


@pytest.mark.parametrize("part", ["commit", "digest", "path"])
def test_a_version_that_is_not_what_was_asked_for_is_named(reviewed: Path, part: str) -> None:
    """The request that was reviewed says which commit, digest and path it should have."""
    asked = request_in(reviewed, "churn-run-1")
    path = "registry/churn/registrations/churn-run-1.yaml"
    propose(reviewed, {path: yaml.dump(asked.to_document())}, "Register", "register/1")
    merge(reviewed, "register/1")
    assert () == breaks(reviewed)
    other = {
        "commit": git("rev-parse", "churn@v2^{commit}", cwd=reviewed),
        "digest": f"md5:{'0' * 32}.dir",
        "path": "m",
    }
    changed: dict[str, Any] = {part: other[part]}
    wrong = replace(asked, **changed)
    propose(reviewed, {path: yaml.dump(wrong.to_document())}, "Register", "register/2")
    merge(reviewed, "register/2")
    (found,) = breaks(reviewed)
    assert ("churn/1", "git tag churn@v1") == (found.what, found.where)
    assert found.why.startswith(f"{path} asked for {part} ")


def test_a_long_history_is_verified_in_a_few_processes(git_repo: Path, tmp_path: Path) -> None:
    """A thousand merged proposals, one of them merged by who made it, which alone is named."""
    write(git_repo, {"runstone.yaml": "promotion: review\n"}, "Review")
    tip, stream = "refs/heads/main^0", []
    for number in range(1, 1001):
        text = f"schema: runstone/stage/v1\nversions: [{number // 100 + 1}]\n"
        body = f"M 100644 inline registry/m{number % 100}/stages/Production.yaml\ndata {len(text)}\n{text}\n"
        for mark, who, more in [(2 * number, "ann", ""), (2 * number + 1, "rae", f"merge :{2 * number}\n")]:
            mail = "ann@x.org" if number == 500 else f"{who}@x.org"
            person = f"{who} <{mail}> {1_700_000_000 + number} +0000"
            stream.append(f"commit refs/heads/big\nmark :{mark}\ncommitter {person}\n")
            stream.append(f"data 7\nPromote\nfrom {tip}\n{more}{body}")
        tip = f":{2 * number + 1}"
    run_git(["fast-import", "--quiet"], cwd=git_repo, input="".join(stream).encode())
    git("reset", "-q", "--hard", "big", cwd=git_repo)
    with watched_git(tmp_path / "trace") as commands:
        found = verify(Workspace.open(git_repo), artifacts=False)
    assert 1001 == found.commits
    assert ["m0/6 no stage → Production", "m0/5 Production → no stage"] == [each.what for each in found.breaks][::-1]
    assert 20 > len(commands), commands


def test_a_bypass_is_told_with_its_reason(reviewed: Path) -> None:
    """It breaks nothing by itself."""
    propose(reviewed, {PRODUCTION: stage_file(2)}, "Promote\n\nBypass: the gate is wrong, see 12", "promote/2")
    merge(reviewed, "promote/2")
    found = verify(Workspace.open(reviewed))
    assert ((), ["the gate is wrong, see 12"]) == (found.breaks, [each.reason for each in found.bypasses])
    assert isinstance(found.bypasses[0], Bypass)


def test_tampered_bytes_in_the_cache_are_named(reviewed: Path) -> None:
    """With the file's name among the artifacts."""
    cache = reviewed / ".git" / "runstone" / "cache"
    (weights,) = [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"churn-run-1"]
    weights.chmod(0o644)
    weights.write_bytes(b"evil-run-01")
    (found,) = breaks(reviewed)
    assert ("churn/1", "artifact model/sub/weights.bin") == (found.what, found.where)
    assert () == breaks(reviewed, artifacts=False)


@pytest.mark.parametrize("damage", ["plain", "renamed", "another run", "off the branch", "absent"])
def test_a_version_tag_that_is_not_what_it_says_is_named(reviewed: Path, damage: str) -> None:
    """Whoever made it so, and however."""
    body = git("cat-file", "tag", "churn@v1", cwd=reviewed).partition("\n\n")[2]
    commit = git("rev-parse", "churn@v1^{commit}", cwd=reviewed)
    other = git("cat-file", "tag", "churn@v2", cwd=reviewed).partition("\n\n")[2]
    match damage:
        case "plain":
            git("tag", "-f", "churn@v1", commit, cwd=reviewed)
            expected = "it must be an annotated tag that Runstone wrote, but is a plain one"
        case "renamed":
            git("update-ref", "refs/tags/churn@v1", "refs/tags/churn@v2", cwd=reviewed)
            expected = "it was made as 'churn@v2', and is another tag under this name"
        case "another run":
            git("tag", "-f", "-a", "-m", other, "churn@v1", commit, cwd=reviewed)
            expected = "the commit that its git tag is on has no such run"
        case "off the branch":
            tree = git("rev-parse", f"{commit}^{{tree}}", cwd=reviewed)
            forged = git("commit-tree", "-m", "Forge", tree, "-p", f"{commit}^2", cwd=reviewed)
            git("tag", "-f", "-a", "-m", body, "churn@v1", forged, cwd=reviewed)
            expected = "the commit is not on the branch `runs`, so its record may be anybody's"
        case _:
            git("update-ref", "-d", "refs/tags/churn@v1", cwd=reviewed)
            expected = "there is no such tag. Bring it: `runstone pull`"
    found = breaks(reviewed)
    assert {"churn/1"} == {each.what for each in found}
    assert any(expected in each.why for each in found), found


def test_a_snapshot_that_is_not_in_the_history_is_named(reviewed: Path) -> None:
    """The record names code that its commit does not hold."""
    commit = git("rev-parse", "churn@v1^{commit}", cwd=reviewed)
    record = git("ls-tree", "-r", "--name-only", commit, cwd=reviewed).split("\n")
    (path,) = [line for line in record if line.endswith("churn-run-1/run.yaml")]
    text = git("show", f"{commit}:{path}", cwd=reviewed)
    snapshot = git("rev-parse", f"{commit}^2", cwd=reviewed)
    stray = git("commit-tree", "-m", "Stray", git("rev-parse", f"{snapshot}^{{tree}}", cwd=reviewed), cwd=reviewed)
    git("checkout", "-q", "runs", cwd=reviewed)
    forged = write(reviewed, {path: text.replace(snapshot, stray) + "\n"}, "Forge")
    git("checkout", "-q", "main", cwd=reviewed)
    body = git("cat-file", "tag", "churn@v1", cwd=reviewed).partition("\n\n")[2]
    git("tag", "-f", "-a", "-m", body, "churn@v1", forged, cwd=reviewed)
    why = "the record names it, and the history of the record does not hold it"
    assert (f"code snapshot {stray[:7]}", why) in [(each.where, each.why) for each in breaks(reviewed)]


def test_a_shallow_clone_cannot_tell(reviewed: Path, tmp_path: Path) -> None:
    """It says so, and how to mend it; nothing is called broken."""
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth", "1", f"file://{reviewed}", clone, cwd=tmp_path)
    found = breaks(clone, artifacts=False)
    assert found
    assert not any(each.is_certain for each in found)
    assert "`git fetch --unshallow --tags`" in found[0].why


def test_verify_asks_no_network_and_changes_nothing(reviewed: Path) -> None:
    """The refs and the work tree are as they were."""
    before = git("for-each-ref", cwd=reviewed), git("status", "--porcelain", cwd=reviewed)
    git("remote", "add", "origin", "https://nowhere.invalid/x.git", cwd=reviewed)
    assert () == breaks(reviewed)
    assert before == (git("for-each-ref", cwd=reviewed), git("status", "--porcelain", cwd=reviewed))
    assert Repository.open(reviewed).head() == git("rev-parse", "HEAD", cwd=reviewed)
