"""Who proposed, who approved, and whether it is enough: read from real merges."""

from dataclasses import replace
from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.promotion.rules.approvals import collect, lacking, matches, needed
from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from runstone.records.model_file import ModelFile
from runstone.records.policy import Approvals
from runstone.registry.changes import AliasChange, ModelChange, PolicyChange, RegistrationChange, StageChange
from runstone.registry.history.entry import Approver
from runstone.registry.people import NOTES_REF, Person
from tests.support import git, sign_with_key

ANN = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org"}
ANN |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org"}
RAE = {"GIT_AUTHOR_NAME": "Rae", "GIT_AUTHOR_EMAIL": "rae@example.org"}
RAE |= {"GIT_COMMITTER_NAME": "Rae", "GIT_COMMITTER_EMAIL": "rae@example.org"}
FORGE = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"}
ONE, TWO = Approvals(count=1), Approvals(count=2)
STAGE = StageChange("churn", "churn", 4, "Staging", "Production")


def write(repo: Path, files: dict[str, str], message: str, who: dict[str, str] = ANN) -> str:
    """Commit files as somebody."""
    for path, text in files.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(text)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", message, cwd=repo, env=who)
    return git("rev-parse", "HEAD", cwd=repo)


def propose(repo: Path, text: str = "versions: [4]\n", branch: str = "promote/churn") -> str:
    """A branch of Ann's with one change of a stage; `main` stays checked out."""
    git("checkout", "-q", "-b", branch, cwd=repo)
    head = write(repo, {"registry/churn/stages/Production.yaml": f"schema: runstone/stage/v1\n{text}"}, "Promote")
    git("checkout", "-q", "main", cwd=repo)
    return head


def merge(repo: Path, who: dict[str, str], message: str = "Merge it", branch: str = "promote/churn") -> str:
    """Merge a branch into `main` as somebody."""
    git("merge", "-q", "--no-ff", "-m", message, branch, cwd=repo, env=who)
    return git("rev-parse", "HEAD", cwd=repo)


def note(repo: Path, commit: str, approvals: list[Approval], head: str | None = None, author: str = "ann-gh") -> None:
    """Note on a commit what a forge knew."""
    document = ApprovalNote(
        "https://x.org/pull/7", author, "ann@example.org", "ann-gh", head, tuple(approvals)
    ).to_document()
    (repo / "note").write_text(yaml.dump(document))
    git("notes", f"--ref={NOTES_REF}", "add", "-f", "-F", "note", commit, cwd=repo)
    (repo / "note").unlink()


def test_whoever_merges_the_work_of_another_approves_it(git_repo: Path) -> None:
    """The committer of the merge is the approver, the author of the branch the one who proposed."""
    propose(git_repo)
    evidence = collect(Repository.open(git_repo), merge(git_repo, RAE))
    assert (Person("Ann", "ann@example.org"),) == evidence.authors
    assert (Approver(Person("Rae", "rae@example.org"), "merge"),) == evidence.approvers
    assert [] == lacking(ONE, evidence)


def test_merging_ones_own_work_is_no_approval(git_repo: Path) -> None:
    """Unless the policy says that the author's counts."""
    propose(git_repo)
    evidence = collect(Repository.open(git_repo), merge(git_repo, ANN))
    assert ["1 approval is needed and none counts: Ann approved what is their own"] == lacking(ONE, evidence)
    assert [] == lacking(Approvals(count=1, by_author=True), evidence)


def test_a_push_without_a_merge_has_no_approval(git_repo: Path) -> None:
    """It says so."""
    commit = write(git_repo, {"registry/churn/stages/Production.yaml": "x"}, "Push", ANN)
    evidence = collect(Repository.open(git_repo), commit)
    expected = "1 approval is needed and none counts: it was pushed as it is, and nobody approved it"
    assert [expected] == lacking(ONE, evidence)


def test_a_trailer_makes_nobody_an_approver(git_repo: Path) -> None:
    """Whoever merges can type any name: what a trailer says is their own word, unless the policy takes that."""
    propose(git_repo)
    said = "Merge it\n\nReviewed-by: Zoe <zoe@example.org>"
    evidence = collect(Repository.open(git_repo), merge(git_repo, RAE, said))
    assert ["rae@example.org", "zoe@example.org"] == sorted(each.person.mail for each in evidence.approvers)
    assert [] == lacking(Approvals(count=1), evidence)
    why = "2 approvals are needed and 1 counts: that Zoe approved is the word of who merged it alone"
    assert [why] == lacking(Approvals(count=2), evidence)
    assert [] == lacking(Approvals(count=2, trailers=True), evidence)
    by_zoe = Approvals(count=1, by=("zoe@example.org",))
    assert [] == lacking(replace(by_zoe, trailers=True), evidence)
    assert lacking(by_zoe, evidence)
    assert lacking(Approvals(count=2, signed=True, trailers=True), evidence)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    own = collect(Repository.open(git_repo), merge(git_repo, ANN, said))
    expected = (
        "1 approval is needed and none counts: Ann approved what is their own; "
        "its Approved-by and Reviewed-by lines are the author's own word"
    )
    assert [expected] == lacking(ONE, own)
    assert [expected] == lacking(Approvals(count=1, trailers=True), own)


def test_a_button_on_a_forge_is_pressed_by_the_author_of_the_merge(git_repo: Path) -> None:
    """The forge itself is nobody who could approve."""
    propose(git_repo)
    pressed = collect(Repository.open(git_repo), merge(git_repo, RAE | FORGE))
    assert Person("Rae", "rae@example.org") == pressed.merger
    assert [] == lacking(ONE, pressed)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    own = collect(Repository.open(git_repo), merge(git_repo, ANN | FORGE))
    assert ["1 approval is needed and none counts: Ann approved what is their own"] == lacking(ONE, own)
    message = "Squash (#7)\n\nReviewed-by: Rae <rae@example.org>"
    squashed = write(git_repo, {"registry/churn/stages/Staging.yaml": "x"}, message, ANN | FORGE)
    evidence = collect(Repository.open(git_repo), squashed)
    assert None is evidence.merger
    assert lacking(ONE, evidence)


def test_a_note_of_the_forge_counts_for_the_head_that_was_merged(git_repo: Path) -> None:
    """An approval of an earlier head counts only if that would have changed the same facts."""
    early = propose(git_repo)
    git("checkout", "-q", "promote/churn", cwd=git_repo)
    same = write(git_repo, {"code.py": "1\n"}, "Code")
    git("checkout", "-q", "main", cwd=git_repo)
    commit = merge(git_repo, ANN)
    note(git_repo, commit, [Approval("rae", "Rae@example.org", commit=early)], head=same)
    evidence = collect(Repository.open(git_repo), commit)
    assert "https://x.org/pull/7" == evidence.request
    assert [] == lacking(ONE, evidence)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    git("checkout", "-q", "promote/churn", cwd=git_repo)
    late = write(
        git_repo, {"registry/churn/stages/Production.yaml": "schema: runstone/stage/v1\nversions: [5]\n"}, "Five"
    )
    git("checkout", "-q", "main", cwd=git_repo)
    commit = merge(git_repo, ANN)
    note(git_repo, commit, [Approval("rae", "rae@example.org", commit=early)], head=late)
    (sentence,) = lacking(ONE, collect(Repository.open(git_repo), commit))
    assert f"rae approved {early[:7]}, and {late[:7]} was merged" in sentence


def test_the_authors_account_on_the_forge_is_the_author(git_repo: Path) -> None:
    """Also where the forge tells no mail address of it."""
    propose(git_repo)
    commit = merge(git_repo, ANN)
    note(git_repo, commit, [Approval("ann-gh")])
    (sentence,) = lacking(ONE, collect(Repository.open(git_repo), commit))
    assert "ann-gh approved what is their own" in sentence


def test_a_note_of_another_kind_counts_for_nothing(git_repo: Path) -> None:
    """People may keep notes of their own there."""
    propose(git_repo)
    commit = merge(git_repo, ANN)
    git("notes", f"--ref={NOTES_REF}", "add", "-m", "approvals: [", commit, cwd=git_repo)
    assert None is collect(Repository.open(git_repo), commit).request


def test_only_those_count_whom_the_policy_names(git_repo: Path) -> None:
    """By address, by pattern, or by account for a note."""
    propose(git_repo)
    evidence = collect(Repository.open(git_repo), merge(git_repo, RAE))
    assert [] == lacking(Approvals(count=1, by=("*@Example.org",)), evidence)
    (sentence,) = lacking(Approvals(count=1, by=("zoe@example.org", "@zoe")), evidence)
    assert "Rae is not among those whose approval counts (zoe@example.org, @zoe)" in sentence
    assert matches("RAE@example.org", ["rae@*"])
    assert not matches("rae@example.org.evil.net", ["*@example.org"])


def test_one_person_with_two_addresses_is_one(git_repo: Path) -> None:
    """`.mailmap` of the commit says so, and not that of the work tree."""
    write(git_repo, {".mailmap": "Ann <ann@example.org> <rae@example.org>\n"}, "Map")
    propose(git_repo)
    commit = merge(git_repo, RAE)
    (git_repo / ".mailmap").write_text("")
    evidence = collect(Repository.open(git_repo), commit)
    assert ["1 approval is needed and none counts: Ann approved what is their own"] == lacking(ONE, evidence)


def test_signatures_are_asked_of_git(git_repo: Path, tmp_path: Path) -> None:
    """A good signature of the merger counts; none, and one of somebody else, do not."""
    sign_with_key(git_repo, "rae@example.org", tmp_path)
    propose(git_repo)
    git("merge", "-q", "--no-ff", "-S", "-m", "Merge it", "promote/churn", cwd=git_repo, env=RAE)
    signed = collect(Repository.open(git_repo), git("rev-parse", "HEAD", cwd=git_repo))
    assert [] == lacking(Approvals(count=1, signed=True), signed)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    plain = collect(Repository.open(git_repo), merge(git_repo, RAE))
    expected = "1 approval is needed and none counts: the approval of Rae has no good signature"
    assert [expected] == lacking(Approvals(count=1, signed=True), plain)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    zoe = {key: value.replace("rae", "zoe").replace("Rae", "Zoe") for key, value in RAE.items()}
    git("merge", "-q", "--no-ff", "-S", "-m", "Merge it", "promote/churn", cwd=git_repo, env=zoe)
    other = collect(Repository.open(git_repo), git("rev-parse", "HEAD", cwd=git_repo))
    assert lacking(Approvals(count=1, signed=True), other)


@pytest.mark.parametrize(("mode", "count"), [("direct", 0), ("review", 1)])
def test_without_a_policy_the_mode_says_what_is_needed(git_repo: Path, mode: str, count: int) -> None:
    """Under `review` every stage, alias, policy and registration needs one; other facts none."""
    base = write(git_repo, {"runstone.yaml": f"promotion: {mode}\n"}, "Settings")
    repo = Repository.open(git_repo)
    for change in (STAGE, AliasChange("churn", "churn", "champion", None, 4), PolicyChange("", "", None, "b" * 40)):
        assert (Approvals(count=1),) * count == needed(repo, base, change)
    assert () == needed(repo, base, ModelChange("churn", "churn", None, ModelFile(description="New")))
    assert () == needed(repo, base, RegistrationChange("churn", "churn", "abc", None, None))
    assert () == needed(repo, None, STAGE)


def test_both_rules_of_two_stages(git_repo: Path) -> None:
    """A version that leaves Production is as guarded as one that enters it."""
    policy = """\
schema: runstone/policy/v1
stages:
  Staging: {}
  Production: {approvals: {count: 2}}
  QA: {approvals: {count: 1, by: [boss@example.org]}}
  Archived: {approvals: {count: 0}}
aliases:
  champion: {approvals: {count: 3, signed: true}}
"""
    boss = Approvals(count=1, by=("boss@example.org",))
    base = write(git_repo, {"registry/policy.yaml": policy}, "Policy")
    repo = Repository.open(git_repo)
    for before, after, expected in [
        ("Staging", "Production", (TWO,)),
        ("Production", "Archived", (TWO,)),
        ("production", "QA", (TWO, boss)),
        ("None", "Staging", ()),
    ]:
        assert set(expected) == set(needed(repo, base, StageChange("churn", "churn", 4, before, after)))
    champion = Approvals(count=3, signed=True)
    for alias in ("champion", "Champion"):
        assert (champion,) == needed(repo, base, AliasChange("churn", "churn", alias, 1, 2))
    assert () == needed(repo, base, AliasChange("churn", "churn", "other", 1, 2))
    for all_of_them in (PolicyChange("", "", None, None), ModelChange("churn", "churn", None, None)):
        assert {TWO, boss, champion} == set(needed(repo, base, all_of_them)), "as guarded as what it guards"
    named = ModelFile(name="other")
    assert needed(repo, base, ModelChange("churn", "other", None, named))
    assert needed(repo, base, ModelChange("churn", "churn", named, ModelFile()))
    assert () == needed(repo, base, ModelChange("churn", "other", named, ModelFile(name="other", description="New")))
