"""`runstone audit`: every change of the registry, one row each, for people who keep records of such things."""

from typing import Any

import click

from runstone.cli.command import command
from runstone.cli.model_history import happening_document, say_cut
from runstone.cli.output import Column, Form, emit, emit_json, form_options
from runstone.cli.session import MODEL, Session, pass_session

_COLUMNS = (
    "time",
    "model",
    "what",
    "version",
    "from",
    "to",
    "proposed_by",
    "merged_by",
    "approved_by",
    "request",
    "run",
    "commit",
    "tag",
    "registered_by",
    "bypass",
)
_YIELDING = {"registered_by": 9, "tag": 8, "commit": 7, "run": 6, "request": 5, "bypass": 4}


@command(
    "audit",
    short_help="List every change of the registry, and who made it.",
    examples="""
    runstone audit --since 2026-10-01 --until 2026-12-31 --csv > audit.csv
    runstone audit --model churn --json
    runstone audit --since '2 weeks ago'
    """,
)
@click.option("--since", metavar="TIME", help="Not older: as 2026-11-22, 2026-11-22T06:12Z, '3 days', 2h, yesterday.")
@click.option("--until", metavar="TIME", help="Not newer; a day counts as a whole.")
@click.option("--model", "name", metavar="MODEL", type=MODEL, help="Only of this model, and of the policy of all.")
@form_options
@pass_session
def audit(session: Session, since: str | None, until: str | None, name: str | None, form: Form) -> None:
    """List every change of the registry, the oldest first: what, from and to what, who proposed, merged and approved
    it, by which request and commit, and why gates were set aside where they were.

    All of it is read from git, offline, and anybody with a clone gets the same rows. Times are UTC.
    """
    from runstone.cli.run_log import parse_moment
    from runstone.registry.history.line import read_history
    from runstone.registry.history.past import read_present
    from runstone.registry.history.tags import read_version_tags
    from runstone.registry.history.timeline import tell

    repo = session.light_repo
    first = None if since is None else parse_moment(since)
    last = None if until is None else parse_moment(until, is_end=True)
    key = None if name is None else read_present(repo, name).state.key
    found = read_history(repo, key=key)
    rows: list[dict[str, Any]] = []
    for happened in tell(found.entries, read_version_tags(repo, key, commit=found.tip)):
        if (first is None or happened.time >= first) and (last is None or happened.time <= last):
            rows.append(happening_document(happened))
    if form == "json":
        emit_json(rows)
    else:
        columns = [Column(name, yields=_YIELDING.get(name, 0)) for name in _COLUMNS]
        emit(columns, [[_cell(row[name]) for name in _COLUMNS] for row in rows], form, empty="Nothing has happened.")
    say_cut(repo, found)


def _cell(value: Any) -> Any:
    return ("; ".join(value) or None) if isinstance(value, list) else value
