"""`runstone diff`, as a user runs it: a process of its own in a real repository."""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.tracking.compare import SECTIONS
from tests.support import git, run_python


def diff(repo: Path, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run `runstone diff`."""
    return run_python(Path("-m"), "runstone", "--color", "never", "diff", *arguments, cwd=repo, check=check)


def record(repo: Path, name: str, params: dict[str, Any], metrics: dict[str, float]) -> str:
    """Record a run that took 1.5 s; returns its id."""
    client = Client(repo)
    run = client.create_run("0", run_name=name, start_time=1_700_000_000_000)
    client.log_batch(run.info.run_id, params=params)
    for key, value in metrics.items():
        client.log_metric(run.info.run_id, key, value)
    client.set_terminated(run.info.run_id, end_time=1_700_000_001_500)
    return run.info.run_id


@pytest.fixture
def runs(git_repo: Path) -> tuple[str, str]:
    """Two runs, `owl` and `fox`, with one commit of the code between them."""
    a = record(git_repo, "owl", {"lr": 0.1, "kind": "tree", "old": 1}, {"auc": 0.5, "loss": 2.0})
    git("commit", "-q", "--allow-empty", "-m", "Raise the rate", cwd=git_repo)
    return a, record(git_repo, "fox", {"lr": 0.25, "kind": "tree", "new": [1, 2]}, {"auc": 0.5, "loss": 1.5})


def test_the_whole_text(git_repo: Path, runs: tuple[str, str]) -> None:
    """What differs, aligned, section by section, and the commits between; nothing of what is equal."""
    first, second = git("rev-parse", "HEAD^", cwd=git_repo)[:12], git("rev-parse", "HEAD", cwd=git_repo)[:12]
    expected = f"""\
- owl  {runs[0]}  Default
+ fox  {runs[1]}  Default

Params
~ lr   0.1  0.25
+ new       [1, 2]
- old  1

Metrics
~ loss  2  1.5  -0.5  -25.00%

Source
~ commit  {first}  {second}

Commits
  1 commit: git log --oneline {first}..{second}
+ {second} Raise the rate

Code
  same code
"""
    assert expected == diff(git_repo, "owl", "fox").stdout


def test_the_other_direction(git_repo: Path, runs: tuple[str, str]) -> None:
    """From B to A every sign turns round; runs are also named by the beginning of an id."""
    shortest = next(n for n in range(4, 33) if runs[0][:n] != runs[1][:n])
    out = diff(git_repo, runs[1][:shortest], runs[0], "--only", "params,commits").stdout
    assert ["- fox", "+ owl"] == re.findall(r"^. (?:owl|fox)", out, re.MULTILINE)
    assert ["~ lr", "- new", "+ old"] == re.findall(r"^[+~-] (?:lr|new|old)", out, re.MULTILINE)
    assert re.search(r"^- [0-9a-f]{12} Raise the rate$", out, re.MULTILINE)


def test_all_shows_what_is_equal_too(git_repo: Path, runs: tuple[str, str]) -> None:
    """With `--all` equal things stand without a sign."""
    out = diff(git_repo, "owl", "fox", "--all").stdout
    for line in ("  kind  tree  tree", "  auc   0.5  0.5", "  status      FINISHED  FINISHED"):
        assert line in out.splitlines()
    shown = [name.capitalize() for name in SECTIONS if name not in ("tags", "datasets", "artifacts")]
    assert shown == re.findall(r"^[A-Z]\w+$", out, re.MULTILINE)


def test_json(git_repo: Path, runs: tuple[str, str]) -> None:
    """The same for a program; a side that has nothing has no key."""
    found = json.loads(diff(git_repo, "owl", "fox", "--json").stdout)
    assert ["a", "b", *SECTIONS] == list(found)
    assert {"run_id": runs[0], "run_name": "owl", "experiment": "Default"} == found["a"]
    assert [
        {"key": "lr", "state": "changed", "a": 0.1, "b": 0.25},
        {"key": "new", "state": "added", "b": [1, 2]},
        {"key": "old", "state": "removed", "a": 1},
    ] == found["params"]
    assert [{"key": "loss", "state": "changed", "a": 2.0, "b": 1.5, "change": -0.5, "relative": -0.25}] == found[
        "metrics"
    ]
    head = git("rev-parse", "HEAD", cwd=git_repo)
    assert {
        "a": git("rev-parse", "HEAD^", cwd=git_repo),
        "b": head,
        "missing": [],
        "only_a": [],
        "only_b": [{"id": head, "subject": "Raise the rate"}],
        "count_a": 0,
        "count_b": 1,
    } == found["commits"]


def test_json_is_strict(git_repo: Path) -> None:
    """NaN and infinities, which JSON has not, are texts."""
    record(git_repo, "owl", {}, {"loss": math.nan})
    record(git_repo, "fox", {}, {"loss": -math.inf})
    out = diff(git_repo, "owl", "fox", "--only", "metrics", "--json").stdout
    assert [
        {"key": "loss", "state": "changed", "a": "nan", "b": "-inf", "change": None, "relative": None}
    ] == json.loads(out, parse_constant=lambda text: pytest.fail(text))["metrics"]


def test_only_some_sections(git_repo: Path, runs: tuple[str, str]) -> None:
    """`--only` takes names parted by commas, and may be repeated; the order stays."""
    out = diff(git_repo, "owl", "fox", "--only", "metrics, params", "--only", "tags", "--json").stdout
    assert ["a", "b", "params", "metrics", "tags"] == list(json.loads(out))


def test_nothing_differs(git_repo: Path, runs: tuple[str, str]) -> None:
    """That there is no difference is said, and is no failure."""
    done = diff(git_repo, "owl", "owl", "--only", "params,commits")
    assert (0, "no difference in params, commits\n") == (done.returncode, done.stderr)


def test_values_that_look_alike_are_told_apart(git_repo: Path) -> None:
    """A number and its text, and numbers that are alike to six digits, are shown in full."""
    record(git_repo, "owl", {"n": 1, "x": 0.12345678}, {})
    record(git_repo, "fox", {"n": "1", "x": 0.12345679}, {})
    lines = diff(git_repo, "owl", "fox", "--only", "params").stdout.splitlines()
    assert ['~ n  1           "1"', "~ x  0.12345678  0.12345679"] == lines[-2:]


def test_what_others_wrote_does_not_reach_the_terminal_raw(git_repo: Path) -> None:
    """Control characters in keys, values and commit subjects are escaped."""
    record(git_repo, "owl", {"a": "x\x1b[2Jy\nz"}, {})
    git("commit", "-q", "--allow-empty", "-m", "Evil \x1b]0;title\x07", cwd=git_repo)
    record(git_repo, "fox", {"b": 1}, {})
    out = diff(git_repo, "owl", "fox").stdout
    assert r"- a  x\x1b[2Jy\nz" in out
    assert r"Evil \x1b]0;title\x07" in out
    assert "\x1b" not in out


def test_a_long_value_does_not_widen_every_line(git_repo: Path) -> None:
    """In a pipe values are whole, and only short ones are aligned."""
    record(git_repo, "owl", {"a": "x" * 5000, "b": 1}, {})
    record(git_repo, "fox", {"a": "y", "b": 2}, {})
    lines = diff(git_repo, "owl", "fox", "--only", "params").stdout.splitlines()
    assert [f"~ a  {'x' * 5000}  y", f"~ b  1{' ' * 59}  2"] == lines[-2:]


def test_colour_when_asked(git_repo: Path, runs: tuple[str, str]) -> None:
    """Added is green, removed red, changed yellow; in a pipe only with `--color always`."""
    out = run_python(Path("-m"), "runstone", "--color", "always", "diff", "owl", "fox", cwd=git_repo).stdout
    colors = dict(re.findall(r"\x1b\[(3\d)m([+~-] (?:lr|new|old))", out))
    assert {"33": "~ lr", "32": "+ new", "31": "- old"} == colors


def test_commits_that_are_not_here(git_repo: Path, runs: tuple[str, str], tmp_path: Path) -> None:
    """Where the code was not fetched, that is said with the command that fetches it."""
    git("clone", "-q", "--depth", "1", "-b", "runs", f"file://{git_repo}", "clone", cwd=tmp_path)
    ids = [git("rev-parse", each, cwd=git_repo)[:12] for each in ("HEAD^", "HEAD")]
    out = diff(tmp_path / "clone", "owl", "fox", "--only", "commits").stdout
    assert f"  not in this repository: {', '.join(ids)}. Fetch: git fetch --unshallow\n" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["owl", "nobody"], 1, "No run 'nobody' in this repository."),
        (["owl", "fox", "--only", "weather"], 2, "There is no section 'weather' to compare."),
        (["owl"], 2, "Missing argument 'B'."),
    ],
)
def test_wrong_calls(git_repo: Path, runs: tuple[str, str], arguments: list[str], code: int, message: str) -> None:
    """A run that is not there is an error, a call that cannot be understood is usage."""
    done = diff(git_repo, *arguments, check=False)
    assert (code, "") == (done.returncode, done.stdout)
    assert message in done.stderr


def test_help_lists_every_section(git_repo: Path) -> None:
    """The help does not import what compares, so its list of sections is compared here."""
    words = " ".join(diff(git_repo, "--help").stdout.split())
    assert f"Only these, parted by commas: {', '.join(SECTIONS)}." in words
