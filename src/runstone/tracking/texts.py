"""What a run is told in words while it is open: params, tags, notes and its name.

Each text is checked, redacted and counted before it reaches the journal: a record is read whole, so it has a bound.
"""

from collections.abc import Mapping
from typing import Any

from runstone import names
from runstone.errors import InvalidValue, ParamConflict
from runstone.git.runs import journal
from runstone.git.runs.compose import same_value
from runstone.records.run import ParamValue, Run
from runstone.tracking import values
from runstone.tracking.workspace import Workspace

RUN_NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"


class RunTexts:
    """The params of one open run, and how much text it holds."""

    def __init__(self, workspace: Workspace, begun: Run) -> None:
        self._workspace = workspace
        self._run_id = begun.id
        self._params: dict[str, ParamValue] = dict(begun.params)
        self._size = sum(len(str(value)) for value in (*begun.params.values(), *begun.tags.values()))

    def fresh_params(self, params: Mapping[str, Any]) -> dict[str, ParamValue]:
        """Those of the params that the run does not have yet, as they are to be recorded; `keep_params` when they are.

        Raises:
            ParamConflict: A param has another value already.
            InvalidName, InvalidValue: A key or a value cannot be recorded.
        """
        values.check_keys("param", params)
        fresh: dict[str, ParamValue] = {}
        redactor = self._workspace.redactor
        for key, value in params.items():
            checked = redactor.param(key, values.param_value(key, value))
            if key not in self._params:
                fresh[key] = checked
                if isinstance(checked, str | list | dict):
                    self._count(len(str(checked)))
            elif not same_value(self._params[key], checked):
                raise ParamConflict(self._run_id, key, self._params[key], checked)
        return fresh

    def keep_params(self, fresh: Mapping[str, ParamValue]) -> None:
        """Remember params that were recorded."""
        self._params.update(fresh)

    def tag_events(self, tags: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """The journal's events that set tags; the name and the notes, tags to MLflow, have events of their own.

        Raises:
            InvalidName, InvalidValue: A key or a value cannot be recorded.
        """
        values.check_keys("tag", tags)
        texts = {key: values.tag_value(key, value) for key, value in tags.items()}
        events: list[tuple[str, Any]] = []
        if RUN_NAME_TAG in texts:
            name = self.text("run name", names.check_name("run name", texts.pop(RUN_NAME_TAG)))
            events.append((journal.NAME, name))
        if NOTE_TAG in texts:
            events.append((journal.NOTE, self.text("note", texts.pop(NOTE_TAG))))
        redacted = {key: str(self._workspace.redactor.param(key, value)) for key, value in texts.items()}
        self._count(sum(len(value) for value in redacted.values()))
        if redacted:
            events.append((journal.TAGS, redacted))
        return events

    def text(self, kind: str, text: str) -> str:
        """A text as it is to be recorded."""
        return self._workspace.redactor.text(values.check_text(kind, kind, str(text)), key=kind)

    def _count(self, characters: int) -> None:
        if self._size + characters > values.MAX_TEXT:
            raise InvalidValue(
                f"The params and tags of run {self._run_id} would hold more than {values.MAX_TEXT // 1024**2} MiB of "
                "text. Log long text as a file: `log_text(text, 'name.txt')`."
            )
        self._size += characters
