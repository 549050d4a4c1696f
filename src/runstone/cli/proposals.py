"""`runstone proposals`: changes of the registry that wait for review."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import Column, Form, clean, emit, emit_facts, emit_json, format_iso, hint, json_option
from runstone.cli.promote import asking, change_options, say_outcome
from runstone.cli.proposal_rows import (
    approved,
    as_text,
    change_documents,
    contents_of,
    document,
    next_step,
    report,
    row,
    runs_of,
    summary,
    where,
)
from runstone.cli.session import REMOTE, Session, Word, pass_session
from runstone.errors.base import in_quotes

if TYPE_CHECKING:
    from runstone.promotion.proposals.look import View
    from runstone.promotion.proposals.proposal import Proposal
    from runstone.promotion.proposals.propose import Options

PROPOSAL = Word("proposal", "proposals")
_NAME = click.argument("name", metavar="NAME", type=PROPOSAL)
_REMOTE = click.option("--remote", type=REMOTE, metavar="NAME", help="The git remote.  [default: origin]")
_COLUMNS = [
    Column("proposal", is_whole=True),
    Column("change"),
    Column("author"),
    Column("approved"),
    Column("age", "age"),
    Column("state"),
    Column("where"),
]


@group(
    "proposals",
    examples="""
    runstone proposals list
    runstone proposals show churn
    runstone proposals approve churn
    runstone proposals merge promote/churn-v4-production
    """,
)
def proposals() -> None:
    """Proposed changes of the registry: list, show, approve, merge, close them, make them anew.

    NAME is a proposal's branch, or a part of it that only one has, as the model's name.
    """


def _looking(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of what only looks; the function gets the view of the remote in their place."""

    @click.option("--offline", is_flag=True, help="Do not ask the remote; what was seen last counts.")
    @_REMOTE
    @json_option
    @pass_session
    @functools.wraps(function)
    def with_view(session: Session, /, offline: bool, remote: str | None, **options: Any) -> Any:
        from runstone.promotion.proposals.look import look

        with asking() as tell:
            view = look(session.workspace.repo, ask=not offline, may_fail=True, remote=remote, progress=tell)
        return function(session, view, **options)

    return with_view


def _showing(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `_looking`, of one proposal, which the function gets in place of its name."""

    @_NAME
    @_looking
    @functools.wraps(function)
    def with_proposal(session: Session, view: "View", /, name: str, **options: Any) -> Any:
        from runstone.promotion.proposals.listing import find_proposal

        return function(session, view, find_proposal(session.workspace.repo, view, name), **options)

    return with_proposal


def _changing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and the options of what changes one proposal."""
    return _NAME(_REMOTE(json_option(pass_session(function))))


@proposals.command(
    "list",
    short_help="List the open proposals, the newest first.",
    examples="""
    runstone proposals list
    runstone proposals list --offline --json
    """,
)
@click.option("--all", "merged", is_flag=True, help="Also those whose changes the default branch has.")
@_looking
def list_(session: Session, view: "View", merged: bool, form: Form) -> None:
    """List the open proposals, the newest first: what they change, who made them, how they stand to the branch.

    Branches here of proposals that were merged, and that the remote has no more, are removed.
    """
    from runstone.promotion.proposals.listing import list_proposals
    from runstone.promotion.proposals.merge import remove_merged

    gone = [] if merged else remove_merged(session.workspace.repo, view)
    found = list_proposals(session.workspace.repo, view, merged=merged)
    if form == "json":
        emit_json([document(session, each, view) for each in found])
        return
    rows = [row(session, view, each) for each in found]
    emit(_COLUMNS, rows, form, empty="There are no open proposals.")
    if gone:
        hint(f"Removed here, as they were merged: {', '.join(gone)}")


@proposals.command(
    "show",
    short_help="Show a proposal and the report on it.",
    examples="""
    runstone proposals show churn
    runstone proposals show promote/churn-v4-production --json
    """,
)
@_showing
def show(session: Session, view: "View", proposal: "Proposal", form: Form) -> None:
    """Show a proposal: what it changes, who made it, how it stands, and the report on it."""
    from runstone.promotion.proposals.bring import bring_runs

    with asking() as tell:
        bring_runs(session.workspace.repo, view, proposal, tell)
    if form == "json":
        changes = change_documents(session, proposal)
        told = document(session, proposal, view)
        emit_json({**told, "changes": changes, "report": report(session, view, proposal)})
        return
    emit_facts(
        [
            ("proposal", proposal.name),
            ("change", summary(session, proposal, most=20)),
            ("run", ", ".join(runs_of(session, proposal))),
            ("author", proposal.author),
            ("approved", approved(session, view, proposal)),
            ("says", proposal.subject),
            ("made", format_iso(proposal.time)),
            ("commit", proposal.commit),
            ("state", proposal.state),
            ("where", where(proposal)),
        ]
    )
    click.echo("\n" + clean(as_text(report(session, view, proposal)), keep="\n"))
    if proposal.state in ("conflicts", "stale"):
        hint(f"Make it anew on the present branch: `runstone proposals refresh {in_quotes(proposal.name)}`")
    elif proposal.state == "open":
        hint(next_step(session, view, proposal))


@proposals.command(
    "diff",
    short_help="Show what a proposal changes.",
    examples="""
    runstone proposals diff churn
    runstone proposals diff churn --text
    """,
)
@click.option("--text", is_flag=True, help="The lines of the files, as git shows them.")
@_showing
def diff(session: Session, view: "View", proposal: "Proposal", text: bool, form: Form) -> None:
    """Show what a proposal changes: facts, or lines of files."""
    if text:
        base = proposal.base or f"{proposal.commit}^"
        options = ["--no-ext-diff", "--no-textconv", "--no-color", "--end-of-options"]
        _, out = session.workspace.repo.git("diff", *options, base, proposal.commit)
        shown = out.decode("utf-8", "replace")
        emit_json({"proposal": proposal.name, "text": shown}) if form == "json" else click.echo(
            clean(shown, keep="\n\t"), nl=False
        )
    elif form == "json":
        emit_json(change_documents(session, proposal))
    else:
        for each in contents_of(session, proposal):
            click.echo(clean(each))


@proposals.command(
    "merge",
    short_help="Merge a proposal: your yes to it.",
    examples="""
    runstone proposals merge churn
    runstone proposals merge promote/churn-v4-production --json
    """,
)
@_changing
def merge(session: Session, name: str, remote: str | None, form: Form) -> None:
    """Merge a proposal into the default branch: your yes to it.

    The gates are judged and the approvals counted first, by the policy of the default branch. Where that branch is
    checked out, the work tree goes along; nothing else in it is touched. Interrupted, it may be repeated.
    """
    from runstone.promotion.proposals.merge import merge_proposal

    with asking() as tell:
        done = merge_proposal(session.workspace, name, remote=remote, progress=tell)
    if form == "json":
        facts = {"done": "merged" if done.is_new else "nothing", "commit": done.commit, "target": done.target}
        emit_json({**document(session, done.proposal), **facts, "remarks": list(done.remarks)})
        return
    branch = done.proposal.name
    said = f"merged into {done.target}: {summary(session, done.proposal)}"
    click.echo(clean(said if done.is_new else f"{done.target} has {branch} already: it was merged before"))
    _say(done.remarks)


@proposals.command(
    "approve",
    short_help="Approve a proposal without merging it.",
    examples="""
    runstone proposals approve churn
    runstone proposals approve promote/churn-v4-production --message "Checked on the March data"
    """,
)
@click.option("-m", "--message", metavar="WHY", help="What to say of it.")
@_changing
def approve(session: Session, name: str, message: str | None, remote: str | None, form: Form) -> None:
    """Approve a proposal without merging it, where more than one yes is needed.

    A git note on its commit, in refs/notes/runstone, signed where git signs, and pushed. Whoever merges it approves it,
    too. Made anew, a proposal needs new approvals. On a forge, approve the request there.
    """
    with asking():
        done = session.client.approve_proposal(name, message=message, remote=remote)
    proposal = done.proposal
    if form == "json":
        facts = {"done": "approved" if done.is_new else "nothing", "lacking": list(done.lacking)}
        emit_json({**document(session, proposal), **facts})
        return
    click.echo(clean(f"{'approved' if done.is_new else 'approved already'}: {summary(session, proposal)}"))
    for sentence in done.lacking:
        hint(f"{sentence}. Whoever merges it approves it, too.")
    hint(f"Merge it: `runstone proposals merge {in_quotes(proposal.name)}`")


@proposals.command(
    "open",
    short_help="Propose files of the registry as they are here.",
    examples="""
    runstone proposals open registry/policy.yaml --message "Two of us for Production"
    runstone proposals open runstone.yaml .mailmap
    """,
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@change_options
@json_option
@pass_session
def open_(
    session: Session,
    files: Sequence[str],
    message: str | None,
    make_options: "Callable[..., Options]",
    form: Form,
) -> None:
    """Propose FILEs of the registry, or the settings that guard it, as they are in the work tree now.

    So a policy is changed where promotions are reviewed. Nothing in the work tree or on the default branch changes.
    """
    with asking() as tell:
        outcome = session.client.propose_files(*files, message=message, options=make_options(progress=tell))
    say_outcome(session, outcome, form)


@proposals.command(
    "close",
    short_help="Close a proposal without merging it.",
    examples="""
    runstone proposals close churn
    """,
)
@_changing
def close(session: Session, name: str, remote: str | None, form: Form) -> None:
    """Close a proposal without merging it: its branch goes, here and on the remote."""
    from runstone.promotion.proposals.close import close as close_proposal

    with asking() as tell:
        proposal, left = close_proposal(session.workspace.repo, name, remote=remote, progress=tell)
    if form == "json":
        emit_json({**document(session, proposal), "done": "closed", "remarks": left})
        return
    click.echo(clean(f"closed {proposal.name}: {summary(session, proposal)}"))
    hint(f"Bring it back: `git branch {in_quotes(proposal.branch)} {proposal.commit}`")
    _say(left)


@proposals.command(
    "refresh",
    short_help="Make a proposal anew on the present branch.",
    examples="""
    runstone proposals refresh churn
    """,
)
@click.option("--no-push", is_flag=True, help="Keep the proposal here; the remote may be away.")
@_changing
def refresh(session: Session, name: str, no_push: bool, remote: str | None, form: Form) -> None:
    """Make a proposal anew on the present default branch: the same wish, planned on what is so now.

    Whoever does so becomes its author, and can no longer be the one to approve it.
    """
    from runstone.promotion.proposals.propose import Options
    from runstone.promotion.proposals.refresh import refresh as refresh_proposal

    with asking() as tell:
        options = Options(push=not no_push, remote=remote, progress=tell)
        outcome = refresh_proposal(session.workspace, name, options)
    say_outcome(session, outcome, form)
    if outcome.plan.nothing and form != "json":
        hint(f"Nothing is left to propose. Close it: `runstone proposals close {in_quotes(name)}`")


def _say(remarks: Sequence[str]) -> None:
    for remark in remarks:
        hint(remark)
