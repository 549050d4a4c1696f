"""Whether a proposal that is still open has the approvals that it needs: by what its forge says now, and by the notes
that reviewers wrote themselves.

After the merge git itself answers that; see `approvals`.
"""

from contextlib import suppress
from dataclasses import replace

from runstone.errors import RemoteUnreachable, RunstoneError
from runstone.git import transport
from runstone.git.notes import NOTES_REF
from runstone.git.repository import Repository
from runstone.promotion.ci.check import Check
from runstone.promotion.ci.comment import find_request, need_forge
from runstone.promotion.ci.findings import Finding
from runstone.promotion.report.places import path_of
from runstone.promotion.rules.approvals import Evidence, lacking, progress, with_note, with_reviews
from runstone.registry.history.line import read_makers
from runstone.tracking.approval_notes import exchange_notes


def bring_notes(repo: Repository) -> None:
    """Bring the notes of the remote, as a clone made for a job has none; where it cannot be asked, those here count."""
    remote = transport.find_remote(repo)
    if remote is None:
        return
    with suppress(RemoteUnreachable):
        there = transport.list_remote(repo, remote, [NOTES_REF]).get(NOTES_REF)
        exchange_notes(repo, remote, there, send=False)


def with_approvals(repo: Repository, found: Check, *, request: int | None = None) -> Check:
    """A check that finds fault with approvals that are missing, too.

    Where the forge cannot be asked, or there is none, that cannot be decided, unless reviewers' own notes are
    enough: whoever merges it approves it, too.
    """
    judged = found.judgement.judged if found.judgement is not None else ()
    wanting = [each for each in judged if each.approvals]
    if not wanting:
        return found
    findings = list(found.findings)
    registry = repo.config.registry
    base, head = found.context.base, found.context.head
    bring_notes(repo)
    authors = () if base is None else read_makers(repo, base, head)
    evidence = with_reviews(repo, Evidence(head, True, authors, None, ()), base)
    try:
        forge = need_forge(repo)
        note = forge.approvals(find_request(forge, found.context, request))
    except RunstoneError as error:
        for each in wanting:
            open_rules = [rule for rule in each.approvals if lacking(rule, evidence)]
            why = "; ".join(dict.fromkeys(progress(rule, evidence) for rule in open_rules))
            known = f"{why} by now; whether it has more" if evidence.approvers else "whether it has them"
            why = f"needs approvals, and {known} cannot be told. {error}"
            if open_rules:
                findings.append(Finding("unknown", path_of(each.change, registry), 1, "approvals", why))
        return replace(found, findings=tuple(findings))
    if note is not None:
        evidence = with_note(repo, evidence, note, base, is_merged=False)
    for each in wanting:
        for why in dict.fromkeys(why for rule in each.approvals for why in lacking(rule, evidence)):
            findings.append(Finding("error", path_of(each.change, registry), 1, "approvals", why))
    return replace(found, findings=tuple(findings))
