"""Proposals as rows of tables and as JSON."""

import re
from typing import TYPE_CHECKING, Any

from runstone.cli.output import format_iso
from runstone.cli.session import Session
from runstone.errors.base import in_quotes

_SUMMARY = re.compile(r"(?:<details>)?<summary>(.*?)</summary>")
_CODE = re.compile(r"(`+) ?(.+?) ?\1(?!`)")
_GAPS = re.compile(r"\n{3,}")

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


def approved(session: Session, view: "View", proposal: "Proposal") -> str:
    """Who has approved an open proposal by notes of their own."""
    from runstone.promotion.proposals.approve import evidence_for

    found = evidence_for(session.workspace.repo, view.tip, proposal).approvers
    return ", ".join(dict.fromkeys(each.person.name for each in found))


def approvals_documents(session: Session, view: "View", proposal: "Proposal") -> list[dict[str, Any]]:
    """The same as JSON."""
    from runstone.promotion.proposals.approve import evidence_for

    found = evidence_for(session.workspace.repo, view.tip, proposal).approvers
    return [{"name": e.person.name, "mail": e.person.mail, "signed": e.signed, "note": e.said} for e in found]


def row(session: Session, view: "View", proposal: "Proposal") -> list[Any]:
    """A proposal as a row of the list."""
    author, yes = proposal.author.partition(" <")[0], approved(session, view, proposal)
    return [proposal.name, summary(session, proposal), author, yes, proposal.time, proposal.state, where(proposal)]


def runs_of(session: Session, proposal: "Proposal") -> list[str]:
    """The runs that a proposal asks to register, as people call them."""
    from runstone.cli.promote import run_name
    from runstone.promotion.proposals.contents import changes_of
    from runstone.registry.changes import RegistrationChange

    changes = changes_of(session.workspace.repo, proposal)
    runs = [change.run for change in changes if isinstance(change, RegistrationChange)]
    return [f"{run_name(session, run) or 'not here'} ({run})" for run in runs]


def next_step(session: Session, view: "View", proposal: "Proposal") -> str:
    """What is to be done about an open proposal, by whoever is at work here."""
    from runstone.promotion.ci.merged import merge_registry
    from runstone.promotion.proposals.approve import is_own, missing
    from runstone.promotion.proposals.verdict import hindrance

    repo, name = session.workspace.repo, in_quotes(proposal.name)
    if view.tip is not None:
        head = merge_registry(repo, view.tip, proposal.commit, proposal.base).commit
        if hindrance(session.workspace, view.tip, head).reasons:
            return f"As it is, it cannot be merged: see above. Close it: `runstone proposals close {name}`"
    lacking = missing(repo, view.tip, proposal)
    if lacking and is_own(repo, view.tip, proposal):
        return f"It is yours: somebody else approves it, `runstone proposals approve {name}`, or merges it."
    if lacking:
        return f"Approve it: `runstone proposals approve {name}`; merge it: `runstone proposals merge {name}`"
    return f"Merge it: `runstone proposals merge {name}`"


def as_text(report: str) -> str:
    """A report as a terminal shows it: without what only a page in a browser makes something of."""
    lines = []
    for line in report.split("\n"):
        if line.startswith("<!--") or line.strip() in ("<details>", "</details>"):
            continue
        line = _SUMMARY.sub(r"#### \1", line)
        if line.startswith(("- ", "Files and gates")):
            line = line.replace("**", "")
        lines.append(_CODE.sub(lambda match: match[2], line) if line.startswith("- ") else line)
    return _GAPS.sub("\n\n", "\n".join(lines)).strip("\n")


def document(session: Session, proposal: "Proposal", view: "View | None" = None) -> dict[str, Any]:
    """A proposal as JSON; with a view, who has approved it, too."""
    known = {} if view is None else {"approved": approvals_documents(session, view, proposal)}
    return {
        **known,
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
