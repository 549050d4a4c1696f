"""Whether a proposal that is still open has the approvals that it needs, by what its forge says now.

After the merge git itself answers that; see `approvals`.
"""

from dataclasses import replace

from runstone.errors import RunstoneError
from runstone.git.repository import Repository
from runstone.promotion.ci.check import Check
from runstone.promotion.ci.comment import find_request, need_forge
from runstone.promotion.ci.findings import Finding
from runstone.promotion.report.places import path_of
from runstone.promotion.rules.approvals import Evidence, lacking, with_note
from runstone.registry.history.line import read_makers


def with_approvals(repo: Repository, found: Check, *, request: int | None = None) -> Check:
    """A check that finds fault with approvals that are missing, too.

    Where the forge cannot be asked, or there is none, that cannot be decided.
    """
    judged = found.judgement.judged if found.judgement is not None else ()
    wanting = [each for each in judged if each.approvals]
    if not wanting:
        return found
    findings = list(found.findings)
    registry = repo.config.registry
    try:
        forge = need_forge(repo)
        note = forge.approvals(find_request(forge, found.context, request))
    except RunstoneError as error:
        why = f"needs approvals, and whether it has them cannot be told. {error}"
        findings += [Finding("unknown", path_of(e.change, registry), 1, "approvals", why) for e in wanting]
        return replace(found, findings=tuple(findings))
    base, head = found.context.base, found.context.head
    authors = () if base is None else read_makers(repo, base, head)
    evidence = Evidence(head, True, authors, None, ())
    if note is not None:
        evidence = with_note(repo, evidence, note, base, is_merged=False)
    for each in wanting:
        for why in dict.fromkeys(why for rule in each.approvals for why in lacking(rule, evidence)):
            findings.append(Finding("error", path_of(each.change, registry), 1, "approvals", why))
    return replace(found, findings=tuple(findings))
