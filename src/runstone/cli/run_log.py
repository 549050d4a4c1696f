"""The log of the runs: one entry for each event, as text through git's pager, a line each, or JSON."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.output import Form, clean, counted, emit_json, format_iso, format_value, hint, styled_status
from runstone.errors import RunAmbiguous, RunNotFound
from runstone.git.runs import layout

if TYPE_CHECKING:
    from runstone.cli.session import Session
    from runstone.git.repository import Repository
    from runstone.git.runs.history import Event
    from runstone.records.experiment import Experiment
    from runstone.tracking.compare import Difference
    from runstone.tracking.events import RunEvent

_SHORT_ID = 12
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
_FILE_WORDS = {"A": "added", "D": "removed", "M": "changed"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400, "y": 365 * 86400}
_STRETCH = re.compile(
    r"(\d{1,6})[ .]?(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?|d(?:ays?)?|w(?:eeks?)?|mo(?:nths?)?|y(?:ears?)?)"
    r"(?:[ .]ago)?"
)
_LONGEST_VALUE = 200
_AMENDMENT = re.compile(r"amendments(?:\[(\d+)\]\.(at|by|reason|keys))")
_FILES = {
    layout.METRICS: "history of metrics",
    layout.ARTIFACTS: "artifacts",
    layout.NOTES: "notes",
    layout.REQUIREMENTS: "packages",
}
"""The files of a run that have a name of their own for people."""


def print_log(
    session: "Session",
    run: str | None,
    *,
    limit: int,
    experiment: "Experiment | None",
    since: str | None,
    until: str | None,
    oneline: bool,
    reverse: bool,
    form: Form,
) -> None:
    """Print the events that are asked for."""
    from runstone.tracking.events import list_events, list_run_events

    if run is not None and experiment is not None:
        raise click.UsageError("RUN and --experiment cannot be used together.")
    repo = session.light_repo
    when: dict[str, int | None] = {
        "since": None if since is None else parse_moment(since),
        "until": None if until is None else parse_moment(until, is_end=True),
        "limit": limit or None,
    }
    last: list[Event] = []
    removed: str | None = None
    if run is None:
        id_ = None if experiment is None else experiment.experiment_id
        entries: Iterator[tuple[Event, RunEvent | None]] = (
            (event, None) for event in list_events(repo, experiment_id=id_, **when)
        )
    else:
        run_id, removed = _find(session, run)
        entries = ((each.event, each) for each in list_run_events(repo, run_id, **when))
    entries = _remembering(entries, last)
    if reverse:
        entries = iter(list(entries)[::-1])
    if form == "json":
        emit_json([_as_json(event, detail, removed) for event, detail in entries])
    else:
        from runstone.cli.pager import page

        write = _line if oneline else _entry
        page(repo, _lines(entries, write, removed))
    _tell_end(repo, last, is_limited=bool(limit or since or until or run is not None))


def parse_moment(text: str, *, is_end: bool = False) -> int:
    """A time as people write it, as Unix milliseconds: ISO 8601, in UTC unless it says otherwise, or how long ago.

    Args:
        text: As `2026-11-22`, `2026-11-22T06:12Z`, `3 days`, `2h`, `yesterday`, `now`.
        is_end: Whether a day means its end; else its beginning.
    """
    word = text.strip().lower()
    now = datetime.now(UTC)
    days = {"today": 0, "yesterday": 1}
    match = _STRETCH.fullmatch(word)
    if word == "now":
        moment = now
    elif match is not None:
        unit = match[2]
        moment = now - timedelta(seconds=int(match[1]) * _UNITS["mo" if unit.startswith("mo") else unit[0]])
    else:
        try:
            day = now - timedelta(days=days[word]) if word in days else datetime.fromisoformat(text.strip())
        except ValueError:
            raise click.UsageError(
                f"{text!r} is no time. Write 2026-11-22, 2026-11-22T06:12Z, '3 days', 2h, yesterday or today."
            ) from None
        moment = day if day.tzinfo is not None else day.replace(tzinfo=UTC)
        if word in days or re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", word):
            moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
            moment += timedelta(days=1, milliseconds=-1) if is_end else timedelta()
    return round(moment.timestamp() * 1000)


def _find(session: "Session", text: str) -> tuple[str, str | None]:
    """The id of a run; also of one that was removed, with its name.

    Raises:
        RunNotFound: There is none, and never was.
        RunAmbiguous: There are several, or were.
    """
    from runstone.tracking.events import find_past_runs

    try:
        return session.run_id(text), None
    except RunNotFound:
        found = find_past_runs(session.repo, text)
        if not found:
            raise
        if len(found) > 1:
            listed = [f"{run_id}  {name or ''}" for run_id, name in found.items()]
            raise RunAmbiguous(text, listed, is_name=text in found.values()) from None
        return next(iter(found.items()))


def _remembering(
    entries: "Iterable[tuple[Event, RunEvent | None]]", last: "list[Event]"
) -> "Iterator[tuple[Event, RunEvent | None]]":
    for event, detail in entries:
        last[:] = [event]
        yield event, detail


def _tell_end(repo: "Repository", last: "list[Event]", *, is_limited: bool) -> None:
    from runstone.git.runs.history import is_cut

    if not last:
        from runstone.cli.advice import absent_branch

        hint(absent_branch(repo) or ("There is nothing to show." if is_limited else "Nothing happened yet."))
    elif is_cut(repo, last[0]):
        hint("The history ends here, since this clone is shallow. Fetch the rest: `git fetch --unshallow`")


# --- JSON


def _as_json(event: "Event", detail: "RunEvent | None", removed: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "commit": event.commit,
        "time": format_iso(event.time),
        "author": event.author,
        "kind": event.kind,
        "subject": event.subject,
        "run_id": event.run_id,
        "run_ids": event.run_ids,
        "run_name": removed if event.kind == "removed" else event.run_name,
        "status": event.status,
        "experiment": event.trailers.get("Experiment"),
        "reason": event.trailers.get("Reason"),
        "code": event.code,
        "replaced": event.replaced,
    }
    if detail is not None:
        document["folder"] = detail.folder
        document["moved_from"] = detail.moved_from
        document["changes"] = None if detail.changes is None else [_change_json(each) for each in detail.changes]
        document["files"] = {name: _FILE_WORDS[state] for name, state in detail.files.items()}
    return document


def _change_json(change: "Difference") -> dict[str, Any]:
    entry: dict[str, Any] = {"key": change.key, "state": change.state}
    if change.state != "added":
        entry["before"] = change.a
    if change.state != "removed":
        entry["after"] = change.b
    return entry


# --- text


def _lines(
    entries: "Iterable[tuple[Event, RunEvent | None]]",
    write: "Callable[[Event, RunEvent | None, str], Iterable[str]]",
    removed: str | None,
) -> Iterator[str]:
    for event, detail in entries:
        yield from write(event, detail, removed if removed and event.kind == "removed" else event.title)


def _line(event: "Event", detail: "RunEvent | None", title: str) -> Iterator[str]:
    count = 0 if detail is None else len(_split(detail)[0])
    parts = [
        click.style(event.commit[:_SHORT_ID], fg="yellow"),
        format_iso(event.time)[:16].replace("T", " "),
        clean(event.author),
        clean(event.kind or ""),
        clean(title),
        styled_status(event.status) if event.status else "",
        counted(count, "change") if count else "",
    ]
    yield "  ".join(part for part in parts if part)


def _entry(event: "Event", detail: "RunEvent | None", title: str) -> Iterator[str]:
    head = [click.style(event.commit[:_SHORT_ID], fg="yellow"), click.style(clean(event.kind or ""), bold=True)]
    head += [clean(title), styled_status(event.status) if event.status else ""]
    yield "  ".join(part for part in head if part)
    facts = {
        "when": f"{format_iso(event.time)}  ({format_value(event.time, 'age')})",
        "who": event.author,
        "run": ", ".join(event.run_ids),
        "experiment": event.trailers.get("Experiment"),
        "code": event.code and event.code[:_SHORT_ID],
        "reason": event.trailers.get("Reason"),
    }
    if detail is not None:
        facts["moved from"] = detail.moved_from
    for name, value in facts.items():
        if value:
            yield f"    {name.ljust(10)}  {clean(value)}"
    for text in event.replaced:
        yield f"    {'replaced'.ljust(10)}  {clean(text)}"
    if detail is not None:
        yield from (f"    {line}" for line in _details(detail))
    yield ""


def _details(detail: "RunEvent") -> Iterator[str]:
    changes, amendments = _split(detail)
    for each in amendments:
        yield click.style(f"amended by {clean(each.get('by', '?'))}: {clean(each.get('reason', '?'))}", bold=True)
    for change in changes:
        sign, color = _SIGNS[change.state]
        key = clean(change.key)
        if change.state == "changed":
            text = f"{key}: {_value(change.a)} → {_value(change.b)}"
        else:
            text = f"{key}: {_value(change.b if change.state == 'added' else change.a)}"
        yield click.style(f"{sign} {text}", fg=color)
    for name, state in detail.files.items():
        sign, color = _SIGNS[_FILE_WORDS[state]]
        yield click.style(f"{sign} {_FILES.get(name) or f'{clean(name)} (file)'}", fg=color)


def _split(detail: "RunEvent") -> "tuple[list[Difference], list[dict[str, Any]]]":
    """What changed, and of the amendments that were added by whom and why: their fields say nothing else."""
    changes: list[Difference] = []
    amendments: dict[str, dict[str, Any]] = {}
    for change in detail.changes or ():
        match = _AMENDMENT.fullmatch(change.key)
        if match is None or change.state != "added":
            changes.append(change)
        elif match[1]:
            amendments.setdefault(match[1], {})[match[2]] = change.b
    return changes, list(amendments.values())


def _value(value: Any) -> str:
    """A value with its type: text in quotes."""
    import json

    from runstone.tracking.shown import strict

    text = clean(json.dumps(strict(value), ensure_ascii=False, default=str))
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
