"""Whether a proposal that is still open has the approvals that it needs, by what its forge says now.

After the merge git itself answers that; see `approvals`.
"""

from dataclasses import replace

from runstone.errors import RunstoneError
from runstone.git.repository import Repository
from runstone.promotion.ci.check import Check
from runstone.promotion.ci.comment import find_request, need_forge
from runstone.promotion.ci.findings import Finding
from runstone.promotion.report.places import place_of
from runstone.promotion.rules.approvals import Approver, Evidence, lacking
from runstone.records.approval import ApprovalNote
from runstone.registry.people import Person


def with_approvals(repo: Repository, found: Check, *, request: int | None = None) -> Check:
    """A check that finds fault with approvals that are missing, too.

    Where the forge cannot be asked, or there is none, that cannot be decided.
    """
    judged = found.judgement.judged if found.judgement is not None else ()
    wanting = [each for each in judged if each.approvals.count]
    if not wanting:
        return found
    findings = list(found.findings)
    registry = repo.config.registry
    try:
        forge = need_forge(repo)
        note = forge.approvals(find_request(forge, found.context, request))
    except RunstoneError as error:
        why = f"needs approvals, and whether it has them cannot be told. {error}"
        findings += [Finding("unknown", place_of(e.change).path(registry), 1, "approvals", why) for e in wanting]
        return replace(found, findings=tuple(findings))
    evidence = evidence_of(found.context.head, note)
    for each in wanting:
        for why in lacking(each.approvals, evidence):
            findings.append(Finding("error", place_of(each.change).path(registry), 1, "approvals", why))
    return replace(found, findings=tuple(findings))


def evidence_of(head: str, note: ApprovalNote | None) -> Evidence:
    """What a forge says of an open request as evidence; an approval of an older head does not count."""
    if note is None:
        return Evidence(head, True, (), None, ())
    author = Person(note.author, (note.author_mail or note.author).lower())
    approvers, doubts = [], []
    for approval in note.approvals:
        if approval.commit not in (None, head, note.head):
            doubts.append(f"{approval.by} approved {str(approval.commit)[:7]}, and {head[:7]} is proposed")
        elif approval.by == note.author:
            approvers.append(Approver(author.name, author.mail, "note"))
        else:
            approvers.append(Approver(approval.by, approval.mail and approval.mail.lower(), "note"))
    return Evidence(head, True, (author,), None, tuple(approvers), note.request, tuple(doubts))
