"""`runstone models history`, `at` and `blame`: what git tells of the registry's past. All offline."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import (
    Column,
    Form,
    emit,
    emit_facts,
    emit_json,
    form_options,
    format_iso,
    heading,
    hint,
    json_option,
)
from runstone.cli.session import MODEL, PLACE, Session, pass_session

if TYPE_CHECKING:
    from runstone.git.repository import Repository
    from runstone.registry.history.blame import Holding
    from runstone.registry.history.entry import Entry
    from runstone.registry.history.line import History
    from runstone.registry.history.past import Past, PastModel
    from runstone.registry.history.timeline import Happening
    from runstone.registry.people import Person

_COLUMNS = [
    Column("time", "time"),
    Column("what"),
    Column("version", "number"),
    Column("from"),
    Column("to"),
    Column("proposed by"),
    Column("merged by", yields=2),
    Column("approved by"),
    Column("request", yields=1),
    Column("why", yields=5),
    Column("run", "id", yields=4),
    Column("commit", "id", yields=3),
]
_PAST_COLUMNS = [
    Column("model"),
    Column("version", "number"),
    Column("stage"),
    Column("aliases"),
    Column("registered", "time"),
    Column("run", "id"),
]


@command(
    "history",
    short_help="Show what happened to MODEL, and who did it.",
    examples="""
    runstone models history churn                      versions, stages, aliases: the oldest first
    runstone models history churn --stage Production   who was in Production, and since when
    runstone models history churn --json
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.option("--stage", metavar="STAGE", help="Only what entered or left this stage.")
@json_option
@pass_session
def history(session: Session, name: str, stage: str | None, form: Form) -> None:
    """Show what happened to MODEL, the oldest first: versions that were registered or retired, and every change of a
    stage, an alias, a description that came onto the default branch, with who proposed, merged and approved it.

    All of it is read from git, offline. Who approved is told as merges, trailers and notes say; whether that was
    enough, `runstone verify` says.
    """
    from runstone.registry.history.line import read_history
    from runstone.registry.history.past import read_present
    from runstone.registry.history.tags import read_version_tags
    from runstone.registry.history.timeline import tell

    repo = session.light_repo
    key = read_present(repo, name).state.key
    found = read_history(repo, key=key)
    happened = tell(found.entries, read_version_tags(repo, key, commit=found.tip), key)
    if stage is not None:
        wanted = stage.lower()
        happened = [
            h for h in happened if h.what == "stage" and wanted in {(h.before or "").lower(), (h.after or "").lower()}
        ]
    if form == "json":
        emit_json([happening_document(each) for each in happened])
    else:
        emit(_COLUMNS, [_row(each) for each in happened], form, empty="Nothing has happened to it.")
    say_cut(repo, found)


@command(
    "at",
    short_help="Show the registry as it was at a time or a commit.",
    examples="""
    runstone models at 2026-11-01                  at the end of that day, UTC
    runstone models at '2 weeks ago' churn
    runstone models at 2026-11-01T09:30+01:00 --json
    runstone models at v1.4.0                      at a commit, a git tag or a branch
    """,
)
@click.argument("when", metavar="DATE|COMMIT")
@click.argument("name", metavar="[MODEL]", type=MODEL, required=False)
@form_options
@pass_session
def at(session: Session, when: str, name: str | None, form: Form) -> None:
    """Show which versions there were at a time or a commit, in which stage, under which aliases.

    DATE is ISO 8601, in UTC unless it says otherwise, or as '3 days', '2 weeks ago', yesterday; a day means its end.
    The registry of an instant is what the default branch said after the last commit that came onto it by then, by the
    clock of who put it there, and the version tags made by then.
    """
    from runstone.registry.history.past import find_model

    repo = session.light_repo
    past, what = _read_past(repo, when)
    models = list(past.models) if name is None else [find_model(past, name)]
    if form == "json":
        emit_json({"time": format_iso(past.time), "commit": past.commit, "models": [_past_document(m) for m in models]})
        return
    rows = [row for model in models for row in _past_rows(model)]
    emit(_PAST_COLUMNS, rows, form, empty="There was no model version.")
    commit = "before the first commit" if past.commit is None else f"commit {past.commit[:12]}"
    hint(f"As of {what}: {commit}")


@command(
    "blame",
    short_help="Show who put each version of MODEL where it is.",
    examples="""
    runstone models blame churn
    runstone models blame churn Production
    runstone models blame churn @champion --json
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("place", metavar="[STAGE|@ALIAS]", type=PLACE, required=False)
@json_option
@pass_session
def blame(session: Session, name: str, place: str | None, form: Form) -> None:
    """Show for each version of MODEL that is in a stage or under an alias since when it is there, by which commit, who
    proposed, merged and approved that, by which request, and what it is: its run, code and data.
    """
    from runstone.registry.history.blame import blame as find_blame
    from runstone.registry.history.line import read_history
    from runstone.registry.history.past import read_present

    repo = session.light_repo
    model = read_present(repo, name)
    found = read_history(repo, key=model.state.key)
    holdings = find_blame(repo, model, found)
    if place is not None:
        known = sorted({each.place for each in holdings})
        here = [each for each in holdings if place.lower() == each.place.lower()]
        holdings = here or [each for each in holdings if f"@{place}".lower() == each.place.lower()]
        if not holdings:
            raise click.UsageError(
                f"Nothing of {model.name} is in {place!r}. It holds: {', '.join(known) or 'nothing'}."
            )
    if form == "json":
        emit_json([_holding_document(each) for each in holdings])
    else:
        _print_holdings(holdings, model.name)
    say_cut(repo, found)


HISTORY = (history, at, blame)


# --- shared with `runstone audit`


def happening_document(happened: "Happening") -> dict[str, Any]:
    """One row of the history as JSON and CSV hold it."""
    return {
        "time": format_iso(happened.time),
        "model": happened.model or None,
        "what": happened.what,
        "version": happened.version,
        "from": happened.before,
        "to": happened.after,
        "run": happened.run,
        **_entry_document(happened.entry),
        "commit": happened.entry.commit if happened.entry is not None else None,
        "tag": happened.tag.tag if happened.tag is not None else None,
        "registered_by": _person(happened.tag.tagger) if happened.tag is not None else None,
    }


def say_cut(repo: "Repository", found: "History") -> None:
    """Tell that this clone does not have all of the history, or of what CI noted of it."""
    if found.is_cut:
        hint("The history is cut here, since this clone is shallow. Fetch the rest: `git fetch --unshallow`")
    is_reviewed = repo.config.promotion == "review"  # then also what looks like a direct commit came by a request
    if not all(entry.approvers for entry in found.entries if is_reviewed or entry.is_merge or entry.request):
        say_notes(repo)


def say_notes(repo: "Repository") -> None:
    """Tell that approvals may be missing, where the notes of them were never fetched."""
    from runstone.git.notes import were_never_fetched

    if were_never_fetched(repo):
        hint(
            "Approvals that CI noted may be missing: `git clone` leaves these notes behind. Fetch them: `runstone pull`"
        )


def _entry_document(entry: "Entry | None") -> dict[str, Any]:
    if entry is None:
        return {"proposed_by": [], "merged_by": None, "approved_by": [], "request": None, "bypass": None, "why": None}
    return {
        "proposed_by": [_person(person) for person in entry.proposers],
        "merged_by": str(entry.merger) if entry.merger is not None else None,
        "approved_by": [f"{each.person} ({each.how})" for each in entry.approvers],
        "request": entry.request,
        "bypass": entry.bypass,
        "why": entry.why,
    }


def _person(person: "Person") -> str:
    return str(person)


# --- history


def _row(happened: "Happening") -> list[Any]:
    entry, tag = happened.entry, happened.tag
    proposers = entry.proposers if entry is not None else () if tag is None else (tag.tagger,)
    what = happened.what if entry is None or entry.bypass is None else f"{happened.what} (bypassed: {entry.bypass})"
    short = happened.what in ("card", "policy")
    return [
        happened.time,
        what,
        happened.version,
        _cut(happened.before, short),
        _cut(happened.after, short),
        ", ".join(person.name or person.mail for person in proposers) or None,
        None if entry is None or entry.merger is None else getattr(entry.merger, "name", None) or str(entry.merger),
        ", ".join(each.person.name or each.person.mail for each in entry.approvers) or None
        if entry is not None
        else None,
        entry.request if entry is not None else None,
        entry.why if entry is not None else None,
        happened.run,
        entry.commit[:12] if entry is not None else None,
    ]


def _cut(text: str | None, is_blob: bool) -> str | None:
    return text[:7] if is_blob and text is not None else text


# --- at


def _read_past(repo: "Repository", when: str) -> "tuple[Past, str]":
    """The registry as of what was asked for, and in words what that was taken to be."""
    from runstone.cli.run_log import parse_moment
    from runstone.registry.history.past import read_past, read_past_commit

    try:
        moment = parse_moment(when, is_end=True)
    except click.UsageError:
        commit = None if re.search(r"[\s\0]", when) else repo.objects.resolve(when)
        if commit is None:
            raise click.UsageError(
                f"{when!r} is neither a time nor a commit. Write 2026-11-22, 2026-11-22T06:12Z, '3 days', yesterday, "
                "or a commit, a branch or a git tag."
            ) from None
        past = read_past_commit(repo, commit)
        return past, f"{when} ({format_iso(past.time)})"
    return read_past(repo, moment), format_iso(moment)


def _past_rows(model: "PastModel") -> list[list[Any]]:
    from runstone.records.stage import NO_STAGE

    made = {tag.version: tag for tag in model.versions}
    held = {version for versions in model.state.stages.values() for version in versions} | set(
        model.state.aliases.values()
    )
    rows: list[list[Any]] = []
    for version in sorted(made.keys() | held, reverse=True):
        stage, tag = model.state.stage_of(version), made.get(version)
        rows.append(
            [
                model.name,
                version,
                None if stage == NO_STAGE else stage,
                ", ".join(model.state.aliases_of(version)) or None,
                tag.time if tag is not None else None,
                tag.body.run if tag is not None and tag.body is not None else None,
            ]
        )
    return rows


def _past_document(model: "PastModel") -> dict[str, Any]:
    return {
        "name": model.name,
        "description": model.state.file.description,
        "tags": model.state.file.tags,
        "stages": {stage: list(versions) for stage, versions in model.state.stages.items()},
        "aliases": dict(model.state.aliases),
        "versions": [
            {
                "version": tag.version,
                "registered": format_iso(tag.time),
                "registered_by": _person(tag.tagger),
                "run": tag.body.run if tag.body is not None else None,
                "digest": tag.body.digest if tag.body is not None else None,
                "tag": tag.tag,
            }
            for tag in model.versions
        ],
        "retired": list(model.retired),
    }


# --- blame


def _print_holdings(holdings: "Sequence[Holding]", model: str) -> None:
    if not holdings:
        hint(f"No version of {model} is in a stage, and no alias points at one.")
    for each in holdings:
        heading(f"{each.place}  v{each.version}")
        facts = _holding_document(each)
        for name in ("model", "stage", "alias", "version"):
            del facts[name]
        facts["data"] = [f"{d['name']} ({d['digest']})" for d in facts.pop("datasets")]
        emit_facts(
            (name.replace("_", " "), ", ".join(value) if isinstance(value, list) else value)
            for name, value in facts.items()
        )


def _holding_document(held: "Holding") -> dict[str, Any]:
    entry, tag, run = held.entry, held.tag, held.run
    source = run.source if run is not None else None
    return {
        "model": held.model,
        "stage": held.stage,
        "alias": held.alias,
        "version": held.version,
        "since": format_iso(entry.time) if entry is not None else None,
        "commit": entry.commit if entry is not None else None,
        **_entry_document(entry),
        "registered": format_iso(tag.time) if tag is not None else None,
        "registered_by": _person(tag.tagger) if tag is not None else None,
        "run": tag.body.run if tag is not None and tag.body is not None else None,
        "run_name": run.name if run is not None else None,
        "code": source.commit if source is not None else None,
        "snapshot": source.snapshot if source is not None else None,
        "branch": source.branch if source is not None else None,
        "datasets": [{"name": d.name, "role": d.role, "digest": d.digest} for d in run.datasets]
        if run is not None
        else [],
    }
