"""Two runs side by side: every section, typed and nested params, and the commits between them."""

import hashlib
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runstone.client import Client
from runstone.errors import RunNotFound, UsageError
from runstone.tracking.compare import (
    MAX_COMMITS,
    SECTIONS,
    Commit,
    CommitRange,
    Comparison,
    Difference,
    compare_maps,
    compare_params,
    compare_runs,
    parse_requirements,
)
from tests.support import git, make_repository, run_python


def record(repo: Path, *, name: str = "run", status: str = "FINISHED", **logged: Any) -> str:
    """Record a run of given params, metrics (last values) and tags; returns its id."""
    client = Client(repo)
    run = client.create_run("0", run_name=name)
    client.log_batch(run.info.run_id, params=logged.get("params", {}), tags=logged.get("tags", {}))
    for key, value in logged.get("metrics", {}).items():
        client.log_metric(run.info.run_id, key, value)
    client.log_inputs(run.info.run_id, logged.get("datasets", ()))
    client.set_terminated(run.info.run_id, status)
    return run.info.run_id


def compare(repo: Path, a: str, b: str, *sections: str) -> Comparison:
    """The comparison of two runs in the sections named, or in all."""
    return compare_runs(Client(repo).workspace, a, b, sections=sections or SECTIONS)


def commit(repo: Path, subject: str) -> str:
    """Add an empty commit and return its id."""
    git("commit", "-q", "--allow-empty", "-m", subject, cwd=repo)
    return git("rev-parse", "HEAD", cwd=repo)


def test_params_metrics_and_tags(git_repo: Path) -> None:
    """What is added, removed, changed and equal, each sorted by key; metrics with their change."""
    a = record(
        git_repo, params={"lr": 0.1, "seed": 7, "old": None}, metrics={"loss": 0.5, "auc": 0.25}, tags={"team": "x"}
    )
    b = record(git_repo, params={"lr": 0.2, "seed": 7, "new": [1]}, metrics={"loss": 0.25}, tags={"team": "y"})
    found = compare(git_repo, a, b, "params", "metrics", "tags")
    assert {
        "params": (
            Difference("lr", "changed", 0.1, 0.2),
            Difference("new", "added", None, [1]),
            Difference("old", "removed", None, None),
            Difference("seed", "equal", 7, 7),
        ),
        "metrics": (Difference("auc", "removed", 0.25, None), Difference("loss", "changed", 0.5, 0.25)),
        "tags": (Difference("team", "changed", "x", "y"),),
    } == found.sections
    assert [(None, None), (-0.25, -0.5)] == [(each.change, each.relative) for each in found.sections["metrics"]]
    assert (a, b, None) == (found.a.id, found.b.id, found.commits)


def test_a_run_and_itself_differ_in_nothing(git_repo: Path) -> None:
    """Every section holds the run's things, all equal, NaN and dirty trees included."""
    (git_repo / "untracked.txt").write_text("new\n")
    run = record(git_repo, params={"a": math.nan, "b": {"c": [1, {"d": None}]}}, metrics={"loss": math.nan})
    found = compare(git_repo, run, run)
    assert {"equal"} == {each.state for section in found.sections.values() for each in section}
    assert [*SECTIONS[:3], "environment", "packages", "source"] == [k for k, v in found.sections.items() if v]
    head = git("rev-parse", "HEAD", cwd=git_repo)
    assert CommitRange(head, head) == found.commits


def test_status_duration_and_experiment(git_repo: Path) -> None:
    """The section `run` tells how each went; the duration is in milliseconds."""
    client = Client(git_repo)
    ids = []
    for name, status, lasted in (("first", "FINISHED", 1500), ("second", "FAILED", 4000)):
        run = client.create_run(client.create_experiment(name), start_time=1_700_000_000_000)
        client.set_terminated(run.info.run_id, status, 1_700_000_000_000 + lasted)
        ids.append(run.info.run_id)
    assert [
        ("duration_ms", "changed", 1500, 4000),
        ("experiment", "changed", "first", "second"),
        ("status", "changed", "FINISHED", "FAILED"),
    ] == [(d.key, d.state, d.a, d.b) for d in compare(git_repo, *ids, "run").sections["run"] if d.key != "user"]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 1.0, "changed"),
        (1, True, "changed"),
        (1, "1", "changed"),
        (None, "None", "changed"),
        ([1, 2], [1, 2.0], "changed"),
        (math.nan, math.nan, "equal"),
        ([math.nan, {"a": 0}], [math.nan, {"a": 0}], "equal"),
        ({}, {}, "equal"),
        ([], {}, "changed"),
    ],
)
def test_params_are_compared_as_typed(a: Any, b: Any, expected: str) -> None:
    """Equal is what is written alike, and nothing else."""
    assert [expected] == [each.state for each in compare_params({"p": a}, {"p": b})]


def test_nested_params_are_compared_leaf_by_leaf() -> None:
    """One changed number in a configuration is one difference, named by its path."""
    a: dict[str, Any] = {"model": {"depth": 3, "heads": {"n": 4}}, "seed": 1}
    b: dict[str, Any] = {"model": {"depth": 3, "heads": {"n": 8}, "bias": True}, "seed": 1}
    assert [
        ("model.bias", "added"),
        ("model.depth", "equal"),
        ("model.heads.n", "changed"),
        ("seed", "equal"),
    ] == [(each.key, each.state) for each in compare_params(a, b)]


def test_a_joined_key_never_hides_another() -> None:
    """Where `a.b` stands beside `{a: {b: …}}`, the maps are compared whole."""
    a: dict[str, Any] = {"a.b": 1, "a": {"b": 2}}
    b: dict[str, Any] = {"a.b": 1, "a": {"b": 3}}
    assert (Difference("a", "changed", {"b": 2}, {"b": 3}), Difference("a.b", "equal", 1, 1)) == compare_params(a, b)


@pytest.mark.parametrize(
    ("a", "b", "change", "relative"),
    [
        (2.0, 3.0, 1.0, 0.5),
        (-2.0, -3.0, -1.0, -0.5),
        (0.0, 3.0, 3.0, None),
        (1.0, math.nan, None, None),
        (math.inf, math.inf, None, None),
        (-1.7e308, 1.7e308, None, None),
        (5e-324, 1e300, 1e300, None),
    ],
)
def test_changes_of_metrics(a: float, b: float, change: float | None, relative: float | None) -> None:
    """The change is relative to the size of the first; what is no finite number is left out."""
    (found,) = compare_maps({"m": a}, {"m": b})
    assert (change, relative) == (found.change, found.relative)


def test_datasets_by_name_and_role(git_repo: Path) -> None:
    """The digest tells whether the data changed; a second one of the same name and role is counted, not lost."""
    from runstone.records.dataset import Dataset

    old, new = Dataset("wine", "md5:aa", role="train"), Dataset("wine", "md5:bb", role="train")
    extra, test = Dataset("wine", "md5:cc", role="train"), Dataset("wine", "md5:dd", role="test")
    a, b = record(git_repo, datasets=[old, test]), record(git_repo, datasets=[new, extra, test])
    assert (
        Difference("wine (test)", "equal", "md5:dd", "md5:dd"),
        Difference("wine (train)", "changed", "md5:aa", "md5:bb"),
        Difference("wine (train) #2", "added", None, "md5:cc"),
    ) == compare(git_repo, a, b, "datasets").sections["datasets"]


def test_packages_that_changed(git_repo: Path, tmp_path: Path) -> None:
    """The packages of two processes with other packages on their path."""
    ids = []
    for number, installed in enumerate(({"up": "1.0", "gone": "3"}, {"up": "2.0", "come": "4"})):
        site = tmp_path / str(number)
        for name, version in installed.items():
            (site / f"{name}-{version}.dist-info").mkdir(parents=True)
            (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\n")
        code = f"import sys; sys.path.append({str(site)!r}); import runstone; print(runstone.start_run().info.run_id)"
        ids.append(run_python(code, cwd=git_repo).stdout.strip())
    packages = compare(git_repo, *ids, "packages").sections["packages"]
    assert [
        Difference("come", "added", None, "4"),
        Difference("gone", "removed", "3", None),
        Difference("up", "changed", "1.0", "2.0"),
    ] == [each for each in packages if each.state != "equal"]
    assert "click" in {each.key for each in packages if each.state == "equal"}


def test_requirements_of_every_shape() -> None:
    """Versions, origins and local installs are read; names are normalised; other lines are passed over."""
    text = (
        "Scikit_Learn==1.5\n# mine==0.1 (editable install at 3f0c)\n"
        "tool @ git+https://host/tool@9ab1\n\n# just a remark\n"
    )
    assert {
        "scikit-learn": "1.5",
        "mine": "0.1 (editable install at 3f0c)",
        "tool": "git+https://host/tool@9ab1",
    } == parse_requirements(text)


def test_commits_in_either_direction(git_repo: Path) -> None:
    """From the older run's code to the newer one's, and back."""
    a, first = record(git_repo), git("rev-parse", "HEAD", cwd=git_repo)
    ids = [commit(git_repo, "Raise the depth"), commit(git_repo, "Lower the rate")]
    b = record(git_repo)
    between = (Commit(ids[1], "Lower the rate"), Commit(ids[0], "Raise the depth"))
    assert CommitRange(first, ids[1], (), (), between, 0, 2) == compare(git_repo, a, b, "commits").commits
    assert CommitRange(ids[1], first, (), between, (), 2, 0) == compare(git_repo, b, a, "commits").commits
    source = {each.key: each.state for each in compare(git_repo, a, b, "source").sections["source"]}
    assert "changed" == source.pop("commit")
    assert {"branch": "equal", "command": "equal", "dirty": "equal"} == source


def test_commits_of_branches_that_parted(git_repo: Path) -> None:
    """Each side has commits that the other has not."""
    git("switch", "-q", "-c", "left", cwd=git_repo)
    left = commit(git_repo, "Left")
    a = record(git_repo)
    git("switch", "-q", "-c", "right", "main", cwd=git_repo)
    right = commit(git_repo, "Right")
    found = compare(git_repo, a, record(git_repo), "commits", "source")
    assert CommitRange(left, right, (), (Commit(left, "Left"),), (Commit(right, "Right"),), 1, 1) == found.commits
    assert Difference("branch", "changed", "left", "right") in found.sections["source"]


def test_many_commits_are_counted_and_the_newest_listed(git_repo: Path) -> None:
    """Of more than are listed, all are counted."""
    a = record(git_repo)
    stream = "".join(
        f"commit refs/heads/main\ncommitter K <k@example.org> {i} +0000\ndata 3\n{i:03}\n"
        + ("from refs/heads/main^0\n" if i == 0 else "")
        for i in range(MAX_COMMITS + 5)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=git_repo, input=stream, text=True, check=True)
    found = compare(git_repo, a, record(git_repo), "commits").commits
    assert found is not None
    assert (MAX_COMMITS + 5, MAX_COMMITS, f"{MAX_COMMITS + 4:03}") == (
        found.count_b,
        len(found.only_b),
        found.only_b[0].subject,
    )


def test_commits_that_are_not_here(git_repo: Path, tmp_path: Path) -> None:
    """A depth-1 clone of the runs has the records and not the code; that is said, and nothing fails."""
    a = record(git_repo)
    first, second = git("rev-parse", "HEAD", cwd=git_repo), commit(git_repo, "More")
    b = record(git_repo)
    git("clone", "-q", "--depth", "1", "-b", "runs", f"file://{git_repo}", "clone", cwd=tmp_path)
    found = compare(tmp_path / "clone", a, b)
    assert CommitRange(first, second, (first, second)) == found.commits
    assert ("commit", "changed") in [(each.key, each.state) for each in found.sections["source"]]


def test_runs_before_the_first_commit(tmp_path: Path) -> None:
    """Without any commit there is no history to compare."""
    repo = make_repository(tmp_path / "empty", commit=False)
    a, b = record(repo, params={"x": 1}), record(repo, params={"x": 2})
    found = compare(repo, a, b)
    assert CommitRange(None, None) == found.commits
    assert (Difference("x", "changed", 1, 2),) == found.sections["params"]


def test_a_live_run_is_compared_as_it_stands(git_repo: Path) -> None:
    """A run that has not ended has no duration yet."""
    a = record(git_repo, params={"x": 1})
    client = Client(git_repo)
    run = client.create_run("0")
    client.log_param(run.info.run_id, "x", 1)
    found = compare(git_repo, a, run.info.run_id, "run", "params").sections
    states = {each.key: each.state for section in found.values() for each in section}
    client.set_terminated(run.info.run_id)
    assert {
        "duration_ms": "removed",
        "experiment": "equal",
        "status": "changed",
        "user": "equal",
        "x": "equal",
    } == states


def test_what_cannot_be_compared(git_repo: Path) -> None:
    """A section that does not exist, and a run that does not."""
    run = record(git_repo)
    with pytest.raises(UsageError) as unknown:
        compare(git_repo, run, run, "weather")
    assert f"There is no section 'weather' to compare. There are: {', '.join(SECTIONS)}." == str(unknown.value)
    with pytest.raises(RunNotFound):
        compare(git_repo, run, "0" * 32)


def log_file(repo: Path, run_id: str, path: str, text: str) -> None:
    """Log a text as an artifact."""
    Client(repo).log_text(run_id, text, path)


def run_with_files(repo: Path, files: dict[str, str]) -> str:
    """Record a run that keeps these files."""
    client = Client(repo)
    run_id = client.create_run("0").info.run_id
    for path, text in files.items():
        log_file(repo, run_id, path, text)
    client.set_terminated(run_id)
    return run_id


def test_artifacts_by_path_size_and_digest(git_repo: Path) -> None:
    """The digest tells whether a file changed."""
    a = run_with_files(git_repo, {"a.txt": "hello", "same.txt": "s", "old/x": "1"})
    b = run_with_files(git_repo, {"a.txt": "hello!", "same.txt": "s", "new": "22"})
    digests = [
        hashlib.md5(text, usedforsecurity=False).hexdigest() for text in (b"hello", b"hello!", b"s", b"1", b"22")
    ]
    hello, bang, same, one, two = digests
    assert (
        Difference("a.txt", "changed", {"size": 5, "md5": hello}, {"size": 6, "md5": bang}),
        Difference("new", "added", None, {"size": 2, "md5": two}),
        Difference("old/x", "removed", {"size": 1, "md5": one}, None),
        Difference("same.txt", "equal", {"size": 1, "md5": same}, {"size": 1, "md5": same}),
    ) == compare(git_repo, a, b, "artifacts").sections["artifacts"]


def test_artifacts_of_which_only_the_pointer_is_here(git_repo: Path, tmp_path: Path) -> None:
    """A clone without the listings compares the folders as wholes, by digest, and fetches nothing."""
    a, b = run_with_files(git_repo, {"a": "1"}), run_with_files(git_repo, {"a": "1", "b": "22"})
    same, bare = run_with_files(git_repo, {"a": "1"}), record(git_repo)
    git("clone", "-q", "-b", "runs", str(git_repo), "clone", cwd=tmp_path)
    (found,) = compare(tmp_path / "clone", a, b, "artifacts").sections["artifacts"]
    assert ("artifacts/", "changed", 1, 1, 2, 3) == (
        found.key,
        found.state,
        found.a["files"],
        found.a["size"],
        found.b["files"],
        found.b["size"],
    )
    assert found.a["md5"].endswith(".dir")
    states = [compare(tmp_path / "clone", *two, "artifacts").sections["artifacts"] for two in ((a, same), (bare, a))]
    assert ["equal", "added"] == [each.state for section in states for each in section]


def test_artifacts_of_a_live_run(git_repo: Path) -> None:
    """What it has logged so far."""
    a = run_with_files(git_repo, {"a": "1"})
    client = Client(git_repo)
    run_id = client.create_run("0").info.run_id
    log_file(git_repo, run_id, "b", "2")
    found = compare(git_repo, a, run_id, "artifacts").sections["artifacts"]
    client.set_terminated(run_id)
    assert [("a", "removed"), ("b", "added")] == [(each.key, each.state) for each in found]


def test_whether_anything_differs(git_repo: Path) -> None:
    """In what was compared: sections, commits, code."""
    a, b = record(git_repo, params={"x": 1}), record(git_repo, params={"x": 2})
    commit(git_repo, "More")
    c = record(git_repo, params={"x": 2})
    assert [True, False, False, True, False] == [
        compare(git_repo, a, b, "params").differs,
        compare(git_repo, a, b, "tags", "commits", "code").differs,
        compare(git_repo, b, c, "params", "code").differs,
        compare(git_repo, b, c, "commits").differs,
        compare(git_repo, c, c).differs,
    ]
