"""`runstone verify`: what it is told to verify is verified, whatever it is called by."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from tests.promotion.support import RAE, alias_file, make_versions, stage_file, write
from tests.support import git

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke


@pytest.fixture
def versions(git_repo: Path) -> Path:
    """Two versions of `churn`, the second in Production and the champion, and one of `team/score`, in Staging."""
    make_versions(git_repo)
    make_versions(git_repo, 1, "team/score")
    files: dict[str, str | None] = {
        "registry/churn/stages/Production.yaml": stage_file(2),
        "registry/churn/aliases/champion.yaml": alias_file(2),
        "registry/team%2Fscore/stages/Staging.yaml": stage_file(1),
    }
    write(git_repo, files, "Promote")
    return git_repo


@pytest.mark.parametrize(
    ("what", "count"),
    [
        (None, 2),
        ("churn", 2),
        ("churn/2", 1),
        ("churn@champion", 1),
        ("churn/Production", 1),
        ("team/score", 1),
        ("team/score/1", 1),
        ("team/score/Staging", 1),
    ],
)
def test_what_is_named_is_verified(versions: Path, invoke: "Invoke", what: str | None, count: int) -> None:
    """A model, one version by number, alias or stage, or all that are in use."""
    found = json.loads(invoke("verify", *([what] if what else []), "--json").stdout)
    assert ("pass", count) == (found["result"], found["versions"])


@pytest.mark.parametrize(
    "what", ["nope", "nope/1", "nope@champion", "churn/9", "churn@nope", "churn/Staging", "team/x"]
)
def test_what_is_not_there_is_an_error(versions: Path, invoke: "Invoke", what: str) -> None:
    """Nothing verified is not everything proved."""
    result = invoke("verify", what, code=1)
    assert "error: " in result.stderr
    assert "it all holds" not in result.stdout


@pytest.mark.parametrize("what", ["churn", "churn/2", "churn@champion", "churn/Production"])
def test_tampered_bytes_are_named_by_whatever_name(versions: Path, invoke: "Invoke", what: str) -> None:
    """The version and the file, with exit code 1; the other version still holds."""
    cache = versions / ".git" / "runstone" / "cache"
    (weights,) = [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"churn-run-2"]
    weights.chmod(0o644)
    weights.write_bytes(b"evil-run-02")
    shown = invoke("verify", what, code=1).stdout
    assert "broken  churn/2, artifact model/sub/weights.bin" in shown
    invoke("verify", "churn/1")


def test_changes_that_rest_on_notes_alone_are_counted(versions: Path, invoke: "Invoke") -> None:
    """They hold, and it is told by whose word."""
    write(versions, {"runstone.yaml": "promotion: review\n"}, "Review")
    write(versions, {"registry/churn/aliases/champion.yaml": alias_file(1)}, "Point churn@champion at v1")
    note = ApprovalNote("https://forge/x/1", "ann", approvals=(Approval("rae", "rae@example.org"),))
    git("notes", "--ref", "runstone", "add", "-m", yaml.dump(note.to_document()), cwd=versions, env=RAE)
    told = "note    1 guarded change of 1 approved by notes alone: by refs/notes/runstone, for which who may push it "
    assert f"{told}vouches" == invoke("verify").stdout.split("\n")[0]
    found = json.loads(invoke("verify", "--json").stdout)
    assert ("pass", 1) == (found["result"], found["approved_by_notes_alone"])
