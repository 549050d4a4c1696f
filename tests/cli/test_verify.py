"""`runstone verify`: what it is told to verify is verified, whatever it is called by."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from tests.cli.support import run_cli
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


@pytest.fixture
def shared(versions: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The same, with the bytes on a DVC remote, and a fresh clone that has none of them."""
    store, remote = tmp_path / "store", tmp_path / "remote.git"
    (versions / ".dvc").mkdir()
    (versions / ".dvc" / "config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {store}\n")
    git("add", ".dvc/config", cwd=versions)
    git("commit", "-q", "-m", "Store", cwd=versions)
    git("init", "-q", "--bare", "-b", "main", remote, cwd=tmp_path)
    git("remote", "add", "origin", remote, cwd=versions)
    git("push", "-q", "origin", "main", cwd=versions)
    assert 0 == run_cli("sync", cwd=versions).returncode
    git("clone", "-q", remote, tmp_path / "clone", cwd=tmp_path)
    return store, tmp_path / "clone"


@pytest.mark.dvc
def test_bytes_that_were_not_read_are_not_said_to_hold(shared: tuple[Path, Path]) -> None:
    """A fresh clone knows digests alone; `--deep` reads what is on the remote, and finds what was tampered with."""
    store, clone = shared
    told = "it all holds: 0 guarded changes in 1 commit, 2 versions "
    unread = f"{told}to their digests; the bytes of 2 were not read: --deep\n"
    assert unread == run_cli("verify", cwd=clone).stdout
    assert f"{told}down to the bytes\n" == run_cli("verify", "--deep", cwd=clone).stdout
    found = json.loads(run_cli("verify", "--json", cwd=clone).stdout)
    assert ["churn/2", "team/score/1"] == found["versions_not_read"]
    (weights,) = [path for path in store.rglob("*") if path.is_file() and path.read_bytes() == b"churn-run-2"]
    weights.chmod(0o644)
    weights.write_bytes(b"evil-run-02")
    assert unread == run_cli("verify", cwd=clone).stdout
    done = run_cli("verify", "--deep", cwd=clone)
    assert (1, True) == (done.returncode, done.stdout.startswith("broken  churn/2, artifact model"))
    assert "\n1 break: " in done.stdout


@pytest.mark.dvc
@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_a_remote_that_is_away_cannot_tell(shared: tuple[Path, Path], options: list[str]) -> None:
    """Whether its folder was moved away or there is no history here: exit code 2, and no break is counted."""
    store, clone = shared
    store.rename(store.parent / "moved")
    done = run_cli("verify", *options, cwd=clone)
    assert (2, []) == (done.returncode, [row for row in done.stdout.split("\n") if row.startswith("broken")])
    assert "\n2 unclear: " in done.stdout


@pytest.mark.dvc
@pytest.mark.parametrize("is_local", [False, True])
def test_a_clone_of_depth_one_cannot_tell(shared: tuple[Path, Path], is_local: bool) -> None:
    """No tag, no run, no history: all of it is unclear, and nothing is broken."""
    _, clone = shared
    remote = clone.parent / "remote.git"
    git("clone", "-q", "--depth", "1", remote if is_local else remote.as_uri(), clone.parent / "flat", cwd=clone.parent)
    done = run_cli("verify", cwd=clone.parent / "flat")
    assert (2, []) == (done.returncode, [row for row in done.stdout.split("\n") if row.startswith("broken")])
    assert "unclear: " in done.stdout
    assert "break" not in done.stdout


def test_what_came_before_is_trusted_since_a_commit_or_a_date(versions: Path, invoke: "Invoke") -> None:
    """A push past review is left out once it was looked at; a later one that tells of an earlier day is not."""
    when = {"GIT_COMMITTER_DATE": "2026-01-10T12:00:00Z"}
    write(versions, {"runstone.yaml": "promotion: review\n"}, "Review", {**RAE, **when})
    sneaked = write(versions, {"registry/churn/aliases/champion.yaml": alias_file(1)}, "Sneak", {**RAE, **when})
    assert "\n1 break: " in invoke("verify", code=1).stdout
    for since in (sneaked, sneaked[:10]):
        shown = invoke("verify", "--since", since).stdout
        assert shown.startswith(f"it all holds: 0 guarded changes in 0 commits after {sneaked[:7]}, 3 versions ")
    assert "fail" == json.loads(invoke("verify", "--since", f"{sneaked}~1", "--json", code=1).stdout)["result"]
    write(versions, {"train.py": "print()\n"}, "Go on", {**RAE, "GIT_COMMITTER_DATE": "2031-03-01T12:00:00Z"})
    write(versions, {"registry/churn/aliases/champion.yaml": alias_file(2)}, "Sneak again", {**RAE, **when})
    shown = invoke("verify", "--since", "2031-02-01", code=1).stdout
    assert ("churn@champion 1 → 2" in shown, "churn@champion 2 → 1" in shown) == (True, False)
    why = "'nope' is neither a commit of the registry's branch nor a date such as 2026-05-31."
    assert why in invoke("verify", "--since", "nope", code=2).stderr
    git("checkout", "-q", "-b", "side", "HEAD~1", cwd=versions)
    side = write(versions, {"x": "1"}, "Side")
    git("checkout", "-q", "main", cwd=versions)
    invoke("verify", "--since", side, code=2)
