"""`runstone proposals`: changes of the registry that wait for review."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import Column, Form, clean, emit, emit_facts, emit_json, format_iso, hint, json_option
from runstone.cli.promote import asking, outcome_document, say_outcome
from runstone.cli.session import REMOTE, Session, Word, pass_session

if TYPE_CHECKING:
    from runstone.git.repository import Repository
    from runstone.promotion.proposals.look import View
    from runstone.promotion.proposals.proposal import Proposal
    from runstone.registry.changes import Change

PROPOSAL = Word("proposal", "proposals")
_OFFLINE = click.option("--offline", is_flag=True, help="Do not ask the remote; what was seen last counts.")
_REMOTE = click.option("--remote", type=REMOTE, metavar="NAME", help="The git remote.  [default: origin]")
_COLUMNS = [
    Column("proposal"),
    Column("change"),
    Column("author"),
    Column("age", "age"),
    Column("state"),
    Column("where"),
]


@group(
    "proposals",
    examples="""
    runstone proposals list
    runstone proposals show churn
    runstone proposals merge promote/churn-v4-production
    """,
)
def proposals() -> None:
    """Proposed changes of the registry: list, show, merge, close them, make them anew.

    NAME is a proposal's branch, or a part of it that only one has, as the model's name.
    """


@proposals.command(
    "list",
    short_help="List the open proposals, the newest first.",
    examples="""
    runstone proposals list
    runstone proposals list --offline --json
    """,
)
@click.option("--all", "merged", is_flag=True, help="Also those whose changes the default branch has.")
@_OFFLINE
@_REMOTE
@json_option
@pass_session
def list_(session: Session, merged: bool, offline: bool, remote: str | None, form: Form) -> None:
    """List the open proposals, the newest first: what they change, who made them, how they stand to the branch."""
    from runstone.promotion.proposals.listing import list_proposals

    repo = session.workspace.repo
    view = _look(session, offline, remote)
    found = list_proposals(repo, view, merged=merged)
    if form == "json":
        emit_json([_document(each) for each in found])
        return
    rows = [[p.name, p.subject, p.author.partition(" <")[0], p.time, p.state, _where(p)] for p in found]
    emit(_COLUMNS, rows, form, empty="There are no open proposals.")


@proposals.command(
    "show",
    short_help="Show a proposal and the report on it.",
    examples="""
    runstone proposals show churn
    runstone proposals show promote/churn-v4-production --json
    """,
)
@click.argument("name", metavar="NAME", type=PROPOSAL)
@_OFFLINE
@_REMOTE
@json_option
@pass_session
def show(session: Session, name: str, offline: bool, remote: str | None, form: Form) -> None:
    """Show a proposal: who made it, how it stands, and the report on what it changes."""
    view, proposal = _find(session, name, offline, remote)
    from runstone.promotion.proposals.bring import bring_runs

    with asking() as tell:
        bring_runs(session.workspace.repo, view, proposal, tell)
    if form == "json":
        changes = [_change(each) for each in _changes(session.workspace.repo, proposal)]
        emit_json({**_document(proposal), "changes": changes, "report": _report(session, view, proposal)})
        return
    emit_facts(
        [
            ("proposal", proposal.name),
            ("subject", proposal.subject),
            ("author", proposal.author),
            ("made", format_iso(proposal.time)),
            ("commit", proposal.commit),
            ("state", proposal.state),
            ("where", _where(proposal)),
        ]
    )
    click.echo("\n" + clean(_report(session, view, proposal), keep="\n"))
    if proposal.state in ("conflicts", "stale"):
        hint(f"Make it anew on the present branch: `runstone proposals refresh '{proposal.name}'`")
    elif proposal.state == "open":
        hint(f"Merge it: `runstone proposals merge '{proposal.name}'`")


@proposals.command(
    "diff",
    short_help="Show what a proposal changes.",
    examples="""
    runstone proposals diff churn
    runstone proposals diff churn --text
    """,
)
@click.argument("name", metavar="NAME", type=PROPOSAL)
@click.option("--text", is_flag=True, help="The lines of the files, as git shows them.")
@_OFFLINE
@_REMOTE
@json_option
@pass_session
def diff(session: Session, name: str, text: bool, offline: bool, remote: str | None, form: Form) -> None:
    """Show what a proposal changes: facts, or lines of files."""
    _, proposal = _find(session, name, offline, remote)
    repo = session.workspace.repo
    if text:
        base = proposal.base or f"{proposal.commit}^"
        options = ["--no-ext-diff", "--no-textconv", "--no-color", "--end-of-options"]
        _, out = repo.git("diff", *options, base, proposal.commit)
        shown = out.decode("utf-8", "replace")
        emit_json({"proposal": proposal.name, "text": shown}) if form == "json" else click.echo(
            clean(shown, keep="\n\t"), nl=False
        )
        return
    changes = _changes(repo, proposal)
    if form == "json":
        emit_json([_change(each) for each in changes])
        return
    from runstone.promotion.report.described import describe

    for each in changes:
        click.echo(clean(describe(each)))


@proposals.command(
    "merge",
    short_help="Merge a proposal: your yes to it.",
    examples="""
    runstone proposals merge churn
    runstone proposals merge promote/churn-v4-production --json
    """,
)
@click.argument("name", metavar="NAME", type=PROPOSAL)
@_REMOTE
@json_option
@pass_session
def merge(session: Session, name: str, remote: str | None, form: Form) -> None:
    """Merge a proposal into the default branch: your yes to it.

    The gates are judged and the approvals counted first, by the policy of the default branch. Where that branch is
    checked out, the work tree goes along; nothing else in it is touched.
    """
    from runstone.promotion.proposals.merge import merge_proposal

    with asking() as tell:
        done = merge_proposal(session.workspace, name, remote=remote, progress=tell)
    if form == "json":
        facts = {"done": "merged" if done.is_new else "nothing", "commit": done.commit, "target": done.target}
        emit_json({**_document(done.proposal), **facts, "remarks": list(done.remarks)})
        return
    said = f"merged into {done.target}: {done.proposal.subject}"
    click.echo(clean(said if done.is_new else f"{done.target} has it already: {done.proposal.subject}"))
    _say(done.remarks)


@proposals.command(
    "close",
    short_help="Close a proposal without merging it.",
    examples="""
    runstone proposals close churn
    """,
)
@click.argument("name", metavar="NAME", type=PROPOSAL)
@_REMOTE
@pass_session
def close(session: Session, name: str, remote: str | None) -> None:
    """Close a proposal without merging it: its branch goes, here and on the remote."""
    from runstone.promotion.proposals.close import close as close_proposal

    with asking() as tell:
        proposal, left = close_proposal(session.workspace.repo, name, remote=remote, progress=tell)
    click.echo(clean(f"closed {proposal.name}: {proposal.subject}"))
    hint(f"Bring it back: `git branch '{proposal.branch}' {proposal.commit}`")
    _say(left)


@proposals.command(
    "refresh",
    short_help="Make a proposal anew on the present branch.",
    examples="""
    runstone proposals refresh churn
    """,
)
@click.argument("name", metavar="NAME", type=PROPOSAL)
@click.option("--no-push", is_flag=True, help="Keep the proposal here; the remote may be away.")
@_REMOTE
@json_option
@pass_session
def refresh(session: Session, name: str, no_push: bool, remote: str | None, form: Form) -> None:
    """Make a proposal anew on the present default branch: the same wish, planned on what is so now.

    Whoever does so becomes its author, and can no longer be the one to approve it.
    """
    from runstone.promotion.proposals.propose import Options
    from runstone.promotion.proposals.refresh import refresh as refresh_proposal

    with asking() as tell:
        options = Options(push=not no_push, remote=remote, progress=tell)
        outcome = refresh_proposal(session.workspace, name, options)
    if form == "json":
        emit_json(outcome_document(outcome))
        return
    say_outcome(session, outcome, form)
    if outcome.plan.nothing:
        hint(f"Nothing is left to propose. Close it: `runstone proposals close '{name}'`")


def _look(session: Session, offline: bool, remote: str | None) -> "View":
    from runstone.promotion.proposals.look import look

    with asking() as tell:
        return look(session.workspace.repo, ask=not offline, may_fail=True, remote=remote, progress=tell)


def _find(session: Session, name: str, offline: bool, remote: str | None) -> "tuple[View, Proposal]":
    from runstone.promotion.proposals.listing import find_proposal

    view = _look(session, offline, remote)
    return view, find_proposal(session.workspace.repo, view, name)


def _report(session: Session, view: "View", proposal: "Proposal") -> str:
    from dataclasses import replace

    from runstone.promotion.proposals.request import report_of

    if proposal.state == "merged":  # told as of when it was made
        view = replace(view, tip=proposal.base)
    return report_of(session.workspace, view, proposal.commit, proposal.base)


def _changes(repo: "Repository", proposal: "Proposal") -> "Sequence[Change]":
    from runstone.registry.changes import read_changes

    return read_changes(repo, proposal.base, proposal.commit)


def _change(change: "Change") -> dict[str, Any]:
    from dataclasses import asdict

    from runstone.promotion.report.described import describe

    kind = type(change).__name__.removesuffix("Change").lower()
    return {"kind": kind, **asdict(change), "text": describe(change)}


def _document(proposal: "Proposal") -> dict[str, Any]:
    return {
        "name": proposal.name,
        "branch": proposal.branch,
        "remote": proposal.remote,
        "local": proposal.is_local,
        "commit": proposal.commit,
        "base": proposal.base,
        "subject": proposal.subject,
        "author": proposal.author,
        "made": format_iso(proposal.time),
        "state": proposal.state,
        "trailers": {key: list(values) for key, values in proposal.trailers.items()},
    }


def _where(proposal: "Proposal") -> str:
    places = [*(["here"] if proposal.is_local else []), *([proposal.remote] if proposal.remote else [])]
    return ", ".join(places)


def _say(remarks: Sequence[str]) -> None:
    for remark in remarks:
        hint(remark)
