"""`runstone models history`, `at` and `blame`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from runstone.git.repository import Repository
from tests.registry.lines import ANN, Line, alias, stage
from tests.support import git

Invoke = Callable[..., Result]


@pytest.fixture
def line(git_repo: Path) -> Line:
    """Version 1 and 2 of `churn`; 1 was in Production, until a merged proposal put 2 there."""
    line = Line(Repository.open(git_repo))
    line.tag("churn", 1)
    line.commit({"churn/stages/Production.yaml": stage(1)}, "Promote churn v1 to Production")
    line.tag("churn", 2, run="run-2")
    files = {"churn/stages/Production.yaml": stage(2), "churn/aliases/champion.yaml": alias(2)}
    assert line.tip is not None
    side = line.write(files, "Promote churn v2\n\nBypass: \x1b[31mfire", parents=[line.tip], author=ANN)
    line.merge([side], files, "Merge pull request #12 from ann/promote\n\nApproved-by: Bob <bob@example.org>")
    line.commit({"other/aliases/a.yaml": alias(1)})
    return line


def test_history_tells_what_happened_and_who_did_it(invoke: Invoke, line: Line) -> None:
    """The oldest first, of this model alone; control characters of others are escaped."""
    happened = json.loads(invoke("models", "history", "churn", "--json").stdout)
    assert [
        ("version registered", 1, None, None),
        ("stage", 1, None, "Production"),
        ("version registered", 2, None, None),
        ("stage", 1, "Production", None),
        ("stage", 2, None, "Production"),
        ("alias champion", 2, None, "2"),
    ] == [(each["what"], each["version"], each["from"], each["to"]) for each in happened]
    last = happened[-1]
    assert ["Ann <ann@example.org>"] == last["proposed_by"]
    assert ("Bob <bob@example.org>", "#12", "run-2") == (last["merged_by"], last["request"], last["run"])
    assert (["Bob <bob@example.org> (merge)"], "\x1b[31mfire") == (last["approved_by"], last["bypass"])
    assert ("churn@v1", "Ann <ann@example.org>") == (happened[0]["tag"], happened[0]["registered_by"])
    table = invoke("models", "history", "churn")
    assert "alias champion (bypassed: \\x1b[31mfire)" in table.stdout
    assert "" == table.stderr
    assert "other" not in table.stdout


def test_history_tells_of_names(invoke: Invoke, line: Line) -> None:
    """A rename is one also where it brings the model's first file; a file without another name edits the model."""
    head = "schema: runstone/registered-model/v1\n"
    line.commit({"churn/model.yaml": f"{head}name: leavers\n"})
    line.commit({"churn/model.yaml": f"{head}description: Who leaves\n"})
    line.commit({"churn/model.yaml": f"{head}description: Who stays\n"})
    line.commit({"churn/model.yaml": None, "fresh/model.yaml": head})
    happened = json.loads(invoke("models", "history", "churn", "--json").stdout)
    assert [
        ("model renamed", "churn", "leavers"),
        ("model renamed", "leavers", "churn"),
        ("model edited", None, None),
        ("model removed", None, None),
    ] == [(each["what"], each["from"], each["to"]) for each in happened if each["what"].startswith("model ")]
    (row, _) = (r for r in invoke("models", "history", "churn").stdout.splitlines() if "model renamed" in r)
    assert row.split().index("churn") < row.split().index("leavers")
    assert "model created" in invoke("models", "history", "fresh").stdout


def test_history_of_one_stage(invoke: Invoke, line: Line) -> None:
    """What entered and left it, however it is spelled."""
    happened = json.loads(invoke("models", "history", "churn", "--stage", "production", "--json").stdout)
    assert [(1, "Production"), (1, None), (2, "Production")] == [(each["version"], each["to"]) for each in happened]
    none = invoke("models", "history", "churn", "--stage", "Staging")
    assert ("", "Nothing has happened to it.\n") == (none.stdout, none.stderr)


def test_at_a_date_a_time_and_a_commit(invoke: Invoke, line: Line) -> None:
    """Which instant was taken is said; a day means its end."""
    first = git("rev-parse", "main~2", cwd=line.repo.git_dir)
    before = invoke("models", "at", "2025-10-08")
    assert ("", 2) == (before.stdout, before.stderr.count("\n"))
    assert "As of 2025-10-08T23:59:59.999Z: before the first commit\n" in before.stderr
    assert "There was no model version.\n" in before.stderr
    for when in ("2025-10-09T08:55:30Z", "2025-10-09T10:55:30+02:00", first):
        document = json.loads(invoke("models", "at", when, "churn", "--json").stdout)
        (model,) = document["models"]
        assert (first, {"Production": [1]}, {}) == (document["commit"], model["stages"], model["aliases"])
        assert [1] == [version["version"] for version in model["versions"]]
    table = invoke("models", "at", "2025-10-09", "churn")
    assert ["churn", "2", "Production", "champion", "2025-10-09T08:56:20.000Z", "run-2"] == table.stdout.splitlines()[
        1
    ].split()
    assert f"As of 2025-10-09T23:59:59.999Z: commit {line.tip and line.tip[:12]}\n" == table.stderr
    named = invoke("models", "at", "main~2", "--csv")
    assert "model,version,stage,aliases,registered,run" == named.stdout.splitlines()[0]
    assert "As of main~2 (2025-10-09T08:55:20.999Z): commit" in named.stderr


@pytest.mark.parametrize("when", ["no-such-thing", "--all", "HEAD HEAD", "2025-13-01", ""])
def test_at_what_is_neither_time_nor_commit(invoke: Invoke, line: Line, when: str) -> None:
    """A wrong call, which says how to write one; options of git's own are no commits."""
    result = invoke("models", "at", "--", when, code=2)
    assert f"{when!r} is neither a time nor a commit. Write 2026-11-22" in result.stderr


def test_blame(invoke: Invoke, line: Line) -> None:
    """All that is held, or one stage or alias of it."""
    held = json.loads(invoke("models", "blame", "churn", "--json").stdout)
    assert [("Production", None, 2), (None, "champion", 2)] == [(h["stage"], h["alias"], h["version"]) for h in held]
    assert (git("rev-parse", "main~1", cwd=line.repo.git_dir), "#12") == (held[0]["commit"], held[0]["request"])
    assert ("2025-10-09T08:58:20.000Z", "run-2", None) == (held[0]["since"], held[0]["run"], held[0]["code"])
    text = invoke("models", "blame", "churn", "@champion").stdout
    assert text.startswith("\n@champion  v2\nsince          2025-10-09T08:58:20.000Z\n")
    assert "bypass         \\x1b[31mfire\n" in text
    assert "Production" not in text
    unknown = invoke("models", "blame", "churn", "Staging", code=2).stderr
    assert "Nothing of churn is in 'Staging'. It holds: @champion, Production." in unknown
    line.tag("bare", 1)
    assert "No version of bare is in a stage, and no alias points at one.\n" == invoke("models", "blame", "bare").stderr


def test_a_model_that_is_not_there(invoke: Invoke, line: Line) -> None:
    """An error that lists those that are; what has an alias and no version is none."""
    for verb in ("history", "blame"):
        result = invoke("models", verb, "chrn", code=1)
        assert "error: The registry has no model 'chrn'. It has churn." in result.stderr


def test_a_shallow_clone_says_so(invoke: Invoke, line: Line, git_repo: Path, tmp_path: Path) -> None:
    """Each command that reads history tells where it ends, and how to get the rest."""
    clone = tmp_path / "shallow"
    git("clone", "-q", "--depth", "1", f"file://{git_repo}", clone, cwd=tmp_path)
    for words in (["models", "history", "churn"], ["models", "blame", "churn"], ["audit"]):
        assert "`git fetch --unshallow`" in invoke(*words, repo=clone).stderr
    assert (
        "does not go back to 2025-10-09T08:50:00.000Z"
        in invoke("models", "at", "2025-10-09T08:50Z", repo=clone, code=1).stderr
    )


def test_approvals_that_may_be_missing(invoke: Invoke, line: Line, git_repo: Path, tmp_path: Path) -> None:
    """A plain clone has no notes of approvals: where the project reviews, that is said until they were fetched. Without
    a remote, or where all was committed directly, nothing can be missing.
    """
    hint = (
        "Approvals that CI noted may be missing: `git clone` leaves these notes behind. Fetch them: `runstone pull`\n"
    )
    clone = tmp_path / "clone"
    git("clone", "-q", git_repo, clone, cwd=tmp_path)
    commands = (["models", "history", "churn"], ["models", "blame", "churn", "--json"], ["audit", "--csv"])
    assert [""] * 3 == [invoke(*command, repo=clone).stderr for command in commands]
    (clone / "runstone.yaml").write_text("promotion: review\n")
    assert [hint] * 3 == [invoke(*command, repo=clone).stderr for command in commands]
    assert [""] * 3 == [invoke(*command).stderr for command in commands]
    git("notes", "--ref", "runstone", "add", "-m", "x", cwd=git_repo)
    invoke("pull", repo=clone)
    assert [""] * 3 == [invoke(*command, repo=clone).stderr for command in commands]
