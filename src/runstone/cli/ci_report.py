"""`runstone ci report`: what a proposal changes, as Markdown, or as a comment on the request."""

import click

from runstone.cli.ci_check import EXIT_CODES, base_option, find_context, head_option
from runstone.cli.command import command
from runstone.cli.output import hint
from runstone.cli.session import Session, pass_session


@command(
    "report",
    short_help="Print, or comment, what HEAD would change.",
    examples="""
    runstone ci report                          in a pipeline, or of HEAD against the default branch
    runstone ci report --comment                post it, or bring the comment that is there up to date
    runstone ci report --base main --head promote/churn-v4-production > report.md
    """,
)
@base_option
@head_option
@click.option("--comment", is_flag=True, help="Post it on the request, or update the comment that is there.")
@click.option("--request", type=click.IntRange(min=1), metavar="N", help="The request's number; else the pipeline's.")
@pass_session
@click.pass_context
def report(
    ctx: click.Context, session: Session, base: str | None, head: str | None, comment: bool, request: int | None
) -> None:
    """Print what HEAD would change in the registry: metrics, params, code, data, gates, approvals, as Markdown.

    Ends with 0 if it may be merged, 1 if not, 2 if that cannot be told here.
    """
    from runstone.promotion.ci.check import check, write_report
    from runstone.promotion.report.report import NO_LIMIT

    found = check(session.workspace, find_context(session, base, head))
    if comment:
        from runstone.promotion.ci.comment import comment_limit, post_report

        repo = session.workspace.repo
        text = write_report(session.workspace, found, limit=comment_limit(repo))
        hint(f"Commented: {post_report(repo, found.context, text, request=request)}")
    else:
        click.echo(write_report(session.workspace, found, limit=NO_LIMIT), nl=False)
    ctx.exit(EXIT_CODES[found.result])
