"""The request for review of a proposal: on the forge if there is one, else the text that `git request-pull` writes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runstone.errors import RunstoneError
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.git.stream import hide_credentials, stream_git
from runstone.promotion.proposals.look import View
from runstone.promotion.proposals.plan import Plan
from runstone.promotion.proposals.proposal import Proposal
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.promotion.forge import Forge, RequestInfo
    from runstone.promotion.proposals.propose import Options


@dataclass(frozen=True, slots=True)
class Asked:
    """How people were asked to look.

    Attributes:
        url: The request on the forge.
        text: Where there is none, what to send to whom it concerns.
        new_url: The page of the forge on which a person opens the request, where Runstone could not.
        troubles: What the forge did not do, one sentence each.
    """

    url: str | None = None
    text: str = ""
    new_url: str | None = None
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """The open request of a proposal, and the forge that has it."""

    forge: "Forge"
    info: "RequestInfo"


def ask_for_review(workspace: Workspace, view: View, plan: Plan, commit: str, base: str, options: "Options") -> Asked:
    """Open the request of a proposal that was pushed, or bring the one there up to date.

    A forge that is away or refuses does not undo the proposal: it is a branch first, and the same call asks again.

    Args:
        workspace: The repository.
        view: What is known of the shared repository.
        plan: What is proposed.
        commit: The proposal's commit.
        base: Where it and the default branch part.
        options: Draft, labels, reviewers.

    Writes:
        The request on the forge.
    """
    from runstone.promotion.forge import Request, find_forge

    repo = workspace.repo
    assert view.remote is not None
    text = request_text(repo, view, plan.branch, commit)
    new_url = None
    try:
        forge = find_forge(repo, view.remote)
        if forge is None:
            return Asked(text=text)
        new_url = forge.new_request_url(view.branch, plan.branch)
        if not forge.can_write:
            return Asked(text=text, new_url=new_url)
        why = f"{plan.wish.why.strip()}\n\n" if plan.wish.why else ""
        wanted = Request(
            title=plan.subject,
            body=why + report_of(workspace, view, commit, base),
            head=plan.branch,
            base=view.branch,
            labels=options.labels,
            reviewers=options.reviewers,
            draft=options.draft,
        )
        info = forge.open_request(wanted)
    except RunstoneError as error:
        return Asked(text=text, new_url=new_url, troubles=(str(error),))
    return Asked(url=info.url, troubles=info.troubles)


def find_request(repo: Repository, view: View, proposal: Proposal) -> OpenRequest | None:
    """The open request of a proposal, on a forge that a token lets write to; None if there is none.

    Raises:
        ForgeFailed: The forge was asked and did not answer.
    """
    if view.remote is None or not view.is_fresh or proposal.is_foreign:
        return None
    from runstone.promotion.forge import find_forge

    forge = find_forge(repo, view.remote)
    if forge is None or not forge.can_write:
        return None
    info = forge.find_request(proposal.branch)
    return None if info is None else OpenRequest(forge, info)


def report_of(workspace: Workspace, view: View, commit: str, base: str | None) -> str:
    """The report on a proposal, as if it were merged into the default branch as that is now: Markdown."""
    from runstone.promotion.ci.merged import merge_registry
    from runstone.promotion.report.report import report

    merged = merge_registry(workspace.repo, view.tip, commit, base)
    return report(workspace, view.tip, merged.commit)


def request_text(repo: Repository, view: View, branch: str, commit: str) -> str:
    """What to send to somebody who shall merge a branch that was pushed: git's own text."""
    if view.tip is None or view.remote is None:
        return ""
    done = stream_git(repo, ["request-pull", view.tip, view.remote, f"{commit}:refs/heads/{branch}"])
    if done.code == 0 and done.out.strip():
        return hide_credentials(done.out).strip("\n") + "\n"
    url = transport.remote_url(repo, view.remote)
    subject = repo.objects.commit(commit).message.partition("\n")[0]
    return (
        f"The following change since {view.tip[:12]} is available in the Git repository at:\n\n  {url} {branch}\n\n"
        f"up to {commit}:\n\n  {subject}\n"
    )
