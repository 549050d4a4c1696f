"""Fetch, push and list a remote; add and remove work trees: all by the git program, and nothing a name can hijack."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runstone.errors import RemoteUnreachable, UsageError, WorkTreeRefused
from runstone.git import leftover, transport
from runstone.git.repository import Repository
from runstone.git.stream import hide_credentials, stream_git
from tests.support import SOURCE, git, run_python

MAIN = "refs/heads/main"


@pytest.fixture
def repo(git_repo: Path, bare_remote: Path) -> Repository:
    """A repository whose `origin` is an empty bare one."""
    git("remote", "add", "origin", bare_remote, cwd=git_repo)
    return Repository.open(git_repo)


def head(path: Path, name: str = "HEAD") -> str:
    """What a ref of a repository names."""
    return git("rev-parse", name, cwd=path)


def commit(path: Path, text: str = "more") -> str:
    """A further commit on the branch that is checked out."""
    (path / "train.py").write_text(f"print({text!r})\n")
    git("commit", "-q", "-a", "-m", text, cwd=path)
    return head(path)


# --- push, list, fetch


def test_a_push_tells_what_became_of_each_ref(repo: Repository, git_repo: Path, bare_remote: Path) -> None:
    """New, the same again, and one that is no longer where it was; the others go through all the same."""
    first = head(git_repo)
    assert {MAIN: transport.Pushed("sent")} == transport.push(repo, "origin", {MAIN: first})
    assert {MAIN: transport.Pushed("same")} == transport.push(repo, "origin", {MAIN: first})
    second = commit(git_repo, "second")
    transport.push(repo, "origin", {MAIN: second})
    git("reset", "-q", "--hard", first, cwd=git_repo)
    other = commit(git_repo, "other")
    results = transport.push(repo, "origin", {MAIN: other, "refs/heads/new": other})
    assert ("lost", "sent") == (results[MAIN].state, results["refs/heads/new"].state)
    assert (second, other) == (head(bare_remote, "main"), head(bare_remote, "new"))


def test_a_tag_is_never_overwritten(repo: Repository, git_repo: Path, bare_remote: Path) -> None:
    """Another tag of the same name is refused, and the one that is there stays."""
    for name in ("one", "two"):
        git("tag", "-a", name, "-m", name, cwd=git_repo)
    first, second = head(git_repo, "one"), head(git_repo, "two")
    transport.push(repo, "origin", {"refs/tags/m@v1": first})
    assert "lost" == transport.push(repo, "origin", {"refs/tags/m@v1": second})["refs/tags/m@v1"].state
    assert first == head(bare_remote, "m@v1")


def test_a_refusal_holds_the_remotes_words(repo: Repository, git_repo: Path, bare_remote: Path) -> None:
    """A hook that refuses one ref is told as refused, in its words, and is no race."""
    hook = bare_remote / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase $1 in */main) echo "only by review" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    results = transport.push(repo, "origin", {MAIN: head(git_repo), "refs/heads/free": head(git_repo)})
    assert ("refused", "sent") == (results[MAIN].state, results["refs/heads/free"].state)
    assert "hook declined\nonly by review\nerror: hook declined to update refs/heads/main" == results[MAIN].reason


@pytest.mark.parametrize("name", ["HEAD", "main", "--delete", "--mirror", "0" * 39, "A" * 40])
def test_only_full_object_ids_are_pushed(repo: Repository, name: str) -> None:
    """A name that came from a record cannot become an option or a revision."""
    with pytest.raises(UsageError, match="A full object id is needed"):
        transport.push(repo, "origin", {MAIN: name})


def test_listing_and_fetching(repo: Repository, git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """A listing has what matches, and what annotated tags lead to; a fetch brings what is named and no tag."""
    assert {} == transport.list_remote(repo, "origin", [MAIN])
    git("tag", "-a", "m@v1", "-m", "m", cwd=git_repo)
    tag, first = head(git_repo, "m@v1"), head(git_repo)
    transport.push(repo, "origin", {MAIN: first, "refs/tags/m@v1": tag, "refs/tags/x": tag})
    expected = {MAIN: first, "refs/tags/m@v1": tag, "refs/tags/m@v1^{}": first}
    assert expected == transport.list_remote(repo, "origin", [MAIN, "refs/tags/*@v*"])
    git("init", "-q", "other", cwd=tmp_path)
    git("remote", "add", "up", bare_remote, cwd=tmp_path / "other")
    other = Repository.open(tmp_path / "other")
    transport.fetch(other, "up", [f"+{MAIN}:refs/remotes/up/main"])
    transport.fetch(other, "up", [first])
    assert {"refs/remotes/up/main": first} == other.refs.list("refs/")
    assert not (tmp_path / "other" / ".git" / "FETCH_HEAD").exists()
    with pytest.raises(RemoteUnreachable, match="couldn't find remote ref refs/heads/none"):
        transport.fetch(other, "up", ["+refs/heads/none:refs/remotes/up/none"])


def test_progress_is_parsed_and_messages_are_kept(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """Steps go to the caller, one by one; what is no progress is what git said."""
    for number in range(300):
        (git_repo / f"{number}.txt").write_text(str(number))
    git("add", "-A", cwd=git_repo)
    told: list[tuple[str, int, int]] = []
    oid = commit(git_repo)
    transport.push(repo, "origin", {MAIN: oid}, progress=lambda *step: told.append(step))
    assert {"Writing objects"} <= {label for label, _, _ in told}
    totals = {label: total for label, _, total in told}
    assert ("Writing objects", totals["Writing objects"], totals["Writing objects"]) in told
    done = stream_git(repo, ["push", "--progress", "nowhere", "main"])
    assert (128, True) == (done.code, done.err.startswith("fatal: 'nowhere' does not appear to be a git repository"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("no-such-folder", "does not appear to be a git repository"),
        ("ext::sh -c touch% hijacked", "transport 'ext' not allowed"),
        ("ssh://-oProxyCommand=touch%20hijacked/x", "strange hostname"),
        ("--upload-pack=touch hijacked", "strange pathname|does not appear|No such"),
        ("http://user:secret@127.0.0.1:9/x.git", "127.0.0.1"),
    ],
)
def test_a_remote_that_cannot_be_used_is_told_in_gits_words(
    repo: Repository, git_repo: Path, url: str, words: str
) -> None:
    """No URL runs a program, and no password is shown."""
    git("config", "remote.origin.url", url, cwd=git_repo)
    for call in (
        lambda: transport.list_remote(repo, "origin", [MAIN]),
        lambda: transport.fetch(repo, "origin", [f"+{MAIN}:refs/remotes/origin/main"]),
        lambda: transport.push(repo, "origin", {MAIN: head(git_repo)}),
    ):
        with pytest.raises(RemoteUnreachable, match=words) as caught:
            call()
        assert "secret" not in str(caught.value)
    assert [] == list(git_repo.rglob("hijacked"))


@pytest.mark.parametrize("name", ["-x", "--upload-pack=x", "", "a\nb"])
def test_names_that_would_be_options_are_refused(repo: Repository, name: str) -> None:
    """A remote's name cannot become an option of git."""
    for call in (lambda: transport.list_remote(repo, name, []), lambda: transport.fetch(repo, name, [])):
        with pytest.raises(UsageError, match="cannot be the name of a git remote"):
            call()


def test_credentials_are_taken_out_of_urls() -> None:
    """User and password go, host and path stay."""
    assert "fatal: https://h/x.git and ssh://h:22/y" == hide_credentials(
        "fatal: https://u:p@h/x.git and ssh://git@h:22/y"
    )


def test_a_hooks_variables_do_not_reach_git(repo: Repository, git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_DIR and GIT_INDEX_FILE of a hook that called us neither lead elsewhere nor are written to."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", str(git_repo / "hijacked"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(git_repo / "hijacked"))
    oid = repo.head()
    assert oid is not None
    assert "sent" == transport.push(repo, "origin", {MAIN: oid})[MAIN].state
    assert {MAIN: oid} == transport.list_remote(repo, "origin", [MAIN])
    assert not (git_repo / "hijacked").exists()


_ASKING = """
import os, sys, socket
from runstone.git.repository import Repository
from runstone.git import transport
from runstone.errors import RemoteUnreachable
try:
    transport.list_remote(Repository.open("."), "origin", ["refs/heads/main"])
except RemoteUnreachable as error:
    print(error.why)
"""


def test_nobody_is_asked_where_nobody_is(git_repo: Path, tmp_path: Path) -> None:
    """A server that wants a password ends the call at once where no person is there, in a session without terminal."""
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import http.server as h\n"
            "class Ask(h.BaseHTTPRequestHandler):\n"
            "    def do_GET(self):\n"
            "        self.send_response(401)\n"
            "        self.send_header('WWW-Authenticate', 'Basic realm=\"x\"')\n"
            "        self.end_headers()\n"
            "    def log_message(self, *words): pass\n"
            "s = h.HTTPServer(('127.0.0.1', 0), Ask); print(s.server_port, flush=True); s.serve_forever()",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        git("remote", "add", "origin", f"http://127.0.0.1:{port}/x.git", cwd=git_repo)
        env = {**os.environ, "PYTHONPATH": str(SOURCE)}
        env.pop("GIT_TERMINAL_PROMPT", None)
        done = subprocess.run(
            [sys.executable, "-c", _ASKING],
            cwd=git_repo,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            start_new_session=True,
        )
        assert "terminal prompts disabled" in done.stdout
    finally:
        server.kill()
        server.communicate()


def test_ssh_is_told_to_ask_nobody(
    repo: Repository, git_repo: Path, bare_remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no person is, ssh runs in batch mode; a command of the user's own is left as it is."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/said"\nfor last; do :; done\nexec sh -c "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    git("config", "remote.origin.url", f"ssh://example.org{bare_remote}", cwd=git_repo)
    assert "sent" == transport.push(repo, "origin", {MAIN: head(git_repo)})[MAIN].state
    assert {MAIN: head(git_repo)} == transport.list_remote(repo, "origin", [MAIN])
    said = (tmp_path / "said").read_text()
    assert (2, 2) == (said.count("-o BatchMode=yes -o ConnectTimeout=30"), said.count("example.org git-"))
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -p 22")
    transport.list_remote(repo, "origin", [MAIN])
    assert "BatchMode" not in (tmp_path / "said").read_text().splitlines()[-1]


def test_ctrl_c_ends_git_and_leaves_no_lock(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """An interruption in the middle of a fetch ends the git processes too, and the next fetch works."""
    oid = head(git_repo)
    transport.push(repo, "origin", {MAIN: oid})
    slow = tmp_path / "slow.sh"
    slow.write_text('#!/bin/sh\necho $$ > "$(dirname "$0")/pid"\nsleep 60\n')
    slow.chmod(0o755)
    git("config", "remote.origin.uploadpack", slow, cwd=git_repo)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(1.0, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        transport.fetch(repo, "origin", [f"+{MAIN}:refs/remotes/origin/main"])
    timer.join()
    assert 10 > time.monotonic() - begun
    git("config", "--unset", "remote.origin.uploadpack", cwd=git_repo)
    transport.fetch(repo, "origin", [f"+{MAIN}:refs/remotes/origin/main"])
    assert [] == list((git_repo / ".git" / "refs").rglob("*.lock"))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


# --- lock files that a killed git left


def make_lock(path: Path, age_s: float) -> Path:
    """A lock file of some age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_lock_of_a_dead_git_is_removed(git_repo: Path) -> None:
    """One that no living git can have made goes; a young one is left for as long as the patience lasts."""
    old = make_lock(git_repo / ".git" / "refs" / "heads" / "a.lock", 365 * 86400)
    young = make_lock(git_repo / ".git" / "refs" / "heads" / "b.lock", 0)
    leftover.clear_locks([old, young, git_repo / "none.lock"], patience_s=0.3)
    assert (False, True) == (old.exists(), young.exists())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs a list of processes")
def test_a_lock_whose_owner_may_live_stays(git_repo: Path, tmp_path: Path) -> None:
    """While a git lives that may have made it, a lock stays, however old; once that is dead, it goes."""
    os.mkfifo(tmp_path / "fifo")
    holder = subprocess.Popen(
        ["sh", "-c", f"git update-ref --stdin < '{tmp_path / 'fifo'}'; true"], cwd=git_repo, start_new_session=True
    )
    with (tmp_path / "fifo").open("wb"):
        time.sleep(0.2)
        lock = make_lock(git_repo / ".git" / "packed-refs.lock", 0)
        leftover.clear_locks([lock], patience_s=1, age_s=0.5)
        assert lock.exists()
    holder.wait()
    leftover.clear_locks([lock], patience_s=1, age_s=0.5)
    assert not lock.exists()


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="needs a list of disks")
def test_a_lock_on_a_disk_that_others_may_write_to_stays(git_repo: Path) -> None:
    """What kind of disk `/proc` is, is not known to be local: there a lock must be an hour old."""
    assert (True, False) == (leftover._is_local(git_repo), leftover._is_local(Path("/proc/self/stat")))


# --- work trees


def test_a_work_tree_comes_and_goes(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """It is at the commit that was asked for, on a branch if one was named; the user's own work tree is as it was."""
    first = head(git_repo)
    commit(git_repo, "second")
    (git_repo / "train.py").write_text("edited")
    transport.add_worktree(repo, tmp_path / "-b x", first)
    transport.add_worktree(repo, tmp_path / "named", first, "fix/it")
    found = {tree.path.name: (tree.commit, tree.branch) for tree in transport.list_worktrees(repo)}
    assert {"repo": (head(git_repo), MAIN), "-b x": (first, None), "named": (first, "refs/heads/fix/it")} == found
    assert "print('trained')\n" == (tmp_path / "-b x" / "train.py").read_text()
    transport.remove_worktree(repo, tmp_path / "-b x")
    assert not (tmp_path / "-b x").exists()
    (tmp_path / "named" / "new.txt").write_text("x")
    with pytest.raises(WorkTreeRefused, match="contains modified or untracked files"):
        transport.remove_worktree(repo, tmp_path / "named")
    transport.remove_worktree(repo, tmp_path / "named", force=True)
    assert [git_repo] == [tree.path for tree in transport.list_worktrees(repo)]
    assert "M train.py" == git("status", "--porcelain", cwd=git_repo).strip()


def test_a_work_tree_that_is_gone_is_told(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """Its folder was removed by hand."""
    transport.add_worktree(repo, tmp_path / "gone", head(git_repo))
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    assert {"repo": False, "gone": True} == {tree.path.name: tree.is_gone for tree in transport.list_worktrees(repo)}


@pytest.mark.parametrize("name", ["HEAD", "main", "-b", "--detach"])
def test_a_work_tree_needs_a_full_id(repo: Repository, tmp_path: Path, name: str) -> None:
    """What a record calls a commit cannot become an option or a revision."""
    with pytest.raises(UsageError, match="A full object id is needed"):
        transport.add_worktree(repo, tmp_path / "x", name)


def test_what_git_refuses_of_a_work_tree(repo: Repository, git_repo: Path, tmp_path: Path) -> None:
    """A folder in use, a commit that is not there, a branch that exists or cannot be: told in git's words."""
    first = head(git_repo)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(WorkTreeRefused, match=r"already exists\. Name another folder"):
        transport.add_worktree(repo, tmp_path / "full", first)
    with pytest.raises(WorkTreeRefused, match="invalid reference"):
        transport.add_worktree(repo, tmp_path / "x", "1" * 40)
    with pytest.raises(WorkTreeRefused, match="a branch named 'main' already exists"):
        transport.add_worktree(repo, tmp_path / "x", first, "main")
    with pytest.raises(UsageError, match="git allows no branch of the name"):
        transport.add_worktree(repo, tmp_path / "x", first, "-x")
    with pytest.raises(WorkTreeRefused, match="is a main working tree"):
        transport.remove_worktree(repo, git_repo)


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_here_is_not_the_remotes_fault(repo: Repository, git_repo: Path, bare_remote: Path) -> None:
    """A fetch that finds no room says so, and what it brings arrives once there is some."""
    other = git_repo.parent / "other"
    git("push", "-q", "origin", "main", cwd=git_repo)
    git("clone", "-q", bare_remote, other, cwd=git_repo.parent)
    for key, value in (("user.name", "Kim"), ("user.email", "kim@example.org")):
        git("config", key, value, cwd=other)
    (other / "train.py").write_bytes(os.urandom(100_000))
    git("commit", "-q", "-a", "-m", "Much", cwd=other)
    tip = head(other)
    git("push", "-q", "origin", "main", cwd=other)
    code = (
        "import resource\n"
        "from runstone.git import transport\n"
        "from runstone.git.repository import Repository\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, -1))\n"
        f"transport.fetch(Repository.open('.'), 'origin', ['+{MAIN}:refs/remotes/origin/main'])\n"
    )
    done = run_python(code, cwd=git_repo, check=False)
    assert "runstone.errors.storage.DiskFull: " in done.stderr, done.stderr
    transport.fetch(repo, "origin", [f"+{MAIN}:refs/remotes/origin/main"])
    assert tip == head(git_repo, "origin/main")
