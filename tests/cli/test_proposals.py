"""`runstone proposals …` as people type it."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.promotion.proposing import clone, setup
from tests.promotion.support import make_versions, propose, stage_file, write
from tests.support import git

Invoke = Callable[..., Result]

BRANCH = "promote/churn-v1-production"


@pytest.fixture
def proposal(invoke: Invoke, git_repo: Path) -> str:
    """A proposal of a repository with no remote, in direct mode."""
    make_versions(git_repo, 2)
    invoke("promote", "churn", "1", "--stage", "Production", "--propose")
    return BRANCH


def test_list_show_and_diff(invoke: Invoke, proposal: str) -> None:
    """What it changes, as a table, as a report, as facts and as lines."""
    listed = invoke("proposals", "list").stdout
    assert [BRANCH, "churn", "v1:", "None", "→", "Production"] == listed.splitlines()[1].split()[:6]
    shown = invoke("proposals", "show", "churn").stdout
    assert "change    churn v1: None → Production\n" in shown
    assert "author    Kim Example <kim@example.org>\n" in shown
    assert "says      Promote churn v1 to Production\n" in shown
    assert "state     open\n" in shown
    assert "churn" in shown.partition("\n\n")[2]
    assert "churn v1: None → Production\n" == invoke("proposals", "diff", "churn").stdout
    assert "+versions: [1]\n" in invoke("proposals", "diff", "churn", "--text").stdout


def test_reads_as_json(invoke: Invoke, proposal: str, git_repo: Path) -> None:
    """The same facts for programs."""
    (listed,) = json.loads(invoke("proposals", "list", "--json").stdout)
    assert (BRANCH, "open", True, None) == (listed["name"], listed["state"], listed["local"], listed["remote"])
    assert ["1"] == listed["trailers"]["version"]
    shown = json.loads(invoke("proposals", "show", "churn", "--json").stdout)
    assert git("rev-parse", BRANCH, cwd=git_repo) == shown["commit"]
    assert "Production" in shown["report"]
    (change,) = json.loads(invoke("proposals", "diff", "churn", "--json").stdout)
    assert ("stage", 1, "None", "Production") == tuple(change[key] for key in ("kind", "version", "before", "after"))


def test_merge_refresh_and_close(invoke: Invoke, tmp_path: Path) -> None:
    """The reviewer's yes; the conflict of the second one, and its mending; a third is closed."""
    ann, rae, remote = setup(tmp_path)
    for version in "12":
        invoke("promote", "churn", version, "--stage", "Production", repo=ann)
    own = invoke("proposals", "merge", "churn-v1", repo=ann, code=1).stderr
    assert "1 approval is needed and none counts: Ann approved what is their own" in own
    merged = invoke("proposals", "merge", "churn-v1", repo=rae)
    assert "merged into origin/main: churn v1: None → Production\n" == merged.stdout
    refused = invoke("proposals", "merge", "churn-v2", repo=rae, code=1).stderr
    assert "registry/churn/stages/Production.yaml: origin/main has v1, the proposal v2" in refused
    assert "proposed: Promote churn v2 to Production" in invoke("proposals", "refresh", "churn-v2", repo=ann).stdout
    done = json.loads(invoke("proposals", "merge", "churn-v2", "--json", repo=rae).stdout)
    assert ("merged", git("rev-parse", "main", cwd=remote), []) == (done["done"], done["commit"], done["remarks"])
    assert "There are no open proposals.\n" == invoke("proposals", "list", repo=rae).stderr
    invoke("demote", "churn", "1", repo=ann)
    closed = invoke("proposals", "close", "churn", repo=rae)
    assert "closed demote/churn-v1-production: churn v1: Production → None\n" == closed.stdout
    assert "" == git("branch", "--list", "demote/*", cwd=remote)


def test_what_a_proposal_changes_is_told_whatever_its_author_says(invoke: Invoke, git_repo: Path) -> None:
    """The list reads the files; what comes along beside the registry is named; `show` has the author's words, too."""
    make_versions(git_repo, 2)
    files = {"registry/churn/stages/Production.yaml": stage_file(2), "train.py": "evil\n"}
    propose(git_repo, dict(files), "Fix a typo\n\nProposal: promote\nModel: churn", "promote/churn-v1-staging")
    expected = ["churn v2: None → Production", "files beside the registry: train.py"]
    (listed,) = json.loads(invoke("proposals", "list", "--json").stdout)
    assert (expected, "Fix a typo") == (listed["change"], listed["subject"])
    row = invoke("proposals", "list").stdout.splitlines()[1]
    assert ("; ".join(expected) in row, "typo" in row) == (True, False)
    assert expected == invoke("proposals", "diff", "churn").stdout.splitlines()
    assert "says      Fix a typo\n" in invoke("proposals", "show", "churn").stdout
    closed = json.loads(invoke("proposals", "close", "churn", "--json").stdout)
    assert ("closed", [], expected) == (closed["done"], closed["remarks"], closed["change"])


def test_what_others_called_a_branch_is_never_a_command(invoke: Invoke, git_repo: Path) -> None:
    """The next step that is told can be pasted, whatever a branch is called."""
    make_versions(git_repo, 1)
    branch = "promote/a';reboot;'"
    propose(git_repo, {"registry/churn/stages/Staging.yaml": stage_file(1)}, "A", branch)
    told = [line for line in invoke("proposals", "show", "reboot").stderr.splitlines() if "merge" in line]
    assert ["Merge it: `runstone proposals merge 'promote/a'\"'\"';reboot;'\"'\"''`"] == told
    words = shlex.split(told[0].partition("`")[2].rstrip("`"))
    assert ["runstone", "proposals", "merge", branch] == words


def test_rename_and_delete_are_proposed_under_review(invoke: Invoke, tmp_path: Path) -> None:
    """As a promotion is: the branch, the next step, exit code 0; merged, the deletion says what is left to do."""
    ann, rae, _ = setup(tmp_path)
    done = invoke("models", "rename", "churn", "leavers", "--message", "As the business says", repo=ann)
    assert ["proposed: Rename churn to leavers", "rename/churn-leavers"] == done.stdout.splitlines()[:2]
    assert "See the report: `runstone proposals show 'rename/churn-leavers'`" in done.stderr
    assert "churn: renamed to leavers" in invoke("proposals", "list", repo=rae).stdout
    assert "renamed to leavers" in invoke("proposals", "show", "leavers", repo=rae).stdout
    assert (
        "merged into origin/main: churn: renamed to leavers\n"
        == invoke("proposals", "merge", "leavers", repo=rae).stdout
    )
    asked = json.loads(invoke("models", "delete", "leavers", "--yes", "--json", repo=rae).stdout)
    assert ("proposed", "remove", "remove/churn") == (asked["done"], asked["kind"], asked["branch"])
    merged = invoke("proposals", "merge", "leavers", repo=ann)
    assert "merged into origin/main: leavers: model.yaml removed\n" == merged.stdout
    assert "The versions of churn are still there. Retire them: `runstone models delete 'churn'`\n" == merged.stderr
    assert "deleted churn\n" == invoke("models", "delete", "churn", "--yes", repo=ann).stdout


def test_what_others_wrote_cannot_draw_on_the_screen(invoke: Invoke, git_repo: Path) -> None:
    """Control characters of a branch's commit are shown as escapes, in every view of it."""
    git("checkout", "-q", "-b", "promote/evil", cwd=git_repo)
    (git_repo / "a.txt").write_text("\x1b]0;owned\x07\n")
    git("add", "a.txt", cwd=git_repo)
    git("commit", "-q", "-m", "Evil\x1b[2J\n\nProposal: promote\nModel: \x1b[31m", cwd=git_repo)
    git("checkout", "-q", "main", cwd=git_repo)
    for words in (["list"], ["show", "evil"], ["diff", "evil"], ["diff", "evil", "--text"], ["list", "--json"]):
        result = invoke("proposals", *words)
        assert "\x1b" not in result.stdout + result.stderr
        assert "\x07" not in result.stdout
    assert "cannot be made anew" in invoke("proposals", "refresh", "evil", code=1).stderr


TWO = "schema: runstone/policy/v1\nstages:\n  Production: {approvals: {count: 2}}\n"


def test_approve_and_who_did(invoke: Invoke, tmp_path: Path) -> None:
    """Before the merge: the list, the page and JSON tell who; the step is that of whoever looks; then Ann is tidied."""
    ann, rae, remote = setup(tmp_path, {"registry/policy.yaml": TWO})
    invoke("promote", "churn", "1", "--stage", "Production", "--message", "Better on all\nsegments", repo=ann)
    bob = clone(remote, "bob")
    own = invoke("proposals", "show", "churn", repo=ann).stderr
    assert f"It is yours: somebody else approves it, `runstone proposals approve {BRANCH!r}`, or merges it." in own
    done = invoke("proposals", "approve", "churn", "-m", "Fine", repo=bob)
    assert "approved: churn v1: None → Production\n" == done.stdout
    assert "2 approvals are needed and 1 counts: nobody else approved it. Whoever merges it approves it" in done.stderr
    assert "approved already" in invoke("proposals", "approve", "churn", repo=bob).stdout
    assert "Ann     Bob " in invoke("proposals", "list", repo=rae).stdout
    shown = invoke("proposals", "show", "churn", repo=rae)
    assert "approved  Bob\n" in shown.stdout
    assert "<!--" not in shown.stdout
    assert "<details>" not in shown.stdout
    assert f"merge it: `runstone proposals merge {BRANCH!r}`" in shown.stderr
    (listed,) = json.loads(invoke("proposals", "list", "--json", repo=rae).stdout)
    assert ["bob@example.org"] == [each["mail"] for each in listed["approved"]]
    invoke("proposals", "merge", "churn", repo=rae)
    tidied = invoke("proposals", "list", repo=ann)
    assert f"Removed here, as they were merged: {BRANCH}" in tidied.stderr
    assert "" == git("branch", "--list", "promote/*", cwd=ann)
    git("pull", "-q", cwd=ann)
    (told,) = [
        each for each in json.loads(invoke("models", "history", "churn", "--json", repo=ann).stdout) if each["to"]
    ]
    assert "Better on all segments" == told["why"]
    assert ["Bob <bob@example.org> (review)", "Rae <rae@example.org> (merge)"] == sorted(told["approved_by"])


def test_a_proposal_that_cannot_pass_is_not_offered_for_merging(invoke: Invoke, tmp_path: Path) -> None:
    """Gates fail: what to do is to close it; set aside by whom the policy lets, the headline says so."""
    gates = "gates: [{metric: {name: auc, at_least: 0.9}}]"
    policy = f"schema: runstone/policy/v1\nstages:\n  Production:\n    {gates}\n    bypass: [ann@example.org]\n"
    ann, rae, _ = setup(tmp_path, {"registry/policy.yaml": policy})
    invoke("promote", "churn", "1", "--stage", "Production", repo=ann)
    shown = invoke("proposals", "show", "churn", repo=rae)
    assert f"As it is, it cannot be merged: see above. Close it: `runstone proposals close {BRANCH!r}`" in shown.stderr
    assert "Files and gates: fail." in shown.stdout
    invoke("promote", "churn", "1", "--stage", "Production", "--bypass", "On fire", repo=ann)
    assert "Files and gates: pass, with gates set aside." in invoke("proposals", "show", "churn", repo=rae).stdout


def test_a_failing_gate_offers_only_what_the_policy_lets(invoke: Invoke, git_repo: Path) -> None:
    """Where nobody may set gates aside, `--bypass` is no way out."""
    make_versions(git_repo, 1)
    gates = "gates: [{metric: {name: auc, at_least: 0.9}}]"
    write(git_repo, {"registry/policy.yaml": f"schema: runstone/policy/v1\nstages: {{Production: {{{gates}}}}}\n"}, "P")
    said = invoke("promote", "churn", "1", "--stage", "Production", code=1).stderr
    assert "The policy lets nobody set gates aside" in said
    assert "--bypass" not in said


def test_edits_are_proposed_where_the_branch_is_protected(invoke: Invoke, tmp_path: Path) -> None:
    """Descriptions, owners, cards and files, each by one option or command; what is made later is pushed by refresh."""
    ann, rae, remote = setup(tmp_path)
    before = git("rev-parse", "main", cwd=ann)
    said = invoke("models", "describe", "churn", "Who leaves", "--propose", "-m", "Asked for", repo=ann).stdout
    assert said.startswith("proposed: Describe churn\nedit/churn-")
    assert "proposed: Create the model late" in invoke("models", "create", "late", "--propose", repo=ann).stdout
    assert before == git("rev-parse", "main", cwd=ann)
    plain = invoke("models", "owners", "churn", "kim@example.org", repo=ann).stderr
    assert "Where `main` takes no pushes from you, have such an edit reviewed: the same with `--propose`" in plain
    git("reset", "-q", "--hard", "origin/main", cwd=ann)
    (ann / "runstone.yaml").write_text("promotion: direct\n")
    invoke("proposals", "open", str(ann / "runstone.yaml"), "--no-push", repo=ann)
    assert "proposed: Change runstone.yaml" in invoke("proposals", "refresh", "edit/rules", repo=ann).stdout
    assert "proposed already" in invoke("proposals", "refresh", "edit/rules", repo=ann).stdout
    assert "merged into origin/main" in invoke("proposals", "merge", "late", repo=rae).stdout
    assert "registry/late/model.yaml" in git("ls-tree", "-r", "--name-only", "main", cwd=remote)


def test_a_remote_that_keeps_branches_is_no_failure(invoke: Invoke, tmp_path: Path) -> None:
    """One line that says why the branch is still there."""
    ann, rae, remote = setup(tmp_path)
    invoke("promote", "churn", "1", "--stage", "Production", repo=ann)
    git("config", "receive.denyDeletes", "true", cwd=remote)
    said = invoke("proposals", "merge", "churn", repo=rae).stderr
    assert f"`origin` keeps the branch `{BRANCH}`, which is of no more use: deletion prohibited" in said
    assert "\\n" not in said
