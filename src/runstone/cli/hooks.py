"""`runstone hooks`: what the hooks of pre-commit run; see `.pre-commit-hooks.yaml`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import clean, counted, format_size
from runstone.cli.session import Session, pass_session

if TYPE_CHECKING:
    SizeType = click.ParamType[int]
else:
    SizeType = click.ParamType  # no generic before click 8.4

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_FILES = click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))


class Size(SizeType):
    """A number of bytes, as `500KB`, `10MB` or `10MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,12})\s*([kmg]i?)?b?", str(value).lower())
        if match is None:
            self.fail(f"{value!r} is no size such as 500KB, 10MB or 10MiB.", param, ctx)
        return int(match[1]) * _UNITS[match[2] or ""]


@group(
    "hooks",
    examples="""
    runstone hooks secrets config.yaml
    runstone hooks large-files --max-size 10MB data/*
    runstone hooks stage-guard
    """,
)
def hooks() -> None:
    """What pre-commit runs before a commit is made: no secrets, no large files, no stages moved by hand.

    In `.pre-commit-config.yaml` name Runstone's repository and the hooks `runstone-validate`, `runstone-secrets`,
    `runstone-large-files` and `runstone-stage-guard`.
    """


@hooks.command(
    "secrets",
    short_help="Refuse files with text that looks like a secret.",
    examples="""
    runstone hooks secrets config.yaml train.py
    """,
)
@_FILES
@pass_session
@click.pass_context
def secrets(ctx: click.Context, session: Session, files: Sequence[Path]) -> None:
    """Refuse files with text that looks like a secret: keys, tokens, passwords. The text itself is not shown."""
    from runstone.promotion.ci.staged import find_secrets

    found = find_secrets(session.workspace.repo, files)
    for each in found:
        click.echo(f"{clean(each.path)}:{each.line}: looks like a secret")
    if found:
        click.echo(
            "Read it from the environment instead. If it is none, allow it in runstone.yaml: "
            "`secrets: {allow: ['PATTERN']}`"
        )
    ctx.exit(1 if found else 0)


@hooks.command(
    "large-files",
    short_help="Refuse files that are too large for git.",
    examples="""
    runstone hooks large-files --max-size 10MB data/*
    """,
)
@click.option("--max-size", type=Size(), default="10MB", show_default=True, metavar="SIZE", help="The largest allowed.")
@_FILES
@pass_session
@click.pass_context
def large_files(ctx: click.Context, session: Session, files: Sequence[Path], max_size: int) -> None:
    """Refuse files that are too large for git, which keeps every version of them for ever."""
    from shlex import quote

    from runstone.promotion.ci.staged import find_large

    found = find_large(session.workspace.repo, files, max_size)
    for each in found:
        path = quote(each.path)
        step = f"`git rm --cached -- {path} && dvc add {path}`"
        click.echo(f"{clean(each.path)} has {format_size(each.size)}. Keep it with DVC: {clean(step)}")
    if found:
        click.echo(f"{counted(len(found), 'file')} larger than {format_size(max_size)}, the most that git takes here.")
    ctx.exit(1 if found else 0)


@hooks.command(
    "stage-guard",
    short_help="Refuse to commit moves of stages by hand.",
    examples="""
    runstone hooks stage-guard
    """,
)
@pass_session
@click.pass_context
def stage_guard(ctx: click.Context, session: Session) -> None:
    """Refuse a commit on the default branch that moves stages, aliases or the policy by hand.

    Only where runstone.yaml says `promotion: review`; commits on other branches are proposals, and merges are reviews.
    """
    from runstone.promotion.ci.staged import find_unreviewed

    found = find_unreviewed(session.workspace.repo)
    for path in found:
        click.echo(f"{clean(path)} changes by review only: `promotion: review` in runstone.yaml.")
    if found:
        click.echo(
            "Propose it: `runstone promote MODEL VERSION --stage STAGE`; or commit on a branch: `git switch -c BRANCH`"
        )
    ctx.exit(1 if found else 0)
