"""Runs of other trackers become commits on the branch `runs`: many with one move of the ref, each once, however often.

What is known is skipped; what has grown since is updated as an event; a run whose id is another's here gets an id of
its own. What a killed import had not written yet is lost, and the next one goes on from there: no other state is kept.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple

from runstone import names
from runstone.artifacts.descriptor import Descriptor
from runstone.errors import InvalidName, RecordInvalid, RunstoneError
from runstone.git import kept, maintenance
from runstone.git.runs import layout, live
from runstone.git.runs.branch import DVC_CONFIG, Draft, Recorded, read_runs, update_runs
from runstone.imports.grow import candidates, grown_files, is_grown, mark_of, new_files, run_folders
from runstone.imports.incoming import IMPORTED, IncomingRun
from runstone.imports.prepare import Prepared, code_of, prepare, safe_id
from runstone.imports.report import Change, Report
from runstone.records import yaml
from runstone.records.document import format_time
from runstone.records.experiment import Experiment
from runstone.records.run import Run
from runstone.tracking.experiment import NOTE_TAG, free_id
from runstone.tracking.values import check_text
from runstone.tracking.workspace import Workspace

_BATCH = 500
_BATCH_SIZE = 64 * 1024 * 1024
Progress = Callable[[int, int], None]


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        change: `new`; `updated`, as it has grown; `same`; or `clash`: made under another id.
        run_id: Its id here.
    """

    change: Change
    run_id: str


class Intake:
    """One import. Used as a context manager, it writes what is ready whichever way the block ends.

    Args:
        workspace: The repository.
        source: Where the runs are from, for the report, without credentials.
        progress: Called with the runs that are done, and all of them.
        dry_run: Write nothing, and tell what would be written: a run whose id is known counts as `same`.
        with_artifacts: Whether artifacts are brought; those that a run has here already stay either way.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        source: str = "",
        progress: Progress | None = None,
        dry_run: bool = False,
        with_artifacts: bool = True,
    ) -> None:
        self.workspace = workspace
        self.report = Report(source, is_dry=dry_run)
        self.total = 0
        """How many runs there are, as far as the reader knows; for the progress."""
        self.ids: dict[str, str] = {}
        """The id of a run at the source → its id here; of all that were taken in so far."""
        self._progress, self._dry, self._with_files = progress, dry_run, with_artifacts and not dry_run
        self.commits: dict[str, str] = {}
        """The commit of each run that this import has written, by its id here."""
        self._pending: list[tuple[Prepared, str]] = []
        self._size = self._done = 0
        self._new_experiments: dict[str, Experiment] = {}
        self._seen: set[str] = set()
        self._tip: str | None = None
        self._folders: dict[str, str] = {}
        self._experiments: dict[str, Experiment] = {}
        self._look(read_runs(workspace.repo))

    def __enter__(self) -> "Intake":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(RunstoneError):  # the first error is the one to tell
                self.flush()

    @property
    def without_files(self) -> bool:
        """Whether no artifacts are brought, so that none need be listed."""
        return not self._with_files

    # --- in

    def experiment(
        self,
        name: str,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        created: int | None = None,
        *,
        deleted: bool = False,
        origin: str = "",
        id: str | None = None,
    ) -> Experiment:
        """The experiment of a name: the one that is here, or a new one, which is written with the next runs.

        Args:
            name: Its name.
            tags: Its tags. One that is here keeps its own, and gets those that it has not.
            description: Likewise.
            created: Unix milliseconds.
            deleted: Whether a new one is to be a deleted one.
            origin: The tracker it is from.
            id: Its id there.
        """
        checked = self._experiment_name(name)
        kept_tags = self._experiment_tags(checked, tags or {})
        text = kept_tags.pop(NOTE_TAG, None) if description is None else self.workspace.redactor.text(description)
        known = self._experiments.get(checked)
        if known is None:
            draft = read_runs(self.workspace.repo)
            made = Experiment(
                self._free_id(draft, checked),
                checked,
                creation_time=created,
                description=text or None,
                tags=kept_tags,
                lifecycle_stage="deleted" if deleted else "active",
                extra={IMPORTED: {"from": origin} | ({"id": id} if id is not None else {})} if origin else {},
            )
            self.report.count("experiments", "new")
            return self._keep(made)
        if deleted and known.lifecycle_stage != "deleted":
            why = f"it is deleted there, and not here. Delete it: `runstone experiments delete {known.experiment_id}`"
            self.report.miss("experiment", checked, why, is_loss=False)
        joined = replace(known, tags={**kept_tags, **known.tags}, description=known.description or text or None)
        self.report.count("experiments", "same" if joined == known else "updated")
        return known if joined == known else self._keep(joined)

    def run(self, incoming: IncomingRun) -> Outcome:
        """Take in one run.

        Writes:
            Its artifacts, into the cache. Its commit is made when enough runs have come, or by `flush`.

        Raises:
            DiskFull, ReadOnlyRepository, RefBlocked: The repository cannot be written. Nothing that is there is lost.
        """
        given = incoming.run.id
        wanted = safe_id(given)
        ready = prepare(
            self.workspace,
            incoming,
            self.report,
            lambda: self._artifacts_of(wanted, incoming.origin),
            with_files=self._with_files,
        )
        outcome = self._judge(read_runs(self.workspace.repo), ready)
        self._seen.add(outcome.run_id)
        self.ids[given] = outcome.run_id
        self.report.count("runs", outcome.change)
        if outcome.change == "clash" or outcome.run_id != wanted:
            self.report.clashes[given] = outcome.run_id
        if outcome.change != "same" and not self._dry:
            self._pending.append((ready, outcome.run_id))
            self._size += ready.size
            if len(self._pending) >= _BATCH or self._size >= _BATCH_SIZE:
                self.flush()
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, max(self._done, self.total))
        return outcome

    def not_carried(self, kind: str, what: str, why: str, *, is_loss: bool = True, number: int = 1) -> None:
        """Tell of something that could not be carried; `is_loss` is False for what there is no place for."""
        self.report.miss(kind, what, why, is_loss=is_loss, number=number)

    # --- out

    def flush(self) -> None:
        """Write what is ready.

        Writes:
            One commit for each experiment and run on the branch `runs`, and one move of the ref; the artifacts are
            synced before.
        """
        if self._dry or not (self._pending or self._new_experiments):
            return
        workspace = self.workspace
        digests = {digest for ready, _ in self._pending for digest in ready.digests}
        if digests:
            workspace.artifacts.sync(digests)
        kept.check(workspace.repo)
        try:
            with workspace.repo.lock:
                tip = update_runs(workspace.repo, self._write)
        finally:
            workspace.repo.lock.settle()
        self._tip = tip
        self._pending.clear()
        self._new_experiments.clear()
        self._size = 0
        kept.sweep(workspace.repo)

    def close(self) -> Report:
        """Write the rest, and give the report."""
        self.flush()
        maintenance.begin_if_due(self.workspace.repo)
        return self.report

    # --- inside

    def _write(self, draft: Draft) -> str | None:
        self._look(draft, keep=True)
        for experiment in self._new_experiments.values():
            path = layout.experiment_file(experiment.experiment_id)
            config = self.workspace.artifacts.remote_config() if draft.tip is None else None
            changes: dict[str, str | bytes | None] = {path: yaml.dump(experiment.to_document())}
            if config:
                changes[DVC_CONFIG] = config
            verb = "Import" if draft.find(path) is None else "Add to"
            draft.commit(changes, f"{verb} experiment {_line(experiment.name)}")
        for ready, run_id in self._pending:
            run = replace(ready.run, id=run_id, parent=self._parent(ready.run.parent))
            folder = self._folders.get(run_id)
            recorded = draft.run(folder) if folder is not None else None
            if recorded is None:
                folder = layout.run_folder(run.experiment_id, run.started, run_id)
                files = new_files(ready, run)
            else:
                folder, files = recorded.folder, grown_files(self.workspace.artifacts, recorded, ready, run)
            self._folders[run_id] = folder
            verb = "Import" if recorded is None else "Update imported"
            message, code = _message(run, verb, ready.origin), code_of(self.workspace, run)
            made = draft.commit({f"{folder}/{name}": text for name, text in files.items()}, message, second_parent=code)
            if made is not None:
                self.commits[run_id] = made
        return draft.tip

    def _judge(self, draft: Draft, ready: Prepared) -> Outcome:
        """Whether a run is new, known, grown or another one than that of its id, and the id it has here."""
        self._look(draft, keep=True)
        wanted = ready.run.id
        running = live.list_live(self.workspace.repo) if wanted not in self._folders else ()
        for run_id in candidates(wanted):
            change: Change = "new" if run_id == wanted else "clash"
            folder = self._folders.get(run_id)
            if run_id in self._seen or (folder is None and run_id in running):
                continue
            if folder is None:
                return Outcome(change, run_id)
            try:
                recorded = draft.run(folder)
            except RunstoneError:
                continue  # a record that cannot be read has its id all the same
            if recorded is None:
                return Outcome(change, run_id)
            if self._dry or mark_of(recorded.run).get("digest") == ready.digest:
                return Outcome("same", run_id)
            if is_grown(recorded, ready):
                return Outcome("updated" if self._differs(recorded, ready, run_id) else "same", run_id)
        raise AssertionError("unreachable")

    def _differs(self, recorded: Recorded, ready: Prepared, run_id: str) -> bool:
        """Whether an update would change more than the digest, which tells of artifacts that were left out, too."""
        run = replace(ready.run, id=run_id, parent=self._parent(ready.run.parent))
        same = replace(run, extra={**run.extra, IMPORTED: mark_of(recorded.run)})
        files = grown_files(self.workspace.artifacts, recorded, ready, same)
        before: dict[str, Any] = {layout.RECORD: yaml.dump(recorded.run.to_document()).encode(), **recorded.files}
        return any(
            before.get(name) != (text.encode() if isinstance(text, str) else text) for name, text in files.items()
        )

    def _look(self, draft: Draft, *, keep: bool = False) -> None:
        """See which runs and experiments there are, if the branch is not as it was seen last."""
        if keep and draft.base == self._tip:
            return
        self._tip = draft.base
        self._folders = dict(run_folders(draft))
        found: dict[str, Experiment] = {}
        for experiment_id, entry in draft.list(layout.EXPERIMENTS).items():
            if entry.is_tree:
                with suppress(RecordInvalid):
                    experiment = draft.experiment(experiment_id)
                    if experiment is not None:
                        found[experiment.name] = experiment
        self._experiments = {**found, **{each.name: each for each in self._new_experiments.values()}}

    def _keep(self, experiment: Experiment) -> Experiment:
        self._experiments[experiment.name] = self._new_experiments[experiment.experiment_id] = experiment
        return experiment

    def _free_id(self, draft: Draft, name: str) -> str:
        first = experiment_id = free_id(draft, name)
        number = 2
        while experiment_id in self._new_experiments:
            experiment_id, number = f"{first}-{number}", number + 1
        return experiment_id

    def _experiment_name(self, name: str) -> str:
        try:
            return names.check_name("experiment", name)
        except InvalidName as error:
            usable = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", name).strip()[: names.MAX_NAME] or "Unnamed"
            self.report.miss(
                "name", f"experiment {name!r}", f"{error.why}; it is called {usable!r} here", is_loss=False
            )
            return names.check_name("experiment", usable)

    def _experiment_tags(self, name: str, tags: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for key, value in tags.items():
            try:
                text = check_text("tag", names.check_key("tag", key), value)
                found[key] = str(self.workspace.redactor.param(key, text))
            except RunstoneError as error:
                self.report.miss("tag", f"experiment {name}: {key}", str(error))
        return found

    def _parent(self, parent: str | None) -> str | None:
        return None if parent is None else self.ids.get(parent) or safe_id(parent)

    def _artifacts_of(self, run_id: str, origin: str) -> Iterable[Descriptor]:
        folder = self._folders.get(run_id)
        with suppress(RunstoneError):
            recorded = read_runs(self.workspace.repo).run(folder) if folder is not None else None
            text = recorded.files.get(layout.ARTIFACTS) if recorded is not None else None
            if recorded is not None and text is not None and mark_of(recorded.run).get("from") == origin:
                return self.workspace.artifacts.listing(text, f"{folder}/{layout.ARTIFACTS}")
        return ()


def _message(run: Run, verb: str, origin: str) -> str:
    lines = [f"{verb} run {run.name}: {run.status}", "", f"Run: {run.id}", f"Experiment: {run.experiment}"]
    if run.ended is not None:
        lines.append(f"Ended: {format_time(run.ended)}")
    return "\n".join(map(_line, [*lines, f"Imported-from: {origin}"]))


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)
