"""The report as a comment on the request of a proposal, brought up to date in place."""

from runstone.errors import CannotDecide, UsageError
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.promotion.ci.context import Context
from runstone.promotion.forge import Forge, find_forge
from runstone.promotion.report.report import LIMIT, MARKER

_LIMIT_ON_GITLAB = 900_000  # of 1,000,000 characters


def need_forge(repo: Repository) -> Forge:
    """The forge of the remote that is shared through; raises `CannotDecide` if it is on none."""
    remote = transport.find_remote(repo)
    forge = None if remote is None else find_forge(repo, remote)
    if forge is None:
        raise CannotDecide(
            "The git remote is on no forge that Runstone knows, so there is no request to look at. Name the forge: "
            "`forge:` in runstone.yaml"
        )
    return forge


def find_request(forge: Forge, context: Context, number: int | None) -> int:
    """The number of the request: the one named, the pipeline's, or the open one of the proposal's branch.

    Raises:
        UsageError: None of them is known.
    """
    known = number or context.said.request
    if known is not None:
        return known
    found = None if context.branch is None else forge.find_request(context.branch)
    if found is None:
        raise UsageError("Which request this is about is not known. Name it: `--request NUMBER`")
    return found.number


def comment_limit(repo: Repository) -> int:
    """How many characters a comment may have where it goes; raises `CannotDecide` without a forge."""
    return _LIMIT_ON_GITLAB if need_forge(repo).kind == "gitlab" else LIMIT


def post_report(repo: Repository, context: Context, report: str, *, request: int | None = None) -> str:
    """Write the report below its request, or bring our comment that is there up to date.

    Returns:
        The comment's address.

    Writes:
        One comment, on the forge.

    Raises:
        CannotDecide: The remote is on no forge.
        UsageError: Which request it is about is not known.
        ForgeFailed, ForgeTokenMissing, MissingLibrary: The forge cannot be asked.
    """
    forge = need_forge(repo)
    return forge.comment(find_request(forge, context, request), report, MARKER)
