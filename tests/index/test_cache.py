"""The index file: equal to git whatever happens to either, and never in the way."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import RecordsSkipped
from runstone.git.repository import Repository
from runstone.index import cache
from runstone.index.cache import broken, open_index, rebuild
from runstone.index.search import get_run, list_runs, search_runs
from runstone.index.tables import RUN_BITS, RUN_MASK
from runstone.records import yaml
from runstone.records.run import Run
from tests.benchmarks import synthetic
from tests.benchmarks.synthetic import Shape
from tests.support import git, run_python

SMALL = Shape(params=3, metrics=3, tags=2, experiments=2)
RUN_FILE = "run.yaml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A repository with five runs in two experiments."""
    synthetic.make_runs(synthetic.init(tmp_path / "repo"), 5, shape=SMALL)
    return tmp_path / "repo"


def ids(repo: Repository, **options: Any) -> list[str]:
    """The ids of all runs, in order of id."""
    return sorted(row[0] for row in list_runs(repo, ["run_id"], run_view_type="ALL", **options))


def put(path: Path, run: Run) -> None:
    """Commit one run."""
    synthetic.commit_files(path, dict(synthetic.run_files(run)))


def record_of(run: Run) -> str:
    """The path of a run's record."""
    return f"{synthetic.folder(run)}/{RUN_FILE}"


def content(repo: Repository) -> dict[str, list[Any]]:
    """All that the index says, without the numbers it gives to runs and keys."""
    selects = {
        "run": "SELECT path, live, shown, id, name, experiment_id, experiment_name, status, user, started, ended, "
        "lifecycle, parent, git_commit, branch, snapshot, dirty, rerun_of, command, json "
        "FROM run JOIN document USING (run)",
        "dataset": "SELECT path, d.name, digest, context FROM dataset d JOIN run USING (run)",
        "experiment": "SELECT * FROM experiment",
        "broken": "SELECT * FROM broken",
        "state": "SELECT * FROM state",
    }
    for table, columns in (("param", "text, num"), ("metric", "last, step, min, max, count"), ("tag", "text")):
        selects[table] = (
            f"SELECT path, k.name, {', '.join(f'v.{column}' for column in columns.split(', '))} FROM {table} v "
            f"JOIN run ON run.run = v.at & {RUN_MASK} JOIN key k ON k.number = v.at >> {RUN_BITS}"
        )
    return open_index(repo).read(
        repo, lambda c: {name: sorted(map(repr, c.execute(text).fetchall())) for name, text in selects.items()}
    )


def test_a_new_run_is_found_at_the_next_read(path: Path, repo: Repository) -> None:
    """The index follows the branch without being told."""
    assert [synthetic.run(n, SMALL).id for n in range(5)] == ids(repo)
    (new,) = synthetic.make_runs(path, 1, first=5, shape=SMALL)
    assert new in ids(repo)
    assert synthetic.run(5, SMALL) == get_run(repo, new)


def test_one_new_run_reads_one_record(path: Path, repo: Repository) -> None:
    """After one new run its record is read and no other: the others may even be gone from the object store."""
    before = ids(repo)
    blob = git("rev-parse", f"runs:{record_of(synthetic.run(0, SMALL))}", cwd=path)
    put(path, synthetic.run(7, SMALL))
    (path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    repo.close()
    assert [*before, synthetic.run(7, SMALL).id] == ids(repo)


def test_updating_gives_what_rebuilding_gives(path: Path, repo: Repository) -> None:
    """After any edits (added, changed, broken, mended, removed, moved back) the index is as if made anew."""
    dice = random.Random(20261122)
    for step in range(25):
        files: dict[str, str | bytes | None] = {}
        for _ in range(dice.randrange(1, 4)):
            run = synthetic.run(dice.randrange(12), SMALL)
            kind = dice.choice(["add", "change", "break", "remove", "experiment", "gone", "twice", "many"])
            if kind == "add":
                files.update(synthetic.run_files(run))
            elif kind == "change":
                changed = replace(run, lifecycle="deleted", params={"new": step, "param_1": "x"}, tags={}, metrics={})
                files[record_of(run)] = yaml.dump(changed.to_document())
            elif kind == "break":
                files[record_of(run)] = dice.choice([b"status: [", b"\xff\xfe", b"", b"schema: runstone/run/v1\n"])
            elif kind == "remove":
                files[synthetic.folder(run)] = None
            elif kind == "experiment":
                renamed = replace(synthetic.experiment(dice.randrange(3)), name=f"renamed {step}")
                files.update(synthetic.experiment_files(renamed))
            elif kind == "gone":
                files[f"experiments/experiment-{dice.randrange(3)}/experiment.yaml"] = None
            elif kind == "twice":  # two clones that started a run of one id on two days
                twin = replace(run, started=run.started + 86_400_000)
                files.update(synthetic.run_files(twin))
            else:
                for number in range(20, 35):
                    files.update(synthetic.run_files(synthetic.run(number, SMALL)))
        synthetic.commit_files(path, files, new_history=step % 10 == 9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordsSkipped)
            updated = content(repo)
            rebuild(repo)
            assert content(repo) == updated, f"after step {step}"


def test_of_two_records_of_one_run_the_later_day_counts(path: Path, repo: Repository) -> None:
    """A run recorded under two days is shown once, always from the later one, and from the other when that goes."""
    run = synthetic.run(0, SMALL)
    later = replace(run, started=run.started + 86_400_000, name="later")
    earlier = replace(run, started=run.started - 86_400_000, name="earlier")
    for twin in (later, earlier):
        put(path, twin)
        assert (5, "later") == (len(ids(repo)), get_run(repo, run.id).name)
    synthetic.commit_files(path, {synthetic.folder(later): None})
    assert (5, run.name) == (len(ids(repo)), get_run(repo, run.id).name)


def test_a_branch_may_move_anywhere(path: Path, repo: Repository) -> None:
    """Moved back, rewritten, deleted and made again, even with its old commits pruned: the index shows the branch."""
    five = ids(repo)
    tip = git("rev-parse", "runs", cwd=path)
    synthetic.make_runs(path, 3, first=5, shape=SMALL)
    assert 8 == len(ids(repo))
    git("update-ref", "refs/heads/runs", tip, cwd=path)
    assert five == ids(repo)
    git("update-ref", "-d", "refs/heads/runs", cwd=path)
    assert [] == ids(repo)
    git("reflog", "expire", "--expire=all", "--all", cwd=path)
    git("gc", "--quiet", "--prune=now", cwd=path)
    repo.close()
    (only,) = synthetic.make_runs(path, 1, first=9, shape=SMALL)
    assert [only] == ids(repo)


def test_a_pruned_old_tip_leads_to_a_full_reading(path: Path, repo: Repository) -> None:
    """Where the commit the index knows is gone, there is nothing to compare with, and all is read."""
    assert 5 == len(ids(repo))
    synthetic.commit_files(path, dict(synthetic.run_files(synthetic.run(50, SMALL))), new_history=True)
    git("reflog", "expire", "--expire=all", "--all", cwd=path)
    git("gc", "--quiet", "--prune=now", cwd=path)
    repo.close()
    assert [synthetic.run(50, SMALL).id] == ids(repo)


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "torn page", "version", "not ours", "no tables"])
def test_a_damaged_index_is_made_anew(path: Path, repo: Repository, damage: str) -> None:
    """Whatever has become of the file, the search answers as ever, and the file is good again."""
    expected = ids(repo)
    cache.close_all()
    file = repo.cache_dir / cache.FILE
    size = file.stat().st_size
    if damage == "garbage":
        file.write_bytes(b"This was an index once. " * 1000)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        os.truncate(file, size // 2)
    elif damage == "torn page":
        with file.open("r+b") as stream:
            stream.seek(4096)
            stream.write(b"\xaa" * (size - 8192))
    else:
        with sqlite3.connect(file) as connection:
            statement = {
                "version": "PRAGMA user_version = 99",
                "not ours": "PRAGMA application_id = 1",
                "no tables": "DROP TABLE metric",
            }[damage]
            connection.execute(statement)
        connection.close()
    assert expected == ids(repo, order_by=["metrics.metric_0"])
    assert not open_index(repo).is_in_memory
    cache.close_all()
    with sqlite3.connect(file) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        assert 5 == connection.execute("SELECT count(*) FROM run").fetchone()[0]
    connection.close()


def test_the_index_of_another_repository_is_no_danger(path: Path, tmp_path: Path, repo: Repository) -> None:
    """An index file copied from elsewhere knows another commit: it is brought up to date like any old one."""
    other = synthetic.init(tmp_path / "other")
    synthetic.make_runs(other, 4, first=100, shape=SMALL)
    opened = Repository.open(other)
    assert 4 == len(ids(opened))
    cache.close_all()
    repo.cache_dir.mkdir(exist_ok=True)
    shutil.copy(opened.cache_dir / cache.FILE, repo.cache_dir / cache.FILE)
    assert [synthetic.run(n, SMALL).id for n in range(5)] == ids(repo)
    opened.close()


def test_a_deleted_file_is_noticed(repo: Repository) -> None:
    """The file may be deleted at any time, under our feet too."""
    expected = ids(repo)
    (repo.cache_dir / cache.FILE).unlink()
    assert expected == ids(repo)
    assert (repo.cache_dir / cache.FILE).exists()


def test_with_no_place_for_a_file_the_index_is_in_memory(path: Path) -> None:
    """Where the file cannot be made, searches work all the same, and follow the branch."""
    repo = Repository.open(path)
    (repo.cache_dir / cache.FILE).mkdir(parents=True)
    assert 5 == len(ids(repo))
    assert open_index(repo).is_in_memory
    synthetic.make_runs(path, 1, first=5, shape=SMALL)
    assert 6 == len(ids(repo))
    repo.close()
    cache.close_all()


def test_a_file_that_another_process_holds_is_done_without(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the lock cannot be had in time, the search reads git itself instead of failing."""
    monkeypatch.setattr(cache, "_BUSY_S", 0.2)
    assert 5 == len(ids(repo))
    cache.close_all()
    holder = sqlite3.connect(repo.cache_dir / cache.FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    synthetic.make_runs(Path(repo.work_tree or repo.git_dir), 1, first=5, shape=SMALL)
    assert 6 == len(ids(repo))
    assert open_index(repo).is_in_memory
    holder.close()


_REFRESH = """
import sys, time
from runstone.git.repository import Repository
from runstone.index.search import list_runs
repo = Repository.open(sys.argv[1])
until = time.monotonic() + float(sys.argv[2])
while True:
    found = list_runs(repo, ["run_id", "metrics.metric_0", "params.param_0"])
    assert all(None not in row for row in found), found
    if time.monotonic() > until:
        break
from runstone.index.cache import open_index
print(len(found), open_index(repo).is_in_memory)
"""


def test_many_processes_at_once(path: Path, repo: Repository) -> None:
    """Processes that make and update one index at the same time, while the branch moves, all see all runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _REFRESH, str(path), "1.5"]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for number in range(5, 15):
        put(path, synthetic.run(number, SMALL))
    answers = [process.communicate()[0] for process in processes]
    assert ["15 False\n"] * 4 == answers
    updated = content(repo)
    rebuild(repo)
    assert content(repo) == updated


def test_many_threads_at_once(path: Path, repo: Repository) -> None:
    """Threads share one index."""
    found: list[int] = []

    def look() -> None:
        for _ in range(5):
            found.append(len(search_runs(repo, order_by=["metrics.metric_0"])))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [5] * 20 == found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_opens_an_index_of_its_own(repo: Repository) -> None:
    """A forked child searches, and so does its parent afterwards, each over its own connection."""
    expected = ids(repo)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            repo.close()
            status = 0 if ids(repo) == expected else 2
        finally:
            os._exit(status)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert expected == ids(repo)


def test_a_broken_record_is_left_out_and_told(path: Path, repo: Repository) -> None:
    """A record that breaks its schema is skipped with a warning, listed with its error, and found again once mended."""
    run = synthetic.run(2, SMALL)
    where = record_of(run)
    bad = yaml.dump(run.to_document() | {"status": "DONE"})
    synthetic.commit_files(path, {where: bad})
    problem = (
        f"`{where}`: `status` must be one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED, but is the text "
        f'"DONE". Correct it, then: `runstone validate {where}`'
    )
    with pytest.warns(RecordsSkipped) as caught:
        assert 4 == len(ids(repo))
    assert [f"1 record is left out of searches. See them all: `runstone doctor`. It is: {problem}"] == [
        str(warning.message) for warning in caught
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [(where, problem)] == broken(repo)  # the same is not said twice
    synthetic.commit_files(path, dict(synthetic.run_files(run)))
    assert (5, []) == (len(ids(repo)), broken(repo))


@pytest.mark.parametrize(
    "bad",
    [
        "id: &a [*a]",
        "- 1\n",
        "schema: runstone/run/v2\nid: x\n",
        "schema: runstone/run/v1\nid: 7\n",
        "a: " + "[" * 5000,
        b"\x00\x01",
        "params: {a: 1" + "0" * 5000 + "}\n",
    ],
)
def test_no_record_can_stop_a_search(path: Path, repo: Repository, bad: str | bytes) -> None:
    """Whatever somebody pushed as a record, the other runs are found and the record is listed."""
    where = record_of(synthetic.run(2, SMALL))
    synthetic.commit_files(path, {where: bad})
    with pytest.warns(RecordsSkipped):
        assert 4 == len(ids(repo))
    assert [where] == [path for path, _ in broken(repo)]


def test_a_record_in_the_wrong_folder_is_broken(path: Path, repo: Repository) -> None:
    """The folder's name is the run's id; a record that says otherwise is listed, not shown as another run."""
    run = synthetic.run(2, SMALL)
    synthetic.commit_files(path, {record_of(synthetic.run(3, SMALL)): yaml.dump(run.to_document())})
    with pytest.warns(RecordsSkipped, match="`id` must be the name of its folder, but is '019"):
        assert 4 == len(ids(repo))


def test_other_files_on_the_branch_are_no_records(path: Path, repo: Repository) -> None:
    """READMEs, notes and records in places where none belongs are passed over."""
    text = yaml.dump(synthetic.run(2, SMALL).to_document())
    files: dict[str, str | bytes | None] = {
        "README.md": "x",
        "run.yaml": text,
        "experiments/run.yaml": text,
        "experiments/a/b/run.yaml": text,
        f"{synthetic.folder(synthetic.run(1, SMALL))}/artifacts/run.yaml": text,
        f"{synthetic.folder(synthetic.run(1, SMALL))}/run.yaml.bak": text,
    }
    synthetic.commit_files(path, files)
    assert (5, []) == (len(ids(repo)), broken(repo))
    updated = content(repo)
    rebuild(repo)
    assert content(repo) == updated


def test_a_run_of_5000_params_and_one_of_a_megabyte(path: Path, repo: Repository) -> None:
    """Many params and long ones are kept and found whole."""
    many = replace(synthetic.run(5, SMALL), params={f"p{n}": n for n in range(5000)})
    text = "ab" * 500_000 + "!"
    long = replace(synthetic.run(6, SMALL), params={"long": text})
    put(path, many)
    put(path, long)
    assert [many] == search_runs(repo, filter_string="params.p4999 = 4999 AND params.p0 = 0")
    assert [long] == search_runs(repo, filter_string="params.long LIKE 'ab%b!'")
    assert [long] == search_runs(repo, filter_string=f"params.long = '{text}'")
    synthetic.commit_files(path, {synthetic.folder(many): None, synthetic.folder(long): None})
    assert 5 == len(ids(repo))
    count = open_index(repo).read(repo, lambda c: c.execute("SELECT count(*) FROM param").fetchone()[0])
    assert 15 == count


def test_rebuilding_tells_how_far_it_is(repo: Repository) -> None:
    """`progress` is told the records read and their number, the end included."""
    told: list[tuple[int, int]] = []
    assert 5 == rebuild(repo, lambda done, total: told.append((done, total)))
    assert [(7, 7)] == told


def test_reading_changes_nothing_but_the_cache(path: Path, repo: Repository) -> None:
    """A search moves no ref, makes no object and touches no file outside the folder of the index."""

    def seen() -> list[tuple[str, int]]:
        files = (file for file in path.rglob("*") if file.is_file() and repo.cache_dir not in file.parents)
        return sorted((str(file), file.stat().st_mtime_ns) for file in files)

    before = seen()
    ids(repo)
    assert before == seen()


def test_importing_the_index_is_light() -> None:
    """Neither pandas nor numpy, lark, jsonschema or PyYAML is imported before it is used."""
    code = (
        "import sys, runstone.index.search, runstone.index.frame, runstone.index.experiments\n"
        "print(sorted({'pandas', 'numpy', 'lark', 'jsonschema', 'yaml', 'dvc'} & set(sys.modules)))"
    )
    assert "[]\n" == run_python(code, cwd=Path.cwd()).stdout
