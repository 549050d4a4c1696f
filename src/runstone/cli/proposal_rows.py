"""Proposals as rows of tables and as JSON."""

from typing import TYPE_CHECKING, Any

from runstone.cli.output import format_iso
from runstone.cli.session import Session

if TYPE_CHECKING:
    from runstone.promotion.proposals.look import View
    from runstone.promotion.proposals.proposal import Proposal


def report(session: Session, view: "View", proposal: "Proposal") -> str:
    """The report on a proposal; of one that is merged, as of when it was made."""
    from dataclasses import replace

    from runstone.promotion.proposals.request import report_of

    if proposal.state == "merged":
        view = replace(view, tip=proposal.base)
    return report_of(session.workspace, view, proposal.commit, proposal.base)


def summary(session: Session, proposal: "Proposal", *, most: int = 3) -> str:
    """What a proposal changes, on one line; its subject is whatever its author wrote."""
    found = contents_of(session, proposal)
    more = [f"{len(found) - most} more"] if len(found) > most else []
    return "; ".join([*found[:most], *more])


def contents_of(session: Session, proposal: "Proposal") -> list[str]:
    """What a proposal changes, one line each."""
    from runstone.promotion.proposals.contents import contents

    return contents(session.workspace.repo, proposal)


def change_documents(session: Session, proposal: "Proposal") -> list[dict[str, Any]]:
    """The same as JSON."""
    from dataclasses import asdict

    from runstone.promotion.proposals.contents import changes_of
    from runstone.promotion.report.described import describe

    return [
        {"kind": type(change).__name__.removesuffix("Change").lower(), **asdict(change), "text": describe(change)}
        for change in changes_of(session.workspace.repo, proposal)
    ]


def document(session: Session, proposal: "Proposal") -> dict[str, Any]:
    """A proposal as JSON."""
    return {
        "name": proposal.name,
        "branch": proposal.branch,
        "remote": proposal.remote,
        "local": proposal.is_local,
        "commit": proposal.commit,
        "base": proposal.base,
        "change": contents_of(session, proposal),
        "subject": proposal.subject,
        "author": proposal.author,
        "made": format_iso(proposal.time),
        "state": proposal.state,
        "trailers": {key: list(values) for key, values in proposal.trailers.items()},
    }


def where(proposal: "Proposal") -> str:
    """Who has its branch."""
    places = [*(["here"] if proposal.is_local else []), *([proposal.remote] if proposal.remote else [])]
    return ", ".join(places)
