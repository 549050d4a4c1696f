"""Proposals that change what they are judged by: settings, links in place of files, the mailmap, merge bases."""

from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.promotion.ci.check import Check, check, write_report
from runstone.promotion.ci.context import find_context
from runstone.tracking.workspace import Workspace
from tests.promotion.faults import FAULTS, Make, propose_fault
from tests.promotion.support import ANN, make_versions, stage_file, write
from tests.support import git

pytestmark = pytest.mark.ci

STRICT = "schema: runstone/policy/v1\nstages:\n  Production: {gates: [{tags: [checked]}], approvals: {count: 2}}\n"
PRODUCTION = "registry/churn/stages/Production.yaml"


@pytest.fixture
def registry(git_repo: Path) -> Path:
    """Version 1 in Production, a gate before that, and a proposal's branch checked out, as in a job of CI."""
    make_versions(git_repo)
    files: dict[str, str | None] = {
        PRODUCTION: stage_file(1),
        "registry/policy.yaml": STRICT,
        "runstone.yaml": "promotion: review\n",
    }
    write(git_repo, files, "Begin the registry")
    git("checkout", "-q", "-b", "proposal", cwd=git_repo)
    return git_repo


def checked(repo: Path, base: str = "main") -> Check:
    """HEAD, checked against a branch."""
    workspace = Workspace(Repository.open(repo))
    found = check(workspace, find_context(workspace.repo, base=base, environ={}))
    shown = write_report(workspace, found)
    assert all(each.path in shown for each in found.findings if each.kind == "judged-by")
    workspace.repo.close()
    return found


def told(found: Check) -> list[tuple[str, str]]:
    """The files that errors are told of, and how each begins."""
    return [(each.path, each.message[:40]) for each in found.findings if each.level == "error"]


def test_a_registry_that_moves_hides_nothing(registry: Path) -> None:
    """What changes below the folder of the base is judged, and a way back is no way in."""
    moved = {"runstone.yaml": "promotion: review\nregistry: reg2\n", PRODUCTION: stage_file(2)}
    head = write(registry, dict(moved), "Move")
    found = checked(registry)
    assert found.judgement is not None
    assert ["StageChange", "StageChange", "PolicyChange"] == [type(e.change).__name__ for e in found.judgement.judged]
    assert [("runstone.yaml", "`runstone.yaml` moves the registry from ")] == told(found)
    git("branch", "-f", "main", head, cwd=registry)
    write(registry, {"runstone.yaml": "promotion: review\n"}, "Back")
    assert [("runstone.yaml", "`runstone.yaml` moves the registry from ")] == told(checked(registry))


def link(repo: Path, path: str) -> None:
    """Put a link in place of a file or a folder, to where it has moved."""
    (repo / path).rename(repo / "elsewhere")
    (repo / path).symlink_to(repo / "elsewhere")
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "Link", cwd=repo, env=ANN)


@pytest.mark.parametrize("path", ["runstone.yaml", "registry", "registry/churn", PRODUCTION])
def test_links_are_told(registry: Path, path: str) -> None:
    """Of the settings, of the registry, of a folder and of a file in it."""
    link(registry, path)
    found = checked(registry)
    assert "fail" == found.result
    assert path in [each.path for each in found.findings if each.kind == "file-unreadable"]
    assert found.judgement is not None
    assert any(problem.startswith(f"`{path}` is a link") for problem in found.judgement.problems)


@pytest.mark.parametrize(("make", "what", "why"), FAULTS)
def test_what_no_approval_makes_right_does_not_pass(registry: Path, make: Make, what: str, why: str) -> None:
    """What the guard refuses and verification names."""
    del what
    policy: dict[str, str | None] = {"registry/policy.yaml": STRICT.replace("stages:", "stages:\n  Staging: {}")}
    git("branch", "-f", "main", write(registry, policy, "Staging, too"), cwd=registry)
    propose_fault(registry, make, "odd")
    git("checkout", "-q", "-f", "odd", cwd=registry)
    found = checked(registry)
    assert "fail" == found.result
    assert found.judgement is not None
    said = [*found.judgement.problems, *(each for j in found.judgement.judged for each in j.problems)]
    begin = why.split(" ")[0] if "is no stage" in why or "`" in why else "churn v1 would be in 2 stages at once"
    assert any(each.startswith(begin) for each in said), said


def test_a_submodule_is_told(registry: Path) -> None:
    """Where a stage's file should be."""
    head = git("rev-parse", "HEAD", cwd=registry)
    path = "registry/churn/stages/Staging.yaml"
    git("update-index", "--add", "--cacheinfo", f"160000,{head},{path}", cwd=registry)
    git("commit", "-q", "-m", "A submodule", cwd=registry, env=ANN)
    assert [(path, "is a link, a submodule or no folder, so ")] == told(checked(registry))


def test_who_is_who_is_changed_on_its_own(registry: Path) -> None:
    """Else a proposal makes its author somebody else; by itself it is told, and in the report of the job."""
    write(registry, {".mailmap": "Ann <ann@example.org> <rae@example.org>\n"}, "A map")
    alone = checked(registry)
    assert ("pass", [("warning", ".mailmap")]) == (alone.result, [(e.level, e.path) for e in alone.findings])
    write(registry, {PRODUCTION: None}, "And a change")
    both = checked(registry)
    assert "fail" == both.result
    assert any(each.message.startswith("`.mailmap` is changed, too") for each in both.findings)


def test_several_merge_bases(registry: Path) -> None:
    """What git would make of it is judged, not the difference to one base that happens to agree."""
    git("checkout", "-q", "main", cwd=registry)
    write(registry, {PRODUCTION: stage_file(2)}, "v2")
    git("checkout", "-q", "-B", "proposal", cwd=registry)
    git("checkout", "-q", "main", cwd=registry)
    back = write(registry, {PRODUCTION: stage_file(1)}, "v2 is bad")
    git("checkout", "-q", "proposal", cwd=registry)
    first = write(registry, {"a.txt": "a\n"}, "Innocent")
    git("checkout", "-q", "main", cwd=registry)
    git("merge", "-q", "--no-ff", "-m", "Merge", "proposal", cwd=registry, env=ANN)
    git("checkout", "-q", "proposal", cwd=registry)
    git("merge", "-q", "--no-commit", "--no-ff", back, cwd=registry, env=ANN)
    git("checkout", "-q", first, "--", "registry", cwd=registry)
    git("commit", "-q", "-m", "Bring main into it", cwd=registry, env=ANN)
    assert 2 == len(git("merge-base", "--all", "main", "proposal", cwd=registry).split())
    found = checked(registry)
    assert found.judgement is not None
    real = git("merge-tree", "--write-tree", "main", "proposal", cwd=registry)
    expected = git("rev-parse", f"{real}:{PRODUCTION}", cwd=registry)
    assert expected == git("rev-parse", f"{found.merged}:{PRODUCTION}", cwd=registry)
    assert "fail" == found.result


def test_a_forged_version_enters_nothing(registry: Path) -> None:
    """Its git tag claims a run, and names the digest of another model."""
    text = git("cat-file", "tag", "churn@v2", cwd=registry).partition("\n\n")[2]
    digest = next(line for line in text.splitlines() if line.startswith("digest:"))
    other = git("cat-file", "tag", "churn@v1", cwd=registry)
    forged = next(line for line in other.splitlines() if line.startswith("digest:"))
    assert digest != forged
    git("tag", "-a", "-m", text.replace(digest, forged).strip(), "churn@v3", "churn@v2^{commit}", cwd=registry)
    write(registry, {PRODUCTION: stage_file(3)}, "Promote v3")
    assert (PRODUCTION, "The git tag `churn@v3` is not what its r") in told(checked(registry))
