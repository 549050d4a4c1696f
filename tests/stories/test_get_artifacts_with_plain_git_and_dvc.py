"""A colleague without Runstone gets the files of one run with git and DVC; one with Runstone asks for just that run."""

import subprocess
import sys
from pathlib import Path

import pytest

import runstone
from runstone.client import Client
from runstone.git.runs.branch import update_runs
from runstone.tracking.push import pull_runs, push_runs
from runstone.tracking.read import need_recorded
from tests.support import git


def dvc(*arguments: str, cwd: Path) -> None:
    """Run the real DVC."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr


@pytest.fixture
def origin(git_repo: Path, bare_remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs with files, their bytes in a folder that is the DVC remote, their branch on a git remote."""
    monkeypatch.chdir(git_repo)
    dvc("init", "-q", cwd=git_repo)
    dvc("remote", "add", "-q", "--default", "storage", str(tmp_path / "storage"), cwd=git_repo)
    (tmp_path / "out" / "sub").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "out" / "a b.bin").write_bytes(bytes([number]) * 100_000)
        (tmp_path / "out" / "sub" / "é.txt").write_text(f"run {number}\n")
        with runstone.start_run(run_id=f"run-{number}"):
            runstone.log_artifacts(tmp_path / "out", "files")
            runstone.log_metric("m", number)
    push_runs(Client().workspace, [f"run-{number}" for number in range(3)])
    git("push", "-q", bare_remote, "runs", "main", cwd=git_repo)
    return bare_remote


@pytest.mark.dvc
def test_plain_git_and_dvc_bring_one_run_byte_for_byte(origin: Path, git_repo: Path, tmp_path: Path) -> None:
    """A sparse clone of its folder and `dvc pull`, as the branch's own README says."""
    folder = need_recorded(Client(git_repo).workspace, "run-1").folder
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth", "1", "--sparse", "-b", "runs", f"file://{origin}", clone, cwd=tmp_path)
    git("sparse-checkout", "set", ".dvc", folder, cwd=clone)
    dvc("pull", "-q", cwd=clone)
    files = {
        p.relative_to(clone / folder / "artifacts").as_posix(): p.read_bytes()
        for p in (clone / folder).rglob("artifacts/**/*")
        if p.is_file()
    }
    assert {"files/a b.bin": b"\1" * 100_000, "files/sub/é.txt": b"run 1\n"} == files
    dvc("status", "-q", cwd=clone)
    assert "" == git("status", "--porcelain", cwd=clone)


@pytest.mark.dvc
def test_runstone_pulls_that_run_alone_however_many_there_are(origin: Path, git_repo: Path, tmp_path: Path) -> None:
    """With 2,000 more runs on the branch the same three objects are brought, and no other record is read."""
    clone = tmp_path / "clone"
    git("clone", "-q", "-b", "runs", origin, clone, cwd=tmp_path)
    client = Client(clone)
    recorded = need_recorded(client.workspace, "run-1")
    (pointer, record) = (recorded.files["artifacts.dvc"], git("show", f"HEAD:{recorded.folder}/run.yaml", cwd=clone))
    base = recorded.folder.rsplit("/", 2)[0]
    many = {}
    for number in range(2000):
        run_id = f"other-{number:04d}"
        many[f"{base}/{run_id[-2:]}/{run_id}/run.yaml"] = record.replace("run-1", run_id)
        many[f"{base}/{run_id[-2:]}/{run_id}/artifacts.dvc"] = pointer.decode().replace("md5: ", "md5: 0")
    update_runs(client.workspace.repo, lambda draft: draft.commit(many, "Many more"))
    read: list[str] = []
    blob = client.workspace.repo.objects.blob

    def counting(oid: str) -> bytes:
        read.append(oid)
        return blob(oid)

    client.workspace.repo.objects.blob = counting  # type: ignore[method-assign]  # it only counts
    assert 3 == pull_runs(client.workspace, ["run-1"]).count
    assert 10 > len(read)
    del client.workspace.repo.objects.blob
    copied = Path(client.download_artifacts("run-1"))
    assert b"\1" * 100_000 == (copied / "files" / "a b.bin").read_bytes()
    stored = list((client.workspace.artifacts.cache.root / "files" / "md5").glob("??/*"))
    assert 3 == len(stored)
