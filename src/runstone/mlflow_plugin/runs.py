"""Runs, as MLflow's stores have them: begun, found, ended and changed by any client, call by call.

In the user's own process a run captures code and environment, and is cut short when that process dies; in MLflow's
server, which speaks for clients elsewhere, neither is so.
"""

import logging
import re
from collections.abc import Sequence

from mlflow.entities import Run as MlflowRun
from mlflow.entities import RunInfo, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.utils import mlflow_tags
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.time import get_current_time_millis

from runstone.errors import RunIsLive, RunstoneError
from runstone.index.documents import RunRow, search_rows
from runstone.mlflow_plugin import place as places
from runstone.mlflow_plugin.entities import NAME_TAG, NOTE_TAG, PARENT_TAG, info_entity, ours, run_entity
from runstone.mlflow_plugin.history import HistoryStore
from runstone.mlflow_plugin.log import LogStore
from runstone.mlflow_plugin.search import check_max_results, page_offset, run_filter, run_orders
from runstone.records.document import parse_time
from runstone.tracking import shared
from runstone.tracking.edit import set_status

_logger = logging.getLogger(__name__)
_ENDS = ("FINISHED", "FAILED", "KILLED")
_OF_RECORD = (NAME_TAG, NOTE_TAG, PARENT_TAG)
_match_commit = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?").fullmatch


class RunStore(LogStore, HistoryStore):
    """What MLflow asks a tracking store about runs."""

    def create_run(
        self,
        experiment_id: str | None,
        user_id: str | None,
        start_time: int | None,
        tags: Sequence[RunTag] | None,
        run_name: str | None,
    ) -> MlflowRun:
        """Begin a run."""
        experiment = self._need_active(experiment_id)
        texts = {tag.key: tag.value for tag in tags or ()}
        named = texts.pop(NAME_TAG, None)
        if run_name and named and run_name != named:
            raise MlflowException(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
                f"(run_name='{run_name}', mlflow.runName='{named}').",
                INVALID_PARAMETER_VALUE,
            )
        commit = texts.get(mlflow_tags.MLFLOW_GIT_COMMIT) or ""
        is_here = not places.is_server()
        begun = shared.begin(
            self._workspace,
            experiment,
            name=run_name or named or None,
            user=user_id or None,
            tags=texts,
            start_time=start_time,
            captured=is_here,
            owned=is_here,
            commit=commit if not is_here and _match_commit(commit) else None,
        )
        redacted = {k: str(self._workspace.redactor.param(k, v)) for k, v in texts.items() if k not in _OF_RECORD}
        note = texts.get(NOTE_TAG)
        document = begun.to_document() | {"tags": redacted}
        row = RunRow(begun.id, begun.experiment_id, begun.started, None, True, document, note)
        return run_entity(row, self._place, self._workspace.repo.work_tree)

    def get_run(self, run_id: str) -> MlflowRun:
        """A run, deleted ones too, as it is now."""
        self._notice_dead_runs()
        return run_entity(self._row(run_id), self._place, self._workspace.repo.work_tree)

    def _search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None,
        run_view_type: int,
        max_results: int | None,
        order_by: Sequence[str] | None,
        page_token: str | None,
    ) -> tuple[list[MlflowRun], str | None]:
        """A page of the runs that meet a filter of MLflow's language, and the token of the next page."""
        check_max_results(max_results, allow_null=True)
        condition = run_filter(filter_string, self._place)
        orders = run_orders(order_by, self._place)
        offset = page_offset(page_token)
        self._notice_dead_runs()
        repo = self._workspace.repo
        rows = search_rows(
            repo,
            [ours(experiment_id) for experiment_id in experiment_ids],
            condition,
            run_view_type,
            orders,
            limit=None if max_results is None else max_results + 1,
            offset=offset,
        )
        token = None
        if max_results is not None and len(rows) > max_results:
            token = SearchUtils.create_page_token(offset + max_results)
        return [run_entity(row, self._place, repo.work_tree) for row in rows[:max_results]], token

    def update_run_info(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        """Change the status, the end or the name of a run; None leaves a thing as it is.

        A run that ended and is RUNNING again is a further attempt. SCHEDULED is not told from RUNNING, as a run is
        begun by the process that runs it.
        """
        status = None if run_status is None else RunStatus.to_string(run_status)
        is_end = status in _ENDS
        resumes = status is not None and not is_end
        with self._writing(run_id, resume=resumes, owned=resumes and not places.is_server()) as change:
            has_ended = change.has_ended
            if run_name:
                change.set_tags({NAME_TAG: run_name})
            if is_end and not has_ended:  # what it says is known: nothing is read, and the index is left alone
                run, ended = change.begun, get_current_time_millis() if end_time is None else end_time
                document = run.to_document() | {"status": status}
                row = RunRow(run_id, run.experiment_id, run.started, ended, True, document)
                change.end(str(status), ended)
            else:
                row = self._row(run_id)
        if has_ended and not resumes:
            wanted = (status or row.document["status"], row.ended if end_time is None else end_time)
            if wanted != (row.document["status"], row.ended):
                set_status(self._workspace, run_id, *wanted)
                row = self._row(run_id)
        return info_entity(self._row(run_id) if run_name else row, self._place)

    def delete_run(self, run_id: str) -> None:
        """Mark a run deleted; one that nobody has ended is recorded as KILLED, so that it can be restored as such."""
        try:
            self._client.delete_run(run_id)
        except RunIsLive:
            with shared.edit(self._workspace, run_id) as change:
                change.end("KILLED")
            self._client.delete_run(run_id)

    def restore_run(self, run_id: str) -> None:
        """Undo `delete_run`; of a run that was not deleted, nothing."""
        if not self._row(run_id).is_active:
            self._client.restore_run(run_id)

    # --- for `mlflow gc`

    def _get_deleted_runs(self, older_than: int = 0) -> list[str]:
        """The ids of the runs that were deleted so many milliseconds ago, or with their experiment."""
        before = get_current_time_millis() - older_than
        rows = search_rows(self._workspace.repo, None, None, "DELETED_ONLY", (), limit=None)
        return [row.run_id for row in rows if _deleted_at(row) <= before]

    def _hard_delete_run(self, run_id: str) -> None:
        """Take a deleted run from the tip of the branch. Its history keeps the record; of its bytes only those go that
        nothing else needs, as with `runstone gc`.
        """
        row = self._row(run_id)
        from runstone.registry.removal.gc import collect, plan
        from runstone.registry.removal.removable import Wanted

        if not row.is_active and row.document.get("lifecycle") != "deleted":  # it goes with its experiment
            self._client.delete_run(run_id, reason="its experiment was deleted")
        wanted = Wanted(run_ids=[run_id])
        collect(self._workspace, plan(self._workspace, wanted), wanted)

    def _notice_dead_runs(self) -> None:
        """Record the runs of dead processes; where that cannot be, what there is is read all the same."""
        try:
            self._workspace.notice_dead_runs()
        except RunstoneError as error:
            _logger.warning("Runs that were cut short could not be recorded: %s", error)


def _deleted_at(row: RunRow) -> int:
    """When a run was deleted; of one that only its experiment takes along, when it began, as no one wrote that down."""
    told = (row.document.get("deleted") or {}).get("at")
    try:
        return row.started if told is None else parse_time(str(told))
    except ValueError:
        return row.started
