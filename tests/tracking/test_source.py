import json
import os
import re
import sys
from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.records.run import Source
from runstone.tracking.script import OUTSIDE, find_outside
from runstone.tracking.secrets import Redactor, SecretRedacted
from runstone.tracking.source import SnapshotIncomplete, SourceCapture, SourceUnknown, remote_url
from tests.support import git, make_repository, run_python


def capture(folder: Path, *command: str) -> Source:
    """The source of a run in a folder of a repository."""
    repo = Repository.open(folder)
    try:
        return SourceCapture(repo, cwd=folder, command=command).result()
    finally:
        repo.close()


def head(folder: Path) -> str:
    """The commit that is checked out."""
    return git("rev-parse", "HEAD", cwd=folder)


def test_a_clean_tree_is_its_own_snapshot(git_repo: Path) -> None:
    """Commit, branch and cleanliness are HEAD's, and the snapshot is HEAD."""
    expected = Source(("python", "train.py"), ".", head(git_repo), "main", head(git_repo), False, None)
    assert expected == capture(git_repo, "python", "train.py")


@pytest.mark.parametrize("change", ["edit", "stage", "delete", "untracked", "untracked folder"])
def test_any_difference_from_head_is_dirty(git_repo: Path, change: str) -> None:
    """Tracked edits, staged or not, and files neither tracked nor ignored count; the snapshot is a commit on HEAD."""
    match change:
        case "edit":
            (git_repo / "train.py").write_text("print('edited')\n")
        case "stage":
            (git_repo / "train.py").write_text("print('edited')\n")
            git("add", "-A", cwd=git_repo)
        case "delete":
            (git_repo / "train.py").unlink()
        case "untracked":
            (git_repo / "new file").touch()
        case _:
            (git_repo / "d").mkdir()
            (git_repo / "d" / "new").touch()
    source = capture(git_repo)
    assert (True, head(git_repo)) == (source.dirty, source.commit)
    assert head(git_repo) == git("rev-parse", f"{source.snapshot}^", cwd=git_repo)


def test_ignored_files_are_clean_whatever_the_users_settings(git_repo: Path) -> None:
    """Ignored files do not count, and `status.showUntrackedFiles=no` does not hide those that do."""
    (git_repo / ".git" / "info" / "exclude").write_text("*.log\n")
    (git_repo / "x.log").touch()
    git("config", "status.showUntrackedFiles", "no", cwd=git_repo)
    assert capture(git_repo).dirty is False
    (git_repo / "x.txt").touch()
    assert capture(git_repo).dirty is True


def test_asking_does_not_touch_the_index(git_repo: Path) -> None:
    """A stale stat cache is seen through, not refreshed: the index keeps its bytes and its time."""
    index = git_repo / ".git" / "index"
    os.utime(git_repo / "train.py", (1, 1))
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    assert capture(git_repo).dirty is False
    assert before == (index.read_bytes(), index.stat().st_mtime_ns)


def test_no_commit_yet(empty_repo: Path) -> None:
    """Before the first commit there is a branch but no commit, and an empty tree is clean."""
    source = capture(empty_repo)
    assert (None, "main", False) == (source.commit, source.branch, source.dirty)
    (empty_repo / "a").touch()
    assert capture(empty_repo).dirty is True


def test_a_detached_head_has_no_branch(git_repo: Path) -> None:
    """As in most CI jobs."""
    git("checkout", "-q", "--detach", cwd=git_repo)
    assert (head(git_repo), None) == (capture(git_repo).commit, capture(git_repo).branch)


def test_a_branch_name_with_slash_and_unicode(git_repo: Path) -> None:
    """The branch is recorded as git names it."""
    git("checkout", "-q", "-b", "feature/größe", cwd=git_repo)
    assert "feature/größe" == capture(git_repo).branch


def test_a_shallow_clone(git_repo: Path, tmp_path: Path) -> None:
    """A depth-1 clone knows its commit; its remote, a local folder, is not recorded."""
    git("commit", "-q", "--allow-empty", "-m", "Second", cwd=git_repo)
    git("clone", "-q", "--depth", "1", git_repo.as_uri(), "clone", cwd=tmp_path)
    source = capture(tmp_path / "clone")
    assert (head(git_repo), "main", False, None) == (source.commit, source.branch, source.dirty, source.remote)


def test_a_linked_work_tree(git_repo: Path, tmp_path: Path) -> None:
    """A linked work tree has a branch and a cleanliness of its own."""
    git("worktree", "add", "-q", "-b", "side", tmp_path / "side", cwd=git_repo)
    (git_repo / "dirty").touch()
    assert ("side", False, ".") == (
        capture(tmp_path / "side").branch,
        capture(tmp_path / "side").dirty,
        capture(tmp_path / "side").directory,
    )


def test_a_submodule_and_its_super_project(git_repo: Path, tmp_path: Path) -> None:
    """Inside a submodule its own commit counts; an edit inside makes the super-project dirty, whatever its settings."""
    library = make_repository(tmp_path / "library")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib", cwd=git_repo)
    git("config", "-f", ".gitmodules", "submodule.lib.ignore", "all", cwd=git_repo)
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Add a submodule", cwd=git_repo)
    assert (head(library), ".") == (capture(git_repo / "lib").commit, capture(git_repo / "lib").directory)
    assert capture(git_repo).dirty is False
    (git_repo / "lib" / "train.py").write_text("changed\n")
    with pytest.warns(SnapshotIncomplete, match="lib: it is a submodule with edits inside"):
        assert capture(git_repo).dirty is True


def test_a_bare_repository_has_no_code(bare_remote: Path) -> None:
    """Without a work tree only the command is known."""
    assert Source(command=("python", "-c", "1")) == capture(bare_remote, "python", "-c", "1")


def test_a_run_outside_git_code(tmp_path: Path) -> None:
    """With no repository nothing is claimed about code, and no path leaks."""
    source = SourceCapture(cwd=tmp_path, command=["python", str(tmp_path / "t.py")]).result()
    assert Source(command=("python", "t.py")) == source


def test_variables_of_a_hook_do_not_reach_git(git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_DIR and GIT_INDEX_FILE, as git sets them for hooks, do not turn the question to another repository."""
    other = make_repository(tmp_path / "other")
    git("commit", "-q", "--allow-empty", "-m", "Other", cwd=other)
    expected = head(git_repo)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert (expected, False) == (capture(git_repo).commit, capture(git_repo).dirty)


def test_a_broken_repository_is_told_and_does_not_stop_the_run(git_repo: Path) -> None:
    """When git fails the run keeps command and directory, and a warning shows git's words."""
    (git_repo / ".git" / "index").write_bytes(b"garbage garbage garbage garbage")
    with pytest.warns(SourceUnknown, match="recorded without its commit and branch: `git .*index"):
        source = capture(git_repo, "python")
    assert Source(("python",), ".") == source


def test_the_state_is_that_of_the_start(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change of directory, or a commit after git answered, does not change the source."""
    monkeypatch.chdir(git_repo)
    began = SourceCapture(Repository.open(git_repo))
    first = began.result()
    monkeypatch.chdir("/")
    git("commit", "-q", "--allow-empty", "-m", "Later", cwd=git_repo)
    assert first == began.result()
    assert "." == first.directory


def test_a_secret_in_the_command_is_redacted(git_repo: Path) -> None:
    """It is redacted before paths are shortened, so that a secret with slashes leaves nothing behind."""
    with pytest.warns(SecretRedacted):
        source = capture(git_repo, "python", "t.py", "--password", "/a/b", "--db=postgres://kim:p%2Fw@db/x")
    assert ("python", "t.py", "--password", "[redacted]", "--db=postgres://kim:[redacted]@db/x") == source.command


@pytest.mark.parametrize(
    ("remotes", "expected"),
    [
        ({}, None),
        ({"origin": "https://kim:pw@host/team/churn.git"}, "https://host/team/churn.git"),
        ({"origin": "git@host:team/x.git", "fork": "https://host/y.git"}, "git@host:team/x.git"),
        ({"upstream": "https://host/y.git"}, "https://host/y.git"),
        ({"a": "https://host/a.git", "b": "https://host/b.git"}, None),
        ({"origin": "/srv/git/x.git"}, None),
        ({"origin": "file:///srv/git/x.git"}, None),
        ({"origin": "C:\\git\\x.git"}, None),
        ({"a.b": "https://host/x.git"}, "https://host/x.git"),
    ],
)
def test_which_remote_is_recorded(remotes: dict[str, str], expected: str | None) -> None:
    """Origin's URL, else that of the only remote; without credentials, and never a path of this machine."""
    config = {f"remote.{name}.url": url for name, url in remotes.items()} | {"remote.pushdefault": "origin"}
    assert expected == remote_url(config, Redactor())


def test_no_absolute_path_enters_a_source(git_repo: Path) -> None:
    """A real script, started by its absolute path from a folder of the repository, is recorded relative to that."""
    inner = git_repo / "jobs"
    inner.mkdir()
    script = inner / "job.py"
    script.write_text(
        "import json, sys\n"
        "from runstone.git.repository import Repository\n"
        "from runstone.tracking.source import SourceCapture\n"
        "source = SourceCapture(Repository.open(sys.argv[1])).result()\n"
        "print(json.dumps(source.to_document()))\n"
    )
    document = json.loads(run_python(script, str(git_repo), "--lr", "0.1", cwd=inner).stdout)
    assert ([Path(sys.executable).name, "job.py", "..", "--lr", "0.1"], "jobs", True) == (
        document["command"],
        document["directory"],
        document["dirty"],
    )
    assert str(git_repo.parent) not in json.dumps(document)


def test_what_the_snapshot_lacks_is_recorded_and_told(git_repo: Path) -> None:
    """One warning names it all and what to do; control characters of names do not reach the terminal."""
    (git_repo / ".env").write_text("TOKEN=1\n")
    (git_repo / "\x1b[2Jred.pem").write_text("key\n")
    with pytest.warns(SnapshotIncomplete) as warned:
        source = capture(git_repo)
    why = "its name looks like that of a secret"
    assert ({"path": "\x1b[2Jred.pem", "reason": why}, {"path": ".env", "reason": why}) == source.left_out
    assert [
        "The code snapshot of the run does not hold all of the work tree as it is:\n"
        f"  ?[2Jred.pem: {why}\n"
        f"  .env: {why}\n"
        "Ignore what is not code (.gitignore), commit what is, or set `snapshot` in runstone.yaml."
    ] == [str(warning.message) for warning in warned]


def test_the_same_gap_is_told_once_a_process_at_the_line_that_began_the_run(git_repo: Path) -> None:
    """A thousand runs of one tree: one warning, at the user's line, with none of ours; another gap is told again."""
    (git_repo / ".env").write_text("TOKEN=1\n")
    (git_repo / "loop.py").write_text(
        "import runstone\nfor number in range(3):\n    runstone.start_run()\n    runstone.end_run()\n"
        "open('a.pem', 'w').close()\nwith runstone.start_run():\n    pass\n"
    )
    said = run_python(Path("loop.py"), cwd=git_repo).stderr
    assert ["loop.py:3: SnapshotIncomplete", "loop.py:6: SnapshotIncomplete"] == re.findall(
        r"[^\s/]+: SnapshotInc\w+", said
    )
    assert "    runstone.start_run()\n" in said.replace("  runstone", "    runstone")
    assert "warnings.warn" not in said


def test_a_script_outside_is_told(git_repo: Path, tmp_path: Path) -> None:
    """By its name alone, in the warning and in the record; one in the repository, or a tool, is none."""
    for folder in (tmp_path, git_repo):
        (folder / "k.py").write_text("")
    repo = Repository.open(git_repo)
    with pytest.warns(
        SnapshotIncomplete, match=r"^k\.py: the script lies outside the repository; its code is not kept"
    ):
        source = SourceCapture(repo, cwd=git_repo, command=["python", "-u", str(tmp_path / "k.py"), "1"]).result()
    assert ({"path": "k.py", "reason": OUTSIDE},) == source.left_out
    for command in (["python", "k.py"], ["python", "-m", "pytest", str(tmp_path / "k.py")], ["ls", "../k.py"]):
        assert find_outside(command, git_repo, git_repo) is None
    for command in (["sh", "../k.py"], [str(tmp_path / "k.py")], ["uv", "run", "python", "../k.py"]):
        assert "k.py" == find_outside(command, git_repo, git_repo)


def test_a_long_list_is_cut_in_the_warning_and_counted_in_the_record(git_repo: Path) -> None:
    """Ten names are told, a hundred recorded, the rest is counted."""
    for number in range(130):
        (git_repo / f"{number:03}.pem").touch()
    with pytest.warns(SnapshotIncomplete, match=r"\n  009.pem: .*\n  and 120 more\n"):
        source = capture(git_repo)
    assert (101, "30 more paths are left out") == (len(source.left_out), source.left_out[-1]["reason"])


def test_a_snapshot_that_cannot_be_made_costs_a_warning_only(git_repo: Path) -> None:
    """The run is recorded as dirty, with its commit, and with what git said."""
    git("update-index", "--add", "--info-only", "--cacheinfo", f"100644,{'1' * 40},x", cwd=git_repo)
    (git_repo / "x").write_text("x")
    git("update-index", "--assume-unchanged", "x", cwd=git_repo)
    with pytest.warns(SnapshotIncomplete, match=r"recorded without a snapshot .*: `git .*invalid object"):
        source = capture(git_repo)
    assert (head(git_repo), None, True) == (source.commit, source.snapshot, source.dirty)


def test_the_rules_of_runstone_yaml_count(git_repo: Path) -> None:
    """`snapshot` in the project's settings decides what comes in."""
    (git_repo / "runstone.yaml").write_text("snapshot: {max_file: 100, deny: ['*.csv'], allow: [test.pem]}\n")
    for name, size in (("a.csv", 1), ("test.pem", 1), ("large", 101)):
        (git_repo / name).write_text("x" * size)
    with pytest.warns(SnapshotIncomplete):
        source = capture(git_repo)
    names = git("ls-tree", "--name-only", str(source.snapshot), cwd=git_repo).splitlines()
    assert ["runstone.yaml", "test.pem", "train.py"] == names
    assert ["a.csv", "large"] == [one["path"] for one in source.left_out]


_KERNEL = """
import ipykernel, json
from runstone.git.repository import Repository
from runstone.tracking.source import SourceCapture
print(json.dumps(SourceCapture(Repository.open()).result().to_document()))
"""


@pytest.mark.parametrize(
    ("session", "notebook", "left_out"),
    [
        ("{top}/nb/churn.ipynb", "nb/churn.ipynb", []),
        ("nb/churn.ipynb", "nb/churn.ipynb", []),
        ("churn.ipynb", "nb/churn.ipynb", []),
        ("{top}/nb/ignored.ipynb", "nb/ignored.ipynb", ["nb/ignored.ipynb"]),
        ("{top}/nb/gone.ipynb", None, []),
        ("{top}/../outside.ipynb", None, []),
    ],
)
def test_a_notebook_is_recorded_and_captured_as_on_disk(
    session: str, notebook: str | None, left_out: list[str], git_repo: Path, tmp_path: Path
) -> None:
    """A process that looks as a kernel does, down to its module names; Jupyter tells a path, absolute or not."""
    kernel = tmp_path / "kernel"
    kernel.mkdir()
    (kernel / "ipykernel.py").touch()
    (kernel / "ipykernel_launcher.py").write_text(_KERNEL)
    (git_repo / "nb").mkdir()
    (git_repo / ".gitignore").write_text("ignored.ipynb\n")
    for path in (git_repo / "nb" / "churn.ipynb", git_repo / "nb" / "ignored.ipynb", tmp_path / "outside.ipynb"):
        path.write_text('{"cells": []}\n')
    variable = {"JPY_SESSION_NAME": session.format(top=git_repo)}
    out = run_python(kernel / "ipykernel_launcher.py", "-f", "k.json", cwd=git_repo / "nb", env=variable).stdout
    document = json.loads(out)
    assert (notebook, left_out) == (document.get("notebook"), [one["path"] for one in document.get("left_out", [])])
    assert '{"cells": []}' == git("show", f"{document['snapshot']}:nb/churn.ipynb", cwd=git_repo)


def test_what_a_notebook_starts_is_no_notebook(git_repo: Path) -> None:
    """A script started from a cell inherits the variable, but it is the script that runs."""
    (git_repo / "churn.ipynb").touch()
    script = git_repo / "job.py"
    script.write_text(_KERNEL.replace("import ipykernel, json", "import json"))
    document = json.loads(run_python(script, cwd=git_repo, env={"JPY_SESSION_NAME": "churn.ipynb"}).stdout)
    assert "notebook" not in document
