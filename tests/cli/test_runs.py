"""`runstone runs …` on a repository with three runs."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.support import git, run_python

Invoke = Callable[..., Result]


def cells(table: str) -> list[list[str]]:
    """The cells of a table that holds no cell with two spaces."""
    return [re.split(r" {2,}", line.strip()) for line in table.splitlines()]


def test_list_shows_the_newest_first(invoke: Invoke, three_runs: list[str]) -> None:
    """Id, name, experiment, status, age, duration, and the metrics that most runs have; whole ids in a pipe."""
    table = cells(invoke("runs", "list").stdout)
    head = ["id", "name", "experiment", "status", "age", "duration", "metrics.auc", "metrics.loss"]
    assert head == table[0]
    assert list(reversed(three_runs)) == [row[0] for row in table[1:]]
    assert ["odd-newt-3", "calm-fox-2", "brave-otter-1"] == [row[1] for row in table[1:]]
    assert [["-", "-"], ["nan", "0.25"], ["0.7", "0.5"]] == [row[6:] for row in table[1:]]


def test_list_columns_sort_filter_and_limit(invoke: Invoke, three_runs: list[str]) -> None:
    """Columns are the fields of filters; --limit says that there is more."""
    result = invoke("runs", "list", "-c", "name,params.lr,min(metrics.loss)", "-s", "params.lr DESC", "-n", "2")
    expected = [
        ["name", "params.lr", "min(metrics.loss)"],
        ["brave-otter-1", "0.1", "0.5"],
        ["calm-fox-2", "0.01", "0.25"],
    ]
    assert expected == cells(result.stdout)
    assert "Only the first 2 rows are shown; all: `-n 0`.\n" == result.stderr
    filtered = invoke("runs", "list", "-f", "metrics.loss < 0.9", "-f", "params.depth = 5", "-c", "name")
    assert "name\ncalm-fox-2\n" == filtered.stdout


def test_list_adds_columns_to_the_usual_ones(invoke: Invoke, three_runs: list[str]) -> None:
    """`-c +FIELD` keeps what is shown anyway; a metric that is sorted by comes first of the automatic ones."""
    head = cells(invoke("runs", "list", "-c", "+params.lr,tags.team", "-s", "metrics.loss").stdout)[0]
    assert ["params.lr", "tags.team", "metrics.loss", "metrics.auc"] == head[6:]


def test_list_of_one_experiment(invoke: Invoke, three_runs: list[str]) -> None:
    """By name or by id; an unknown one is an error that says what to do."""
    assert "name\ncalm-fox-2\nbrave-otter-1\n" == invoke("runs", "list", "-e", "churn", "-c", "name").stdout
    result = invoke("runs", "list", "-e", "nowhere", code=1)
    assert result.stderr.startswith("error: No experiment 'nowhere' in this repository. List them: ")


def test_list_as_json_holds_whole_records(invoke: Invoke, three_runs: list[str]) -> None:
    """Without columns JSON is the records, all of them; with columns just these."""
    records = json.loads(invoke("runs", "list", "--json").stdout)
    assert list(reversed(three_runs)) == [record["id"] for record in records]
    assert {"lr": 0.1, "depth": 3, "kind": "forest"} == records[2]["params"]
    assert {"last": "nan", "step": 1, "min": "nan", "max": "nan", "count": 1} == records[1]["metrics"]["auc"]
    assert "churn" == records[2]["experiment_id"]
    some = json.loads(invoke("runs", "list", "--json", "-c", "name,metrics.loss,duration", "-n", "1").stdout)
    assert [{"name": "odd-newt-3", "metrics.loss": None}] == [
        {k: v for k, v in one.items() if k != "duration"} for one in some
    ]
    assert some[0]["duration"] >= 0


def test_list_as_csv_has_a_column_for_everything(invoke: Invoke, three_runs: list[str]) -> None:
    """Params, metrics and tags of all runs, in whole precision."""
    rows = list(csv.DictReader(io.StringIO(invoke("runs", "list", "--csv").stdout)))
    expected = {
        "name": "brave-otter-1",
        "params.depth": "3",
        "params.kind": "forest",
        "params.lr": "0.1",
        "metrics.auc": "0.7",
        "metrics.loss": "0.5",
        "tags.team": "growth",
    }
    assert expected == {key: rows[2][key] for key in expected}
    assert ["", "", "nan"] == [rows[0]["params.lr"], rows[0]["metrics.auc"], rows[1]["metrics.auc"]]


def test_json_and_csv_contradict_each_other(invoke: Invoke) -> None:
    """One form at a time."""
    assert (
        "error: --json and --csv cannot be used together.\n" in invoke("runs", "list", "--json", "--csv", code=2).stderr
    )


def test_list_of_nothing(invoke: Invoke) -> None:
    """An empty repository is no error: nothing on standard output, and a word beside it; JSON is an empty list."""
    result = invoke("runs", "list")
    assert ("", "There are no runs yet.\n") == (result.stdout, result.stderr)
    assert [] == json.loads(invoke("runs", "list", "--json").stdout)


def test_search(invoke: Invoke, three_runs: list[str]) -> None:
    """FILTER and --filter both hold; an error points at the place and ends with 2."""
    found = invoke("runs", "search", "metrics.loss < 1 OR status = 'FAILED'", "-f", "params.lr IS NULL", "-c", "name")
    assert "name\nodd-newt-3\n" == found.stdout
    result = invoke("runs", "search", "metrics.loss <", code=2)
    assert result.stderr.startswith("error: The filter cannot be read: ")
    assert "\n  metrics.loss <\n                ^" in result.stderr


def test_a_run_is_named_by_id_prefix_or_name(invoke: Invoke, three_runs: list[str]) -> None:
    """One that means nobody ends with 1, one that means several with 2 and lists them."""
    for text in (three_runs[0], three_runs[0][:-1], "brave-otter-1"):
        assert three_runs[0] == json.loads(invoke("runs", "show", text, "--json").stdout)["id"]
    assert "error: No run 'nobody' in this repository." in invoke("runs", "show", "nobody", code=1).stderr
    result = invoke("runs", "show", three_runs[0][:4], code=2)
    assert f"error: '{three_runs[0][:4]}' means 3 runs. Write more of the id:\n" in result.stderr
    assert "brave-otter-1  started" in result.stderr


def test_show(invoke: Invoke, three_runs: list[str]) -> None:
    """Everything readable: source, params with their types, metrics, tags, artifacts, notes."""
    text = invoke("runs", "show", "brave-otter-1").stdout
    facts = {
        line.partition("  ")[0]: line.partition("  ")[2].strip() for line in text.partition("\n\n")[0].splitlines()
    }
    assert ("brave-otter-1", three_runs[0], "churn", "FINISHED") == (
        facts["run"],
        facts["id"],
        facts["experiment"],
        facts["status"],
    )
    assert re.fullmatch(r"[0-9a-f]{12} on main", facts["commit"])
    assert "\nparams\n  depth  3\n  kind   forest\n  lr     0.1\n" in text
    assert ["loss", "0.5", "2", "0.5", "0.9", "2"] in cells(text)
    assert "\ntags\n  team  growth\n" in text
    assert "\nartifacts\n  data/a.txt  6 B\n  data/b.txt  10 B\n" in text
    assert text.endswith("\nnotes\n# First\nIt *worked*.\n")
    document = json.loads(invoke("runs", "show", "brave-otter-1", "--json").stdout)
    assert "# First\nIt *worked*." == document["notes"]


def test_show_tells_a_text_from_a_number(invoke: Invoke) -> None:
    """A param that is the text "1" is shown in quotes."""
    run_id = invoke("log", "-p", "version='1'", "-p", "count=1").stdout.strip()
    assert '\n  count    1\n  version  "1"\n' in invoke("runs", "show", run_id).stdout


def test_show_a_text_of_thousands_of_digits(invoke: Invoke) -> None:
    """No number is as long, so it is shown as it is."""
    run_id = invoke("log", "-p", f"key='{'9' * 5000}'").stdout.strip()
    assert f"\n  key  {'9' * 5000}\n" in invoke("runs", "show", run_id).stdout


def test_text_of_others_is_escaped(invoke: Invoke) -> None:
    """A param that would colour the screen, and notes that would clear it, are shown as escapes."""
    run_id = invoke("log", "-p", "x=evil \x9b31m", "--note", "a\x1b[2Jb\nc").stdout.strip()
    for words in (("runs", "list", "-c", "name,params.x"), ("runs", "show", run_id)):
        shown = invoke(*words).stdout
        assert "evil \\x9b31m" in shown
        assert not {"\x1b", "\x9b"} & set(shown)
    assert "a\\x1b[2Jb\nc\n" in invoke("runs", "show", run_id).stdout


def test_metrics_history(invoke: Invoke, three_runs: list[str]) -> None:
    """The points as they were written, of one metric or all; an unknown one is told with those there are."""
    result = invoke("runs", "metrics", "brave-otter-1", "loss", "--csv")
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert ["metric", "step", "time", "value"] == rows[0]
    assert [["loss", "1", "0.9"], ["loss", "2", "0.5"]] == [[row[0], row[1], row[3]] for row in rows[1:]]
    assert 4 == len(invoke("runs", "metrics", "brave-otter-1").stdout.splitlines())
    assert [0.5] == [
        p["value"] for p in json.loads(invoke("runs", "metrics", "brave-otter-1", "loss", "-n", "1", "--json").stdout)
    ]
    result = invoke("runs", "metrics", "brave-otter-1", "nope", code=2)
    assert f"error: Run {three_runs[0]} has no metric 'nope'. It has: auc, loss.\n" in result.stderr


def test_artifacts(invoke: Invoke, three_runs: list[str]) -> None:
    """The same as `artifacts list`."""
    assert ["path", "size", "md5"] == cells(invoke("runs", "artifacts", "brave-otter-1").stdout)[0]
    assert "data/b.txt" in invoke("runs", "artifacts", "brave-otter-1", "data/b.txt").stdout


def test_rm_and_restore(invoke: Invoke, three_runs: list[str], workspace: Workspace) -> None:
    """Deleted runs leave the lists and keep their record with the reason; restoring brings them back."""
    result = invoke("runs", "rm", "brave-otter-1", "calm-fox-2", "--reason", "wrong data")
    assert f"deleted {three_runs[0]}\ndeleted {three_runs[1]}\n" == result.stdout
    assert f"Undo: `runstone runs restore {three_runs[0]} {three_runs[1]}`\n" == result.stderr
    assert "name\nodd-newt-3\n" == invoke("runs", "list", "-c", "name").stdout
    both = invoke("runs", "list", "--all")
    assert "lifecycle_stage" == cells(both.stdout)[0][4]
    assert "wrong data" in invoke("runs", "show", "brave-otter-1").stdout
    assert f"restored {three_runs[0]}\n" == invoke("runs", "restore", "brave-otter-1").stdout
    assert "name\nodd-newt-3\nbrave-otter-1\n" == invoke("runs", "list", "-c", "name").stdout


def test_rm_says_how_to_share_where_there_is_a_remote(
    invoke: Invoke, three_runs: list[str], git_repo: Path, bare_remote: Path
) -> None:
    """The next git step, with the remote's own name."""
    git("remote", "add", "upstream", bare_remote, cwd=git_repo)
    assert "Share it: `runstone sync`\n" in run_cli("runs", "rm", "odd-newt-3", cwd=git_repo).stderr


def test_tag(invoke: Invoke, three_runs: list[str], git_repo: Path) -> None:
    """Tags are set and deleted, in one commit; without any they are printed."""
    before = int(git("rev-list", "--count", "--first-parent", "runs", cwd=git_repo))
    invoke("runs", "tag", "brave-otter-1", "reviewed=yes", "by=Kim = me", "--delete", "team")
    assert before + 1 == int(git("rev-list", "--count", "--first-parent", "runs", cwd=git_repo))
    assert "by=Kim = me\nreviewed=yes\n" == invoke("runs", "tag", "brave-otter-1").stdout
    assert "error: 'oops' must be KEY=VALUE.\n" in invoke("runs", "tag", "brave-otter-1", "oops", code=2).stderr
    assert "error: 'a' is given twice.\n" in invoke("runs", "tag", "brave-otter-1", "a=1", "a=2", code=2).stderr
    result = invoke("runs", "tag", "brave-otter-1", "--delete", "gone", code=2)
    assert (
        f"error: Run {three_runs[0]} has no tag 'gone'. See its tags: `runstone runs show {three_runs[0]}`\n"
        == result.stderr
    )


def test_edits_as_json(invoke: Invoke, three_runs: list[str]) -> None:
    """What was done, as an object with the id; values are values."""
    tagged = json.loads(invoke("runs", "tag", "brave-otter-1", "a=b", "-d", "team", "--json").stdout)
    assert {"run_id": three_runs[0], "set": {"a": "b"}, "deleted": ["team"], "tags": {"a": "b"}} == tagged
    assert {"a": "b"} == json.loads(invoke("runs", "tag", "brave-otter-1", "--json").stdout)["tags"]
    words = ("runs", "amend", "brave-otter-1", "--reason", "typo", "-p", "lr=0.2", "-p", "new=[1]", "--json")
    assert {
        "run_id": three_runs[0],
        "reason": "typo",
        "changes": [
            {"key": "params.lr", "before": 0.1, "after": 0.2},
            {"key": "params.new", "before": None, "after": "[1]"},
        ],
    } == json.loads(invoke(*words).stdout)
    assert [] == json.loads(invoke(*words).stdout)["changes"]


def test_columns_of_what_a_run_repeats_and_how_long_it_took(
    invoke: Invoke, three_runs: list[str], git_repo: Path
) -> None:
    """`rerun_of` and `command` are fields as any; `duration` is compared in seconds."""
    again = ("log", "--name", "again")
    run_id = run_cli(*again, cwd=git_repo, env={"RUNSTONE_RERUN_OF": three_runs[0]}).stdout.strip()
    found = json.loads(
        invoke("runs", "list", "-f", "rerun_of IS NOT NULL", "-c", "id,rerun_of,command", "--json").stdout
    )
    assert [(run_id, three_runs[0])] == [(each["id"], each["rerun_of"]) for each in found]
    assert found[0]["command"].endswith("log --name again")
    rows = json.loads(invoke("runs", "list", "-s", "duration DESC", "-c", "duration", "--json").stdout)
    assert sorted((row["duration"] for row in rows), reverse=True) == [row["duration"] for row in rows]
    assert [] == json.loads(invoke("runs", "list", "-f", "duration > 100", "--json").stdout)


@pytest.mark.parametrize(
    "words", [["runs", "list"], ["runs", "list", "--json"], ["runs", "search", "status = 'FAILED'"]]
)
def test_lists_record_the_runs_of_dead_processes_first(words: list[str], git_repo: Path) -> None:
    """A killed process's run is FAILED in the next list, never RUNNING for ever."""
    code = "import os, runstone; runstone.start_run(run_name='cut-short'); runstone.log_param('a', 1); os._exit(9)"
    assert 9 == run_python(code, cwd=git_repo, check=False).returncode
    done = run_cli(*words, cwd=git_repo)
    assert "cut-short" in done.stdout
    assert "FAILED" in done.stdout
    assert "status: FAILED" in git("grep", "-h", "status:", "runs", cwd=git_repo)
