"""`runstone runs log`: what happened to the runs, as a user sees it."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import Result

from runstone.cli.run_log import parse_moment
from runstone.client import Client
from tests.benchmarks.synthetic import Shape, init, make_runs
from tests.cli.support import run_cli, run_on_terminal
from tests.support import git

Invoke = Callable[..., Result]


@pytest.fixture
def client(git_repo: Path, three_runs: list[str]) -> Client:
    """A client of a repository in which something happened to three runs."""
    client = Client(git_repo)
    client.set_tag(three_runs[0], "team", "other")
    client.delete_run(three_runs[2], reason="wrong data")
    return client


def commits(repo: Path) -> list[str]:
    """The short ids of the events, the newest first."""
    return [each[:12] for each in git("log", "--first-parent", "--format=%H", "runs", cwd=repo).split()]


def test_every_event_the_newest_first(git_repo: Path, client: Client, three_runs: list[str], invoke: Invoke) -> None:
    """What, when, who, which run and why; parted by empty lines."""
    entries = invoke("runs", "log").stdout.rstrip("\n").split("\n\n")
    ids = commits(git_repo)
    assert [
        f"{ids[0]}  deleted  odd-newt-3",
        f"{ids[1]}  added to  brave-otter-1  FINISHED",
        f"{ids[2]}  recorded  odd-newt-3  FAILED",
    ] == [each.splitlines()[0] for each in entries[:3]]
    time = datetime.fromtimestamp(int(git("log", "-1", "--format=%at", "runs", cwd=git_repo)), UTC)
    assert re.fullmatch(
        rf"""    when        {time:%Y-%m-%dT%H:%M:%S}.000Z  \(\d+s ago\)
    who         Kim Example
    run         {three_runs[2]}
    experiment  Default
    reason      wrong data""",
        "\n".join(entries[0].splitlines()[1:]),
    )
    assert f"{ids[-1]}  begun" == entries[-1].splitlines()[0]
    code = git("rev-parse", "HEAD", cwd=git_repo)[:12]
    assert f"    code        {code}" in entries[1].splitlines()


def test_one_line_each(git_repo: Path, client: Client, invoke: Invoke) -> None:
    """As many as asked for, the newest, or these the other way round."""
    ids = commits(git_repo)
    lines = invoke("runs", "log", "--oneline", "-n", "2").stdout.splitlines()
    assert re.fullmatch(rf"{ids[0]}  \d{{4}}-\d\d-\d\d \d\d:\d\d  Kim Example  deleted  odd-newt-3", lines[0])
    assert lines[::-1] == invoke("runs", "log", "--oneline", "-n", "2", "--reverse").stdout.splitlines()
    assert ids == [each[:12] for each in invoke("runs", "log", "--oneline").stdout.splitlines()]


def test_one_run_with_what_changed(client: Client, three_runs: list[str], invoke: Invoke) -> None:
    """Field by field, before and after, with the type; the other files by name."""
    entries = invoke("runs", "log", "brave-otter-1").stdout.rstrip("\n").split("\n\n")
    assert ["added to", "recorded"] == [each.splitlines()[0].split("  ")[1] for each in entries]
    assert ['    ~ tags.team: "growth" → "other"'] == entries[0].splitlines()[-1:]
    assert {"    + artifacts", "    + history of metrics", "    + notes"} <= set(entries[1].splitlines())
    deleted = invoke("runs", "log", "odd-newt-3", "-n", "1").stdout.splitlines()
    assert {'    + deleted.reason: "wrong data"', '    + lifecycle: "deleted"'} <= set(deleted)
    assert "  added to  brave-otter-1  FINISHED  1 change\n" in invoke("runs", "log", three_runs[0], "--oneline").stdout


def test_json(git_repo: Path, client: Client, three_runs: list[str], invoke: Invoke) -> None:
    """The same for a program, whole ids and values."""
    found = json.loads(invoke("runs", "log", "--json", "-n", "1").stdout)
    assert [
        {
            "commit": git("rev-parse", "runs", cwd=git_repo),
            "time": found[0]["time"],
            "author": "Kim Example",
            "kind": "deleted",
            "subject": "Delete run odd-newt-3",
            "run_id": three_runs[2],
            "run_ids": [three_runs[2]],
            "run_name": "odd-newt-3",
            "status": None,
            "experiment": "Default",
            "reason": "wrong data",
            "code": None,
            "replaced": [],
        }
    ] == found
    run = json.loads(invoke("runs", "log", "brave-otter-1", "--json").stdout)
    assert [{"key": "tags.team", "state": "changed", "before": "growth", "after": "other"}] == run[0]["changes"]
    assert (None, None, "added") == (run[1]["changes"], run[1]["moved_from"], run[1]["files"]["metrics.tsv"])


def test_of_an_experiment_and_of_a_time(git_repo: Path, client: Client, invoke: Invoke) -> None:
    """Both may be combined; what is left out is not counted."""
    lines = invoke("runs", "log", "--oneline", "-e", "churn").stdout.splitlines()
    assert {"brave-otter-1", "calm-fox-2", "churn"} == {re.split(r"  +", line)[4] for line in lines}
    long_ago = {"GIT_AUTHOR_DATE": "2001-02-03T23:59Z"}
    old = git("commit-tree", "-p", "runs", "-m", "Old", "runs^{tree}", cwd=git_repo, env=long_ago)
    git("update-ref", "refs/heads/runs", old, cwd=git_repo)
    assert [old[:12]] == [
        line[:12] for line in invoke("runs", "log", "--oneline", "--until", "2001-02-03").stdout.splitlines()
    ]
    assert old[:12] not in invoke("runs", "log", "--oneline", "--since", "2001-02-04").stdout
    assert old[:12] in invoke("runs", "log", "--oneline", "--since", "2001-02-03").stdout
    assert 1 == len(invoke("runs", "log", "--oneline", "--since", "1 hour", "-n", "1").stdout.splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22", "2026-11-22T00:00:00+00:00"),
        ("2026-11-22T06:12", "2026-11-22T06:12:00+00:00"),
        ("2026-11-22T06:12:03+02:00", "2026-11-22T04:12:03+00:00"),
        ("2026-11-22 06:12Z", "2026-11-22T06:12:00+00:00"),
    ],
)
def test_times_by_the_calendar(text: str, expected: str) -> None:
    """ISO 8601, UTC unless it says otherwise; a day ends with its last moment."""
    moment = datetime.fromisoformat(expected)
    assert round(moment.timestamp() * 1000) == parse_moment(text)
    end = moment + timedelta(days=1, milliseconds=-1) if len(text) == 10 else moment
    assert round(end.timestamp() * 1000) == parse_moment(text, is_end=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("3 days", 259_200), ("1 week ago", 604_800), ("5min", 300), ("1 month", 2_592_000), ("now", 0)],
)
def test_times_ago(text: str, seconds: int) -> None:
    """A number and a unit, as people write it."""
    now = datetime.now(UTC).timestamp() * 1000
    assert 5000 > abs(now - 1000 * seconds - parse_moment(text))


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", "3 parsecs", "-2h"])
def test_what_is_no_time(text: str) -> None:
    """It is refused, not taken for now."""
    with pytest.raises(click.UsageError, match="is no time"):
        parse_moment(text)


def test_yesterday_is_a_day() -> None:
    """From its first to its last moment."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    start = round(day.timestamp() * 1000)
    assert (start, start + 86_399_999) == (parse_moment("yesterday"), parse_moment("yesterday", is_end=True))


def test_what_others_wrote_does_not_reach_the_terminal_raw(git_repo: Path, client: Client, invoke: Invoke) -> None:
    """Author, subject and trailers are other people's text; a run that cannot be one is not named."""
    message = "Record run \x1b[2J\u202ex: FINISHED\n\nRun: ../x\nExperiment: \x1b]0;t\x07\nReason: a\x0db"
    made = git(
        "commit-tree", "-p", "runs", "-m", message, "runs^{tree}", cwd=git_repo, env={"GIT_AUTHOR_NAME": "E\x1b[31mve"}
    )
    git("update-ref", "refs/heads/runs", made, cwd=git_repo)
    out = invoke("runs", "log", "-n", "1").stdout
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", out)
    assert r"recorded  \x1b[2J\u202ex  FINISHED" in out
    assert "    run  " not in out
    assert r"    reason      a\rb" in out


def test_on_a_terminal_it_is_paged_and_stops_with_the_pager(git_repo: Path, client: Client, tmp_path: Path) -> None:
    """Git's pager, with git's own settings of less; leaving it early is no error."""
    git("config", "core.pager", f"tee '{tmp_path}/paged' | head -n 1; echo LESS=$LESS", cwd=git_repo)
    code, shown = run_on_terminal("runs", "log", cwd=git_repo)
    assert (0, f"\x1b[33m{commits(git_repo)[0]}\x1b[0m", "LESS=FRX") == (code, shown.split("  ")[0], shown.split()[-1])
    code, shown = run_on_terminal("runs", "log", "--oneline", cwd=git_repo, env={"GIT_PAGER": "cat", "NO_COLOR": "1"})
    assert commits(git_repo) == [line[:12] for line in shown.splitlines()]


def test_a_shallow_history_says_where_it_ends(git_repo: Path, client: Client, tmp_path: Path) -> None:
    """With the command that brings the rest; not where a limit stopped before."""
    git("clone", "-q", "--depth", "2", "-b", "runs", f"file://{git_repo}", "cut", cwd=tmp_path)
    done = run_cli("runs", "log", "--oneline", cwd=tmp_path / "cut")
    assert 2 == len(done.stdout.splitlines())
    assert (
        "The history ends here, since this clone is shallow. Fetch the rest: `git fetch --unshallow`\n" == done.stderr
    )
    assert "" == run_cli("runs", "log", "--oneline", "-n", "1", cwd=tmp_path / "cut").stderr


def test_a_run_that_was_removed(git_repo: Path, client: Client, three_runs: list[str], invoke: Invoke) -> None:
    """Its events are there, by id, the beginning of one, or name; of what never was there are none."""
    index = {"GIT_INDEX_FILE": str(git_repo / "scratch-index")}
    git("read-tree", "runs", cwd=git_repo, env=index)
    for path in git("ls-tree", "-r", "--name-only", "runs", cwd=git_repo).splitlines():
        if three_runs[2] in path:
            git("update-index", "--force-remove", path, cwd=git_repo, env=index)
    tree = git("write-tree", cwd=git_repo, env=index)
    made = git("commit-tree", "-p", "runs", "-m", "Remove 1 deleted run", tree, cwd=git_repo)
    git("update-ref", "refs/heads/runs", made, cwd=git_repo)
    for text in (three_runs[2], three_runs[2][:-1], "odd-newt-3"):
        lines = invoke("runs", "log", text, "--oneline").stdout.splitlines()
        said = [line.partition("Kim Example  ")[2] for line in lines[:2]]
        assert ["removed  odd-newt-3", "deleted  odd-newt-3  3 changes"] == said
    assert "odd-newt-3" == json.loads(invoke("runs", "log", "odd-newt-3", "--json").stdout)[0]["run_name"]
    assert "means 2 runs. Write more of the id:" in invoke("runs", "log", three_runs[0][:4], code=2).stderr
    assert "No run" in invoke("runs", "log", "0" * 32, code=1).stderr
    assert "No run" in invoke("runs", "log", "*", code=1).stderr


def test_an_amendment_is_told_in_words(client: Client, three_runs: list[str], invoke: Invoke) -> None:
    """By whom and why, then what it changed; not the fields it is kept in."""
    invoke("runs", "amend", "brave-otter-1", "--reason", "wrong split", "-p", "lr=0.2", "-m", "loss=0.4")
    entry = invoke("runs", "log", "brave-otter-1", "-n", "1").stdout.splitlines()
    assert [
        "    amended by Kim Example <kim@example.org>: wrong split",
        "    ~ metrics.loss.last: 0.5 → 0.4",
        "    ~ metrics.loss.min: 0.5 → 0.4",
        "    ~ params.lr: 0.1 → 0.2",
        "    ~ history of metrics",
    ] == [line for line in entry if "amended by" in line or line[:6] in ("    ~ ", "    + ")]
    assert not [line for line in entry if "amendments" in line]
    shown = invoke("runs", "show", "brave-otter-1").stdout
    assert "Kim Example <kim@example.org>: wrong split (params.lr, metrics.loss)\n" in shown


def test_before_the_first_run(git_repo: Path, invoke: Invoke) -> None:
    """Nothing happened, and that is no failure."""
    result = invoke("runs", "log")
    assert ("", "Nothing happened yet.\n") == (result.stdout, result.stderr)


def test_wrong_calls(client: Client, invoke: Invoke) -> None:
    """A run and an experiment exclude each other; a time that is none is usage."""
    assert "cannot be used together" in invoke("runs", "log", "calm-fox-2", "-e", "churn", code=2).stderr
    assert "'soon' is no time." in invoke("runs", "log", "--since", "soon", code=2).stderr


def test_a_few_of_many_cost_few(tmp_path: Path) -> None:
    """With a limit git is not asked for the rest: one process, which reads the newest events only."""
    make_runs(init(tmp_path / "many"), 300, shape=Shape(params=1, metrics=1, tags=0), runs_per_commit=1)
    trace = tmp_path / "trace"
    done = run_cli("runs", "log", "-n", "3", "--oneline", cwd=tmp_path / "many", env={"GIT_TRACE": str(trace)})
    assert (0, 3) == (done.returncode, len(done.stdout.splitlines()))
    logs = [line for line in trace.read_text().splitlines() if "built-in: git log " in line]
    assert (1, True) == (len(logs), "--max-count=3" in logs[0])
