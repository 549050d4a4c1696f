import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runstone.errors import CheckoutIncomplete
from runstone.projects.checkout import checkout
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.projects.support import record, rewrite_record
from tests.support import git


def dvc(*arguments: str, cwd: Path) -> None:
    """Run the real DVC."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr


def track(workspace: Workspace, pointer: str, path: str, data: bytes, **more: object) -> str:
    """Commit a pointer, its bytes in the cache alone; the digest."""
    digest = workspace.artifacts.cache.add_bytes(data)
    out = {"md5": digest, "size": len(data), "hash": "md5", "path": path, **more}
    commit_file(workspace, pointer, json.dumps({"outs": [out]}))
    return digest


def commit_file(workspace: Workspace, path: str, text: str) -> None:
    """Commit a file."""
    assert workspace.repo.work_tree is not None
    file = workspace.repo.work_tree / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    git("add", "-f", path, cwd=workspace.repo.work_tree)
    git("commit", "-q", "-m", path, cwd=workspace.repo.work_tree)


def record_input(workspace: Workspace, path: str | None, pointer: str, digest: str = "md5:" + "0" * 32) -> str:
    """An ended run whose record says that it read a file; its id."""
    run_id = record(workspace)
    dataset = {"name": "d", "digest": digest, "path": path, "dvc": pointer}
    _set_datasets(workspace, run_id, [{key: value for key, value in dataset.items() if value is not None}])
    return run_id


def _set_datasets(workspace: Workspace, run_id: str, datasets: list[dict[str, str]]) -> None:
    from runstone.git.runs.branch import Draft, update_runs
    from runstone.records import yaml
    from runstone.tracking.read import need_recorded

    file = f"{need_recorded(workspace, run_id).folder}/run.yaml"

    def change(draft: Draft) -> None:
        document = yaml.load(draft.read(file) or b"", file)
        draft.commit({file: yaml.dump({**document, "datasets": datasets})}, "Rewrite")

    update_runs(workspace.repo, change)


@pytest.mark.dvc
def test_what_a_run_read_is_placed_and_pulled_in_a_fresh_clone(
    project: Path, bare_remote: Path, tmp_path: Path
) -> None:
    """Files and folders that `dvc add` tracks come back as the run read them, though the data has changed since."""
    dvc("init", "-q", cwd=project)
    dvc("remote", "add", "-q", "--default", "storage", str(tmp_path / "storage"), cwd=project)
    (project / "data" / "parts").mkdir(parents=True)
    (project / "data" / "d.csv").write_text("a,b\n1,2\n")
    (project / "data" / "parts" / "é 1.txt").write_text("one\n")
    (project / "unread.bin").write_bytes(b"\0" * 100)
    dvc("add", "-q", "data/d.csv", "data/parts", "unread.bin", cwd=project)
    git("add", "-A", cwd=project)
    git("commit", "-q", "-m", "Data", cwd=project)
    workspace = Workspace.open(project)
    with start_run(workspace, ensure_experiment(workspace.repo, "Default"), name="past") as run:
        from runstone.tracking.dataset import from_file

        for name in ("d.csv", "parts"):
            run.log_dataset(from_file(workspace.repo, project / "data" / name))
    dvc("push", "-q", cwd=project)
    (project / "data" / "d.csv").write_text("a,b\n3,4\n")
    dvc("add", "-q", "data/d.csv", cwd=project)
    git("commit", "-q", "-am", "New data", cwd=project)
    git("push", "-q", bare_remote, "main", "runs", cwd=project)

    git("clone", "-q", bare_remote, tmp_path / "clone", cwd=tmp_path)
    made = checkout(Workspace.open(tmp_path / "clone"), "past")

    assert (("data/d.csv", "data/parts"), ()) == (made.inputs, made.warnings)
    assert "a,b\n1,2\n" == (made.path / "data" / "d.csv").read_text()
    assert "one\n" == (made.path / "data" / "parts" / "é 1.txt").read_text()
    assert not (made.path / "unread.bin").exists()
    assert "" == git("status", "--porcelain", cwd=made.path)
    whole = checkout(Workspace.open(tmp_path / "clone"), "past", tmp_path / "whole", data="all")
    assert {"data/d.csv", "data/parts", "unread.bin"} == set(whole.inputs)
    assert b"\0" * 100 == (whole.path / "unread.bin").read_bytes()


def test_the_pointer_in_the_snapshot_is_the_truth(workspace: Workspace) -> None:
    """A record that says another digest is reported, and the pointer's bytes are placed."""
    digest = track(workspace, "d.csv.dvc", "d.csv", b"true")
    run_id = record_input(workspace, "d.csv", "d.csv.dvc", "md5:" + "1" * 32)
    made = checkout(workspace, run_id)
    assert b"true" == (made.path / "d.csv").read_bytes()
    said = f"(md5:{digest}); the record of the run says md5:{'1' * 32}."
    assert [True] == [text.endswith(said) for text in made.warnings]


def test_what_git_tracks_is_never_overwritten(workspace: Workspace) -> None:
    """A path that the tree has itself stays as git has it, also through a link of the tree."""
    digest = track(workspace, "train.py.dvc", "train.py", b"other")
    track(workspace, "alias.dvc", "alias/run.sh", b"other")
    assert workspace.repo.work_tree is not None
    (workspace.repo.work_tree / "alias").symlink_to("src")
    git("add", "alias", cwd=workspace.repo.work_tree)
    git("commit", "-q", "-m", "Alias", cwd=workspace.repo.work_tree)
    record(workspace)
    made = checkout(workspace, "past", data="all")
    assert "print('trained')\n" == (made.path / "train.py").read_text()
    assert "#!/bin/sh\n" == (made.path / "src" / "run.sh").read_text()
    assert f"`train.py` was left as git has it; DVC's pointer names other bytes (md5:{digest})." in made.warnings
    assert (2, ()) == (len(made.warnings), made.inputs)


@pytest.mark.parametrize(
    "path",
    [
        "../out.txt",
        "/tmp/runstone-out.txt",
        "leads-out/x",
        "sub/../../x",
        ".git/hooks/x",
        ".runstone/x",
        "a\\..\\x",
        "",
    ],
)
def test_no_pointer_leads_out_of_the_checkout(workspace: Workspace, tmp_path: Path, path: str) -> None:
    """Climbing, absolute and reserved paths and links that lead out are left out, and named."""
    (tmp_path / "outside").mkdir()
    assert workspace.repo.work_tree is not None
    (workspace.repo.work_tree / "leads-out").symlink_to(tmp_path / "outside")
    git("add", "leads-out", cwd=workspace.repo.work_tree)
    track(workspace, "trap.dvc", path, b"evil")
    record(workspace)
    made = checkout(workspace, "past", data="all")
    assert (1, ()) == (len(made.warnings), made.inputs)
    files = [each for each in tmp_path.rglob("*") if each.is_file() and not each.is_symlink()]
    repo = workspace.repo.work_tree
    assert [] == [each for each in files if each.read_bytes() == b"evil" and not each.is_relative_to(repo / ".git")]


@pytest.mark.parametrize("pointer", ["../x.dvc", "/etc/passwd", "no.dvc", "link.dvc", "src", "--help"])
def test_a_record_cannot_make_other_files_a_pointer(workspace: Workspace, tmp_path: Path, pointer: str) -> None:
    """What is no file of the snapshot, or a link in it, is no pointer."""
    assert workspace.repo.work_tree is not None
    (workspace.repo.work_tree / "link.dvc").symlink_to("x.dvc")
    git("add", "link.dvc", cwd=workspace.repo.work_tree)
    track(workspace, "x.dvc", "x", b"x")
    made = checkout(workspace, record_input(workspace, "x", pointer))
    assert (1, ()) == (len(made.warnings), made.inputs)


def test_a_pointer_about_something_else_places_nothing(workspace: Workspace) -> None:
    """The record's path must be what the pointer stands for, or lie below it."""
    track(workspace, "x.dvc", "x", b"x")
    made = checkout(workspace, record_input(workspace, "y", "x.dvc"))
    assert ("The input 'd' was not placed: `x.dvc` is not about `y`.",) == made.warnings


def test_working_directories_modes_and_lock_files_count(workspace: Workspace) -> None:
    """`wdir` of a pointer and of a stage, `isexec`, and the outputs in `dvc.lock`."""
    cache = workspace.artifacts.cache
    digest = cache.add_bytes(b"program")
    commit_file(
        workspace,
        "deep/tool.dvc",
        json.dumps({"wdir": "bin", "outs": [{"md5": digest, "hash": "md5", "path": "tool", "isexec": True}]}),
    )
    commit_file(workspace, "pipe/dvc.yaml", json.dumps({"stages": {"fit": {"cmd": "x", "wdir": "w", "outs": ["m"]}}}))
    lock = {"schema": "2.0", "stages": {"fit": {"cmd": "x", "outs": [{"path": "m", "hash": "md5", "md5": digest}]}}}
    commit_file(workspace, "pipe/dvc.lock", json.dumps(lock))
    record(workspace)
    made = checkout(workspace, "past", data="all")
    assert {"deep/bin/tool", "pipe/w/m"} == set(made.inputs)
    assert 0o111 == (made.path / "deep" / "bin" / "tool").stat().st_mode & 0o111
    assert b"program" == (made.path / "pipe" / "w" / "m").read_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"outs": [{"md5": "9dd4e461268c8034f5c8564e155c67a6", "path": "x"}]}', "not name it by an MD5 of DVC 3"),
        ('{"outs": [{"etag": "1", "path": "x"}]}', "`dvc pull 'x.dvc'` in the checkout"),
        ('{"outs": [{"md5": "../../x", "hash": "md5", "path": "x"}]}', "passed over in part"),
        ("[", "The DVC pointer was passed over"),
    ],
)
def test_pointers_of_other_kinds_are_named(workspace: Workspace, text: str, words: str) -> None:
    """DVC 2, cloud versions and damage: the checkout is made without, and says what to do."""
    commit_file(workspace, "x.dvc", text)
    record(workspace)
    made = checkout(workspace, "past", data="all")
    assert [True] == [words in each for each in made.warnings]


def test_inputs_that_cannot_be_had_leave_nothing_behind(workspace: Workspace) -> None:
    """Neither in the cache nor on a remote: it says how to do without them."""
    track(workspace, "x.dvc", "x", b"x")
    run_id = record_input(workspace, "x", "x.dvc")
    shutil.rmtree(workspace.artifacts.cache.root)
    with pytest.raises(CheckoutIncomplete, match="`runstone checkout past --data none`"):
        checkout(workspace, run_id)
    assert workspace.repo.work_tree is not None
    assert [workspace.repo.work_tree] == [p for p in workspace.repo.work_tree.parent.iterdir() if "repo" in p.name]
    assert () == checkout(workspace, run_id, data="none").inputs


def test_a_record_without_its_snapshot_still_names_its_inputs(workspace: Workspace) -> None:
    """Where only the commit is left, its pointers are read."""
    track(workspace, "x.dvc", "x", b"x")
    run_id = record_input(workspace, "x", "x.dvc")
    rewrite_record(workspace, run_id, snapshot=None, dirty=True)
    assert ("x",) == checkout(workspace, run_id).inputs


def test_pointers_that_collide_are_told(workspace: Workspace) -> None:
    """Below a file of the tree, below another pointer's file, and through a link into our own folder."""
    assert workspace.repo.work_tree is not None
    (workspace.repo.work_tree / "ours").symlink_to(".runstone")
    git("add", "ours", cwd=workspace.repo.work_tree)
    for number, path in enumerate(["train.py/x", "out", "out/inner", "ours/artifacts/x", "a/b", "a"]):
        track(workspace, f"{number}.dvc", path, b"data")
    record(workspace)
    made = checkout(workspace, "past", data="all")
    assert ("out", "a/b") == made.inputs
    assert [
        "`train.py/x` was not placed: `train.py` is a file.",
        "`out/inner` was not placed: another DVC pointer of the tree stands for something in its place.",
        "`ours/artifacts/x` was not placed: it would lie among Runstone's own files.",
        "`a` was not placed: another DVC pointer of the tree stands for something in its place.",
    ] == list(made.warnings)
