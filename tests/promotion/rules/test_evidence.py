"""Attempts to be one's own approver, each refused: by a merge, a trailer, a `.mailmap`, a forge's button, no name."""

from pathlib import Path

import pytest

from runstone.errors import ProposalRefused
from runstone.git.repository import Repository
from runstone.promotion.proposals.merge import merge_proposal
from runstone.promotion.rules.approvals import Evidence, collect, lacking
from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from runstone.records.policy import Approvals
from runstone.registry.people import NOTES_REF
from runstone.tracking.workspace import Workspace
from tests.promotion.proposing import clone, promote, setup
from tests.promotion.support import ANN, RAE, merge, person, propose, stage_file, write
from tests.support import git

ONE, TWO = Approvals(count=1), Approvals(count=2)
BOSS = Approvals(count=1, by=("boss@example.org",))
MAL, ZOE = person("Mal"), person("Zoe")
BUTTON = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"}
PRODUCTION = "registry/churn/stages/Production.yaml"


def evidence(repo: Path, commit: str = "HEAD") -> Evidence:
    """What a commit of `main` is worth."""
    return collect(Repository.open(repo), git("rev-parse", commit, cwd=repo))


def why(repo: Path, approvals: Approvals = ONE) -> str:
    """Why the newest commit is not approved."""
    (sentence,) = lacking(approvals, evidence(repo))
    return sentence


def note(repo: Path, author: str, merged_by: str | None, *approvals: Approval, head: str | None = None) -> None:
    """Note on the newest commit what a forge knew."""
    known = ApprovalNote("https://x.org/pull/7", author, merged_by=merged_by, head=head, approvals=approvals)
    git("notes", f"--ref={NOTES_REF}", "add", "-f", "-m", yaml.dump(known.to_document()), "HEAD", cwd=repo)


def side(repo: Path, who: dict[str, str] = MAL, files: dict[str, str | None] | None = None) -> str:
    """A branch with one commit of somebody."""
    return propose(repo, files or {PRODUCTION: stage_file(2)}, "Promote", "side", who)


@pytest.mark.parametrize(
    "path", [PRODUCTION, "registry/policy.yaml", "registry/churn/policy.yaml", "runstone.yaml", ".mailmap"]
)
def test_who_adds_to_a_merge_is_an_author_of_it(git_repo: Path, path: str) -> None:
    """Whatever the commits that it brings are: facts and what guards them are theirs."""
    side(git_repo, ANN, {"code.py": "1\n"})
    git("merge", "-q", "--no-ff", "--no-commit", "side", cwd=git_repo, env=MAL)
    write(git_repo, {path: "branch: trials\n" if path == "runstone.yaml" else "x\n"}, "Merge", MAL)
    assert evidence(git_repo).is_merge
    assert "Mal approved what is their own" in why(git_repo)


def test_who_takes_from_a_merge_is_an_author_of_it(git_repo: Path) -> None:
    """A merge that keeps one side's file of two changes, or drops one, is no mechanical one."""
    side(git_repo, ANN, {PRODUCTION: stage_file(2), "registry/churn/stages/Staging.yaml": stage_file(3)})
    git("merge", "-q", "--no-ff", "--no-commit", "side", cwd=git_repo, env=MAL)
    git("rm", "-q", "-f", "registry/churn/stages/Staging.yaml", cwd=git_repo)
    write(git_repo, {"code.py": "1\n"}, "Merge", MAL)
    assert "Mal approved what is their own" in why(git_repo)


def test_a_merge_that_git_makes_by_itself_makes_no_author(git_repo: Path) -> None:
    """Also where the branch moved on meanwhile, both changed one file in different lines, or code was mended in it."""
    lines = [f"  s{n}: {{}}\n" for n in range(12)]
    write(git_repo, {"registry/policy.yaml": "".join(lines)}, "Policy")
    side(git_repo, ANN, {"registry/policy.yaml": "".join(["# a\n", *lines]), PRODUCTION: stage_file(2)})
    write(git_repo, {"registry/policy.yaml": "".join([*lines, "# b\n"]), "registry/x/README.md": "x"}, "Move on")
    git("merge", "-q", "--no-ff", "--no-commit", "side", cwd=git_repo, env=RAE)
    write(git_repo, {"code.py": "1\n"}, "Merge", RAE)
    assert [] == lacking(ONE, evidence(git_repo))


def test_a_merge_inside_a_proposal_that_adds_something_has_an_author(git_repo: Path) -> None:
    """It may bring the default branch up, and nothing else."""
    side(git_repo, ANN, {"code.py": "1\n"})
    write(git_repo, {"other.py": "1\n"}, "Move on")
    git("checkout", "-q", "side", cwd=git_repo)
    git("merge", "-q", "--no-ff", "--no-commit", "main", cwd=git_repo, env=MAL)
    write(git_repo, {PRODUCTION: stage_file(2)}, "Merge main", MAL)
    git("checkout", "-q", "main", cwd=git_repo)
    merge(git_repo, "side", MAL)
    assert "Mal approved what is their own" in why(git_repo)


def test_an_octopus_is_no_approval(git_repo: Path) -> None:
    """Of a merge of three nobody asks what it should be."""
    for name in ("one", "two"):
        propose(git_repo, {f"registry/{name}/stages/Production.yaml": stage_file(1)}, "Promote", name, ANN)
    git("merge", "-q", "--no-ff", "-m", "Merge", "one", "two", cwd=git_repo, env=RAE)
    assert "Rae approved what is their own" in why(git_repo)


def test_who_committed_in_the_name_of_another_is_an_author(git_repo: Path) -> None:
    """`git commit --author` hides nobody, in a merge or in a plain commit."""
    posed = {**MAL, "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org"}
    write(git_repo, {PRODUCTION: stage_file(1)}, "Push\n\nReviewed-by: Zoe <zoe@example.org>", posed)
    assert "it was pushed as it is, and nobody approved it" in why(git_repo)
    side(git_repo, posed)
    merge(git_repo, "side", MAL)
    assert "Mal approved what is their own" in why(git_repo)


def test_trailers_are_the_word_of_a_reviewer_and_no_more(git_repo: Path) -> None:
    """They make nobody an approver: whoever merges could type any name. They are told where they stand below all."""
    said = "Approved-by: Boss <boss@example.org>"
    side(git_repo)
    merge(git_repo, "side", RAE, f"Merge it\n\n{said}")
    for rule in (TWO, BOSS, Approvals(count=1, signed=True)):
        assert "that Boss approved is the word of who merged it alone" in why(git_repo, rule)
    for message in (f"Merge it\n\n{said}\n\nThe end", f"Merge it\n\n{said}\nwhich is text", said):
        git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
        merge(git_repo, "side", RAE, message)
        assert "1 counts: nobody else approved it" in why(git_repo, TWO)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    merge(git_repo, "side", RAE | BUTTON, f"Merge pull request #7 from mal/side\n\n{said}")
    assert "1 counts" in why(git_repo, TWO), "what a forge writes holds the title that the author gave"


def test_the_subject_of_a_proposal_is_no_trailer_of_its_merge(tmp_path: Path) -> None:
    """Nor a line of its own."""
    ann, rae, remote = setup(tmp_path)
    branch = promote(ann, 1, stage="Production").plan.branch
    body = git("log", "-1", "--format=%b", branch, cwd=ann)
    git("checkout", "-q", branch, cwd=ann)
    git("commit", "-q", "--amend", "-m", f"Approved-by: Boss <b@x.org>\n\n{body}", cwd=ann)
    git("push", "-q", "-f", "origin", branch, cwd=ann)
    merge_proposal(Workspace.open(rae), branch)
    message = git("log", "-1", "--format=%B", "main", cwd=remote)
    assert "\n\nIt says: Approved-by: Boss <b@x.org>\n\nApproved-by: Rae <rae@example.org>" in message
    git("pull", "-q", "origin", "main", cwd=rae)
    assert ["rae@example.org"] == sorted({each.person.mail for each in evidence(rae).approvers})


@pytest.mark.parametrize("first", [False, True])
def test_a_mailmap_makes_nobody_an_approver(git_repo: Path, first: bool) -> None:
    """Not that of the proposal, and not one that was pushed before it: it joins authors, and names nobody else."""
    home = {**MAL, "GIT_AUTHOR_EMAIL": "home@x.org", "GIT_COMMITTER_EMAIL": "home@x.org"}
    mailmap = "<boss@example.org> <home@x.org>\nSomebody <somebody@example.org> mal <mal@example.org>\n"
    if first:
        write(git_repo, {".mailmap": mailmap}, "Map", MAL)
    side(git_repo, MAL, {PRODUCTION: stage_file(2), **({} if first else {".mailmap": mailmap})})
    merge(git_repo, "side", home)
    assert "is not among those whose approval counts" in why(git_repo, BOSS)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    merge(git_repo, "side", MAL | {"GIT_COMMITTER_NAME": "Malcolm"})
    assert "approved what is their own" in why(git_repo)


def test_one_person_counts_once_by_account_and_by_address(git_repo: Path) -> None:
    """Who approved on a forge and pressed the button said one yes; with another's there are two."""
    head = side(git_repo)
    merge(git_repo, "side", RAE | BUTTON)
    note(git_repo, "mal", "rae", Approval("rae", commit=head), head=head)
    assert "2 approvals are needed and 1 counts" in why(git_repo, TWO)
    note(git_repo, "mal", "rae", Approval("lee", commit=head), head=head)
    assert [] == lacking(TWO, evidence(git_repo))
    note(git_repo, "mal", None, Approval("lee", commit=head), head=head)
    assert "of some an address is known and of others an account alone, who may be the same" in why(git_repo, TWO)
    assert [] == lacking(ONE, evidence(git_repo))


def test_a_hidden_address_is_an_account(git_repo: Path) -> None:
    """With a note it is told by account who merged; without one, an address and an account may be one person."""
    hidden = {"GIT_AUTHOR_NAME": "Mal", "GIT_AUTHOR_EMAIL": "12+mal@users.noreply.github.com"}
    head = side(git_repo)
    merge(git_repo, "side", MAL | BUTTON | hidden)
    assert "whether Mal merged their own work cannot be told from an address that a forge hides" in why(git_repo)
    note(git_repo, "mal", "mal", head=head)
    assert "mal approved what is their own" in why(git_repo)
    note(git_repo, "mal", "rae", head=head)
    assert [] != lacking(ONE, evidence(git_repo)), "the button is that of mal's address, whatever else is told"
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    merge(git_repo, "side", RAE | BUTTON | {"GIT_AUTHOR_EMAIL": "7+rae@users.noreply.github.com"})
    note(git_repo, "mal", "rae", head=head)
    assert [] == lacking(ONE, evidence(git_repo))


def test_an_approval_of_an_older_head_is_none_of_new_settings(git_repo: Path) -> None:
    """The facts may be the same; what guards them is not."""
    write(git_repo, {"runstone.yaml": "promotion: review\n"}, "Settings", ANN)
    early = side(git_repo)
    for path in ("runstone.yaml", ".mailmap", "registry/churn/policy.yaml"):
        git("checkout", "-q", "side", cwd=git_repo)
        late = write(git_repo, {path: "# x\n"}, "More", MAL)
        git("checkout", "-q", "main", cwd=git_repo)
        merge(git_repo, "side", MAL)
        note(git_repo, "mal", "mal", Approval("boss", "boss@example.org", commit=early), head=late)
        assert f"boss approved {early[:7]}, and {late[:7]} was merged" in why(git_repo)
        git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
        git("branch", "-f", "side", early, cwd=git_repo)


def test_nobody_is_neither_an_author_nor_an_approver(git_repo: Path) -> None:
    """Where git knows no name, all commits are of one address, which tells nothing of who made them."""
    nobody = {key: "Runstone" if key.endswith("NAME") else "runstone@localhost" for key in ANN}
    side(git_repo)
    merge(git_repo, "side", nobody)
    assert "who merged it is not known: git knew no name and mail there" in why(git_repo)
    git("reset", "-q", "--hard", "HEAD~1", cwd=git_repo)
    git("branch", "-D", "side", "-q", cwd=git_repo)
    side(git_repo, nobody)
    merge(git_repo, "side", MAL)
    assert "who proposed it is not known: git knew no name and mail there" in why(git_repo)


def test_a_merge_by_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that says who one is."""
    ann, _, remote = setup(tmp_path)
    promote(ann, 1, stage="Production")
    eve = clone(remote, "eve")
    for key in ("user.name", "user.email"):
        git("config", "--unset", key, cwd=eve)
    for key in (*ANN, "EMAIL"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    with pytest.raises(ProposalRefused, match=r"`git config user.name NAME && git config user.email YOU@example.org`"):
        merge_proposal(Workspace.open(eve), "churn")
