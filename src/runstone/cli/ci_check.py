"""`runstone ci check`: every file of the registry, and whether a proposal may be merged."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import clean, counted, hint
from runstone.cli.session import Session, pass_session

if TYPE_CHECKING:
    from runstone.promotion.ci.check import Check
    from runstone.promotion.ci.context import Context
    from runstone.promotion.ci.findings import Finding
    from runstone.promotion.rules.judgement import Judged

FORMATS = ["text", "json", "github", "gitlab"]
EXIT_CODES = {"pass": 0, "fail": 1, "unknown": 2}

_LEVELS = {"error": "error", "unknown": "cannot tell", "warning": "warning", "note": "note"}
_COLORS = {"error": "red", "unknown": "magenta", "warning": "yellow", "note": "cyan"}
_RESULTS = {"pass": "green", "fail": "red", "unknown": "magenta", "bypassed": "yellow"}

base_option = click.option("--base", metavar="REV", help="Judge by this branch or commit, and compare with it.")
head_option = click.option("--head", metavar="REV", help="Judge this commit; HEAD, if no CI system names one.")


def find_context(session: Session, base: str | None, head: str | None) -> "Context":
    """Which commits a command is about."""
    from runstone.promotion.ci import context as ci_context

    return ci_context.find_context(session.light_repo, base=base, head=head)


@command(
    "check",
    short_help="Check every file, and judge what HEAD would change.",
    examples="""
    runstone ci check                          in a pipeline, or of HEAD against the default branch
    runstone ci check --base main --head promote/churn-v4-production
    runstone ci check --no-gates               files and transitions alone, as before a commit
    runstone ci check --json | jq .findings
    runstone ci check --format gitlab --output gl-code-quality-report.json
    """,
)
@base_option
@head_option
@click.option("--gates/--no-gates", default=True, help="Whether gates are asked, too.  [default: gates]")
@click.option("--approvals", "with_approvals", is_flag=True, help="Fail, too, while approvals are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; the same as --format json.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="How to say it; github in GitHub Actions, else text."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the findings to this file instead."
)
@pass_session
@click.pass_context
def check(
    ctx: click.Context,
    session: Session,
    base: str | None,
    head: str | None,
    gates: bool,
    with_approvals: bool,
    as_json: bool,
    form: str | None,
    output: Path | None,
) -> None:
    """Check every file of the registry, and judge what HEAD would change in it.

    The policy of the base judges, never that of the proposal. Each finding names file and line, and what to do. Ends
    with 0 if it may be merged, 1 if not, 2 if that cannot be told here.
    """
    from runstone.promotion.ci.check import check as check_

    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} cannot be used together.")
    default = "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"
    chosen = "json" if as_json else form or default
    found = check_(session.workspace, find_context(session, base, head), gates=gates)
    if with_approvals:
        found = _with_approvals(session, found)
    if output is None:
        _print(found, chosen)
    else:
        output.write_text(_document(found, chosen), encoding="utf-8")
        _print(found, "text")
        hint(f"wrote {output}")
    _add_summary(session, found)
    ctx.exit(EXIT_CODES[found.result])


def _with_approvals(session: Session, found: "Check") -> "Check":
    from runstone.promotion.ci.approved import with_approvals

    return with_approvals(session.workspace.repo, found)


def _print(found: "Check", form: str) -> None:
    if form in ("json", "gitlab"):
        click.echo(_document(found, form), nl=False)
        return
    if form == "github":
        from runstone.promotion.ci.annotations import format_github

        for finding in found.findings:
            click.echo(format_github(finding))
    else:
        for finding in found.findings:
            click.echo(_line(finding))
    for line in _changes(found):
        click.echo(line)
    click.echo(_sum(found))


def _document(found: "Check", form: str) -> str:
    import json

    from runstone.tracking.shown import strict

    if form == "gitlab":
        from runstone.promotion.ci.annotations import format_gitlab

        return json.dumps(format_gitlab(found.findings), indent=2, ensure_ascii=False) + "\n"
    if form == "json":
        return json.dumps(strict(as_json(found)), indent=2, ensure_ascii=False, default=str) + "\n"
    if form == "github":
        from runstone.promotion.ci.annotations import format_github

        return "".join(f"{format_github(finding)}\n" for finding in found.findings)
    return "".join(f"{click.unstyle(_line(finding))}\n" for finding in found.findings)


def as_json(found: "Check") -> dict[str, Any]:
    """A check as a program reads it."""
    from runstone.promotion.report.described import describe

    return {
        "result": found.result,
        "base": found.context.base,
        "head": found.context.head,
        "files": found.files,
        "findings": [
            {"level": each.level, "path": each.path, "line": each.line, "kind": each.kind, "message": each.message}
            for each in found.findings
        ],
        "changes": [
            {
                "change": describe(judged.change),
                "model": judged.change.model,
                "problems": list(judged.problems),
                "gates": [
                    {"gate": v.gate, "subject": v.subject, "result": v.result, "message": v.message}
                    for v in judged.verdicts
                ],
                "approvals": max((rule.count for rule in judged.approvals), default=0),
            }
            for judged in (found.judgement.judged if found.judgement else ())
        ],
    }


def _line(finding: "Finding") -> str:
    level = click.style(_LEVELS[finding.level], fg=_COLORS[finding.level], bold=True)
    first, *rest = clean(finding.message, keep="\n").split("\n")
    # A line of another program's words must not begin with what a CI system takes for a command.
    return "\n".join([f"{clean(finding.path)}:{finding.line}: {level}: {first}", *(f"  | {line}" for line in rest)])


def _changes(found: "Check") -> Iterator[str]:
    for judged in found.judgement.judged if found.judgement else ():
        yield from _change(judged)


def _change(judged: "Judged") -> Iterator[str]:
    from runstone.promotion.ci.annotations import without_commands
    from runstone.promotion.report.described import describe

    yield click.style(without_commands(clean(describe(judged.change))), bold=True)
    for verdict in judged.verdicts:
        result = click.style(verdict.result.ljust(8), fg=_RESULTS[verdict.result])
        about = clean(f"{verdict.gate} {verdict.subject}".rstrip())
        yield f"  {result} {about}: {clean(verdict.message)}"
    for rule in judged.approvals:
        by = f", of {', '.join(rule.by)}" if rule.by else ""
        yield f"  {'needs'.ljust(8)} {counted(rule.count, 'approval')}{clean(by)}"


def _sum(found: "Check") -> str:
    errors, unknown, warnings = (found.count(level) for level in ("error", "unknown", "warning"))
    said = [counted(errors, "error")] if errors else []
    said += [f"{unknown} undecided"] if unknown else []
    said += [counted(warnings, "warning")] if warnings else []
    result = click.style({"pass": "pass", "fail": "fail", "unknown": "cannot decide"}[found.result], bold=True)
    return f"{counted(found.files, 'file')} checked: {', '.join(said) or 'nothing wrong'}; {result}"


def _add_summary(session: Session, found: "Check") -> None:
    """Append the report to the job's page, where GitHub Actions names a file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    from runstone.promotion.ci.check import write_report
    from runstone.promotion.ci.environment import append_plain

    append_plain(path, f"{write_report(session.workspace, found, limit=300_000)}\n")  # GitHub takes 1 MiB
