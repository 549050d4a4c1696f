"""`runstone sync`, `push` and `pull`: one line says what moved; as JSON the same; errors say what to do."""

import json
import os
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from runstone.cli import sync
from runstone.client import Client
from tests.cli.support import run_cli, run_on_terminal, start_cli
from tests.sharing import Team, number_here, record, register
from tests.support import git


@pytest.mark.dvc
def test_one_line_says_what_moved(team: Team) -> None:
    """What was sent, with its size, what came, and that all is in sync."""
    ann, bob = team.folder / "ann", team.clone("bob")
    number_here(ann)
    record(ann, "one", text="1")
    register(ann, "two")
    sent = run_cli("sync", cwd=ann)
    expected = r"synced with origin: 2 runs sent \(\d objects, \d{3} B\), 1 model version sent\n"
    assert (True, "") == (re.fullmatch(expected, sent.stdout) is not None, sent.stderr)
    assert "in sync with origin\n" == run_cli("sync", cwd=ann).stdout
    assert "synced with origin: 2 runs received, 1 model version received\n" == run_cli("sync", cwd=bob).stdout
    record(bob, "three")
    assert "synced with origin: 1 run sent\n" == run_cli("push", cwd=bob).stdout
    record(ann, "four", text="4")
    assert "synced with origin: 1 run sent (2 objects, 66 B), 1 run received\n" == run_cli("sync", cwd=ann).stdout
    done = run_cli("pull", "--artifacts", cwd=bob)
    assert "synced with origin: 1 run received (2 objects, 66 B)\n" == done.stdout
    assert "" == done.stderr
    Client(bob).create_experiment("new")
    assert "synced with origin: 1 change sent\n" == run_cli("sync", cwd=bob).stdout
    assert ("", "") == (run_cli("sync", "-q", cwd=ann).stdout, run_cli("pull", "--quiet", cwd=ann).stdout)
    team.check()


def test_the_same_as_json(plain_team: Team) -> None:
    """Every fact under its name."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    told = json.loads(run_cli("sync", "--json", cwd=ann).stdout)
    assert ("origin", ["one"], 3, 1) == tuple(told[key] for key in ("remote", "runs_sent", "changes_sent", "attempts"))
    assert [] == json.loads(run_cli("pull", "--json", cwd=ann).stdout)["runs_sent"]


def test_a_work_tree_with_the_branch_checked_out_is_told_of(plain_team: Team, tmp_path: Path) -> None:
    """What came looks deleted there, and a commit would make it so."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    run_cli("sync", cwd=ann)
    run_cli("sync", cwd=bob)
    git("worktree", "add", "-q", tmp_path / "look", "runs", cwd=bob)
    record(ann, "two")
    run_cli("sync", cwd=ann)
    told = run_cli("pull", cwd=bob).stderr
    assert f"`runs` is checked out in {tmp_path / 'look'}, where what came looks deleted: commit nothing" in told
    assert f"`git -C {tmp_path / 'look'} checkout --detach`" in told


def test_what_was_joined_is_told_cleaned(plain_team: Team) -> None:
    """Of two values of one tag the replaced one is told, without control characters."""
    ann, bob = plain_team.folder / "ann", plain_team.clone("bob")
    record(ann, "one")
    run_cli("sync", cwd=ann)
    run_cli("sync", cwd=bob)
    Client(ann).set_tag("one", "owner", "\x1b[31mann")
    Client(bob).set_tag("one", "owner", "bob")
    run_cli("sync", cwd=ann)
    done = run_cli("sync", cwd=bob)
    assert 'one: Replaced: tags.owner: "\\u001b[31mann" -> "bob"\n' == done.stderr
    assert "synced with origin: 1 run sent\n" == done.stdout


@pytest.mark.dvc
def test_a_number_given_twice_ends_with_1(team: Team) -> None:
    """Both tags are kept, all else is synced, and the message says how to go on."""
    ann, bob = team.folder / "ann", team.clone("bob")
    number_here(ann, bob)
    register(ann, "one")
    register(bob, "two")
    run_cli("sync", cwd=ann)
    done = run_cli("sync", cwd=bob)
    assert (1, True) == (done.returncode, done.stdout.startswith("synced with origin: 1 run sent"))
    expected = (
        "error: The model version `churn@v1` is one thing here and another on `origin`; both were kept. Compare them: "
        "`git show 'churn@v1' 'refs/runstone/remote-tags/origin/churn@v1'`. Give yours the next number: "
        "`runstone doctor --fix`, then `runstone sync`\n"
    )
    assert expected == done.stderr
    run_cli("doctor", "--fix", cwd=bob)
    assert "synced with origin: 1 model version sent\n" == run_cli("sync", cwd=bob).stdout
    assert ["churn@v1", "churn@v2"] == team.tags()
    assert ("one", "two") == tuple(Client(bob).get_model_version("churn", n).run_id for n in (1, 2))
    team.check()


def test_what_to_do_without_remotes(plain_team: Team, git_repo: Path) -> None:
    """No remote at all, no DVC remote, no such remote: each error names the next step."""
    record(git_repo, "one")
    done = run_cli("sync", cwd=git_repo)
    assert (1, True) == (done.returncode, "`git remote add origin URL`" in done.stderr)
    ann = plain_team.folder / "ann"
    record(ann, "one", text="1")
    done = run_cli("sync", cwd=ann)
    assert (1, True) == (done.returncode, "`runstone init --remote URL`" in done.stderr)
    done = run_cli("sync", "--no-artifacts", cwd=ann)
    assert "synced with origin: 1 run sent, without the artifacts of 1 run\n" == done.stdout
    assert "`runstone artifacts push --all`" in done.stderr
    done = run_cli("sync", "-r", "nowhere", cwd=ann)
    assert (2, "error: There is no git remote 'nowhere'. There are: origin.\n") == (done.returncode, done.stderr)


@pytest.mark.dvc
def test_with_a_dvc_remote_alone(team: Team) -> None:
    """The bytes are sent, and it says that runs stay here."""
    ann = team.folder / "ann"
    git("remote", "remove", "origin", cwd=ann)
    record(ann, "one", text="1")
    done = run_cli("sync", cwd=ann)
    assert (0, "the DVC remote has all artifacts: 2 objects, 66 B, sent\n") == (done.returncode, done.stdout)
    assert "There is no git remote to share runs through. Add one: `git remote add origin URL`\n" == done.stderr


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees how much of what takes long is done, and no bar for the rest."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with sync._bars() as tell:
            assert tell is not None
            tell("artifacts", 1, 1000)
            time.sleep(sync._QUICK_S + 0.05)
            for done in (500, 1000):
                tell("artifacts", done, 1000)
            tell("Compressing objects", 3, 3)
        terminal.flush()
        shown, more = "", select.poll()
        more.register(master, select.POLLIN)
        # A terminal hands on what was written in pieces.
        while "Compressing" not in shown and not re.search(r"artifacts  \[#+\]  100%", shown):
            assert more.poll(30_000), shown
            shown += os.read(master, 65536).decode()
    os.close(master)
    assert re.search(r"artifacts  \[#+\]  100%", shown)
    assert "Compressing" not in shown


def test_the_last_line_on_a_terminal_is_the_summary(plain_team: Team) -> None:
    """Whatever bars there were."""
    record(plain_team.folder / "ann", "one")
    code, shown = run_on_terminal("sync", cwd=plain_team.folder / "ann", env={"GIT_TERMINAL_PROMPT": "1"})
    assert (0, True) == (code, "synced with origin: 1 run sent" in shown)


def test_ctrl_c_says_that_nothing_is_lost(plain_team: Team) -> None:
    """130, a sentence, no lock file; the next sync completes."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    hook = plain_team.hook("pre-receive", f"touch '{plain_team.folder}/begun'; sleep 5")
    process = start_cli("sync", cwd=ann)
    end = time.monotonic() + 30
    while not (plain_team.folder / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    expected = "Nothing is lost: the next `runstone sync` goes on from here.\ninterrupted\n"
    assert (130, expected) == (process.returncode, said)
    hook.unlink()
    assert "synced with origin: 1 run sent\n" == run_cli("sync", cwd=ann).stdout
    plain_team.check()
