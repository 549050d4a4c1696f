"""`runstone experiments …`."""

import json
from collections.abc import Callable

from click.testing import Result

Invoke = Callable[..., Result]


def test_list(invoke: Invoke, three_runs: list[str]) -> None:
    """With how many runs each has; columns, filter, sort and limit as everywhere."""
    found = json.loads(invoke("experiments", "list", "--json", "-c", "id,name,runs", "-s", "name DESC").stdout)
    expected = [{"id": "churn", "name": "churn", "runs": 2}, {"id": "default-7a1c", "name": "Default", "runs": 1}]
    assert [one["name"] for one in expected] == [one["name"] for one in found]
    assert [2, 1] == [one["runs"] for one in found]
    assert "id" == invoke("experiments", "list").stdout.split()[0]
    assert "name\nchurn\n" == invoke("experiments", "list", "-f", "name LIKE 'ch%'", "-c", "name").stdout
    limited = invoke("experiments", "list", "-n", "1", "-c", "name", "-s", "name")
    assert ("name\nDefault\n", "Only the first 1 row is shown; all: `-n 0`.\n") == (limited.stdout, limited.stderr)
    result = invoke("experiments", "list", "-c", "nope", code=2)
    known = "id, name, runs, lifecycle, created, last_run, description, tags.KEY"
    assert f"error: Experiments have no column 'nope'. There are: {known}.\n" in result.stderr


def test_create_show_and_tag(invoke: Invoke) -> None:
    """The id is printed; description and tags are kept."""
    result = invoke("experiments", "create", "churn", "--description", "Who leaves", "-t", "team=growth")
    assert "churn\n" == result.stdout
    shown = json.loads(invoke("experiments", "show", "churn", "--json").stdout)
    assert ("churn", "Who leaves", {"team": "growth"}, 0) == (
        shown["name"],
        shown["description"],
        shown["tags"],
        shown["runs"],
    )
    invoke("experiments", "tag", "churn", "stage=early", "--delete", "team")
    assert "stage=early\n" == invoke("experiments", "tag", "churn").stdout
    assert "description  Who leaves\n" in invoke("experiments", "show", "churn").stdout
    again = invoke("experiments", "create", "churn", code=1)
    expected = (
        "error: The experiment 'churn' exists already. Use it: `runstone.set_experiment`, or take another name.\n"
    )
    assert expected == again.stderr


def test_rename_rm_and_restore(invoke: Invoke, three_runs: list[str]) -> None:
    """The id stays with a new name; a deleted experiment takes its runs out of lists and brings them back."""
    assert "renamed churn\n" == invoke("experiments", "rename", "churn", "churn 2026").stdout
    result = invoke("experiments", "rm", "churn 2026")
    assert ("deleted churn\n", "Undo: `runstone experiments restore churn`\n") == (result.stdout, result.stderr)
    assert "name\nodd-newt-3\n" == invoke("runs", "list", "-c", "name").stdout
    assert "churn 2026" not in invoke("experiments", "list").stdout
    assert "churn 2026" in invoke("experiments", "list", "--all").stdout
    assert "restored churn\n" == invoke("experiments", "restore", "churn").stdout
    assert 4 == len(invoke("runs", "list", "-c", "name").stdout.splitlines())
