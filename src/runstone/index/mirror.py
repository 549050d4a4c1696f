"""Fills the index: what changed on the branch and in the live journals, into the tables.

A record that cannot be read is noted and left out. It stays in git, and searches say that it is missing.
"""

import sqlite3
from collections.abc import Callable, Iterable

from runstone import names
from runstone.errors import InvalidName, RecordInvalid, RunstoneError
from runstone.git.repository import Repository
from runstone.git.runs import journal, live
from runstone.git.runs.branch import read_runs
from runstone.index import tables
from runstone.index.changes import NOTES, Change, changed_records, list_records
from runstone.records import yaml
from runstone.records.experiment import Experiment
from runstone.records.run import Run

Progress = Callable[[int, int], None]
"""Called with how many records were read, and how many there are."""

_LIVE = "live/"


def is_fresh(connection: sqlite3.Connection, repo: Repository) -> bool:
    """Whether the index shows the branch and the journals as they are."""
    tokens = _live_tokens(repo)
    known = dict(connection.execute("SELECT id, token FROM live").fetchall())
    # In this order: a run that ends in between is then in the tip at the latest.
    tip = repo.runs_tip()
    return tokens == known and (tip or "") == tables.read_state(connection, "tip")


def update(connection: sqlite3.Connection, repo: Repository, progress: Progress | None, *, anew: bool) -> None:
    """Make the index show the branch and the journals as they are, within the transaction that is open.

    Both are read here and not before it: another process may have done the work in the meantime, or more of it.

    Args:
        connection: The index.
        repo: The repository.
        progress: Told how far the reading is.
        anew: Throw away what the index holds.
    """
    writer = tables.Writer(connection)
    if anew:
        writer.clear()
    _put_live(connection, repo, writer)
    tip = repo.runs_tip() or ""
    _put_records(connection, repo, writer, tip, progress)
    writer.finish()


def _live_tokens(repo: Repository) -> dict[str, str]:
    """The live runs, each with a text that changes when its journals do, or when its process is found dead."""
    tokens = live.list_live(repo)
    if not tokens:
        return {}
    dead = {entry.run_id for entry in journal.list_entries(repo) if journal.is_abandoned(entry)}
    return {run_id: f"{token!r}{' dead' if run_id in dead else ''}" for run_id, token in tokens.items()}


def _put_live(connection: sqlite3.Connection, repo: Repository, writer: tables.Writer) -> None:
    tokens = _live_tokens(repo)
    known = dict(connection.execute("SELECT id, token FROM live").fetchall())
    for run_id in sorted(tokens.keys() | known.keys()):
        token = tokens.get(run_id)
        if token == known.get(run_id):
            continue
        connection.execute("DELETE FROM live WHERE id = ?", (run_id,))
        path = f"{_LIVE}{run_id}"
        _remove(writer, path)
        if token is None:
            continue
        connection.execute("INSERT INTO live VALUES (?, ?)", (run_id, token))
        try:
            found = live.compose_live(repo, run_id)
            if found is not None:  # else it ended just now, and the tip, read after this, has it
                writer.add_run(found.run, path, live=True)
                note = found.notes
                if note is None and (data := read_runs(repo).read(f"{found.folder}/{NOTES}")) is not None:
                    note = data.decode("utf-8", "replace")
                if note:
                    writer.put_note(path, note)
        except sqlite3.Error:
            raise
        except Exception as error:  # as below: one bad journal must not hide the other runs
            writer.put_broken(path, _problem(path, error))


def _put_records(
    connection: sqlite3.Connection, repo: Repository, writer: tables.Writer, tip: str, progress: Progress | None
) -> None:
    known = tables.read_state(connection, "tip")
    if tip == known:
        return
    changes: list[Change] | None = changed_records(repo, known, tip) if known and tip else None
    if changes is None:
        writer.clear_committed()
        changes = list_records(repo, tip) if tip else []
    else:
        for change in changes:
            _remove(writer, change.path)
    _add(repo, writer, changes, progress)
    writer.set_state("tip", tip)


def _remove(writer: tables.Writer, path: str) -> None:
    writer.remove_broken(path)
    if path.endswith("/experiment.yaml"):
        writer.remove_experiment(path.split("/")[1])
    elif path.endswith(f"/{NOTES}"):
        writer.remove_note(_noted(path))
    else:
        writer.remove_run(path)
        if path.startswith(_LIVE):
            writer.remove_note(path)


def _add(repo: Repository, writer: tables.Writer, changes: Iterable[Change], progress: Progress | None) -> None:
    # Experiments first: a run shows its experiment's present name.
    found = [(change.path, change.blob) for change in changes if change.blob is not None]
    found.sort(key=lambda item: (item[0].count("/"), item[0]))
    if len(found) <= 10:  # not worth a process of its own
        contents = ((blob, repo.objects.blob(blob)) for _, blob in found)
    else:
        contents = ((blob, data) for blob, data in repo.objects.read_many(blob for _, blob in found))
    for done, ((path, _), (_, data)) in enumerate(zip(found, contents, strict=True), 1):
        parts = path.split("/")
        try:
            if parts[-1] == NOTES:
                writer.put_note(_noted(path), data.decode("utf-8", "replace"))
            elif len(parts) == 3:
                writer.put_experiment(Experiment.from_document(yaml.load(data, path), parts[1], path))
            else:
                writer.add_run(_read_run(yaml.load(data, path), parts, path), path)
        except sqlite3.Error:
            raise
        except Exception as error:  # records come from other people's pushes: none may stop a search
            writer.put_broken(path, _problem(path, error))
        if progress is not None and (done % 100 == 0 or done == len(found)):
            progress(done, len(found))


def _noted(path: str) -> str:
    """The path of the record that notes lie beside."""
    return f"{path.removesuffix(NOTES)}run.yaml"


def _problem(path: str, error: Exception) -> str:
    if isinstance(error, RunstoneError):
        return str(error)
    next_step = "Its journal is kept: `runstone doctor`" if path.startswith(_LIVE) else None
    return str(RecordInvalid(path, f"it cannot be read ({type(error).__name__}: {error})", next_step=next_step))


def _read_run(document: object, parts: list[str], path: str) -> Run:
    try:
        names.check_run_id(parts[4])
    except InvalidName as error:
        raise RecordInvalid(path, str(error).rstrip(".")) from None
    run = Run.from_document(document, parts[1], path)
    if run.id != parts[4]:
        raise RecordInvalid(path, f"`id` must be the name of its folder, but is {run.id!r}")
    return run
