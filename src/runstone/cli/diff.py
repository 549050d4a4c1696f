"""`runstone diff`: two runs side by side, section by section, and their code."""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, emit_json, hint, json_option
from runstone.cli.session import RUN_OR_VERSION, SECTIONS, Session, pass_session
from runstone.errors import RunNotFound

if TYPE_CHECKING:
    from runstone.git.repository import Repository
    from runstone.tracking.code import CodeComparison
    from runstone.tracking.compare import Comparison

# As `tracking.compare.SECTIONS`, which a test compares: the help must not import what compares.
_NAMES = "run, params, metrics, tags, datasets, artifacts, environment, packages, source, commits, code"
_ONLY = f"Only these, parted by commas: {_NAMES}."


def find_run(session: Session, repo: "Repository", text: str) -> str:
    """The id of a run, by id, beginning of one or name; or behind `churn@v4`, `churn@champion`, `churn/Production`.

    Raises:
        RunNotFound, RunAmbiguous: No run, or several.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: No such version.
    """
    from runstone.index.search import resolve_run

    try:
        return resolve_run(repo, text)
    except RunNotFound:
        if not {"@", "/"} & set(text):
            return session.run_id(text)  # which says why, if its record cannot be read
    from runstone.projects.subject import find_subject

    return find_subject(session.workspace, text).run.id


@command(
    "diff",
    examples="""
    runstone diff brave-otter-17 calm-fox-3      what differs between two runs
    runstone diff churn@v3 churn@champion        between the runs of two versions of a model
    runstone diff 0192f3 0192f4 --code           the patch of the code, through git's pager
    runstone diff 0192f3 0192f4 --code | git apply
    runstone diff 0192f3 0192f4 --stat -- src    which files below src changed, and how much
    runstone diff 0192f3 0192f4 --only metrics   only the metrics
    runstone diff 0192f3 0192f4 --md             for a comment on a pull request
    runstone diff 0192f3 0192f4 --html -o diff.html
    runstone diff 0192f3 0192f4 --all --json     what is equal, too, for a program
    """,
)
@click.argument("run_a", metavar="A", type=RUN_OR_VERSION)
@click.argument("run_b", metavar="B", type=RUN_OR_VERSION)
@click.argument("paths", metavar="[-- PATH...]", nargs=-1)
@click.option("--code", "wants_code", is_flag=True, help="Only the patch of the code; git apply takes it.")
@click.option("--stat", "wants_stat", is_flag=True, help="Only which files of the code changed, and how much.")
@click.option("--only", multiple=True, type=SECTIONS, metavar="SECTIONS", help=_ONLY)
@click.option("--all", "with_equal", is_flag=True, help="Show what is equal, too.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown, as for a comment on a pull request.")
@click.option("--html", "as_html", is_flag=True, help="Print one HTML page that needs nothing else.")
@json_option
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
@click.option("--exit-code", "tells", is_flag=True, help="End with 1 if anything of what is compared differs.")
@pass_session
@click.pass_context
def diff(
    ctx: click.Context,
    session: Session,
    run_a: str,
    run_b: str,
    paths: tuple[str, ...],
    wants_code: bool,
    wants_stat: bool,
    only: tuple[str, ...],
    with_equal: bool,
    as_md: bool,
    as_html: bool,
    form: Form,
    output: Path | None,
    tells: bool,
) -> None:
    """Compare two runs: from A to B.

    A and B are ids, unambiguous beginnings of them, names, or model versions. `+` marks what only B has, `-` what only
    A has, `~` what changed. The code is that of the runs' snapshots: what was executed, committed or not. Commits are
    listed as `git log A..B` does, in either direction. PATHs restrict the code, as in `git diff`.
    """
    from runstone.tracking.code import fetch_command
    from runstone.tracking.compare import SECTIONS, compare_runs
    from runstone.tracking.workspace import Workspace

    forms = {"--code": wants_code, "--stat": wants_stat, "--md": as_md, "--html": as_html, "--json": form == "json"}
    asked = [name for name, is_asked in forms.items() if is_asked]
    if len(asked) > 1:
        raise click.UsageError(f"{asked[0]} and {asked[1]} cannot be used together.")
    if only and (wants_code or wants_stat):
        raise click.UsageError(f"{asked[0]} is of the code alone; leave out --only.")
    if output is not None and asked in ([], ["--stat"]):
        raise click.UsageError("-o needs a form that is for files: --md, --html, --json or --code.")
    chosen = [name.strip().lower() for text in only for name in text.split(",") if name.strip()] or list(SECTIONS)
    if wants_code or wants_stat:
        chosen = ["code"]
    repo = session.light_repo
    cwd = _place(repo)
    a, b = (find_run(session, repo, text) for text in (run_a, run_b))
    # Half of the start of `session.workspace`, which can log runs, too.
    found = compare_runs(Workspace(repo), a, b, sections=chosen, paths=paths, cwd=cwd)
    fetch = fetch_command(repo)
    if wants_code:
        _emit_patch(repo, need_code(found, fetch), cwd, output)
    elif wants_stat:
        _print_stat(need_code(found, fetch))
    elif asked:
        _write(output, _document(repo, found, asked[0], fetch, cwd, with_equal))
    else:
        _print(found, fetch, chosen, with_equal)
    if tells and found.differs:
        ctx.exit(1)


def need_code(found: "Comparison", fetch: str) -> "CodeComparison":
    """The comparison of the code; raises `CodeNotHere` where there is none."""
    from runstone.errors import CodeNotHere

    code = found.code
    assert code is not None
    if code.files is None:
        step = f"Fetch it: `{fetch}`" if code.missing else "What else differs: leave out --code and --stat."
        raise CodeNotHere(code.missing, step)
    return code


def _place(repo: "Repository") -> Path | None:
    """What paths are relative to: the current folder where it is in the work tree, as in git."""
    try:
        cwd = Path.cwd()
    except FileNotFoundError:
        return None  # removed under our feet
    return cwd if repo.work_tree is not None and cwd.is_relative_to(repo.work_tree) else None


def _print(found: "Comparison", fetch: str, chosen: list[str], with_equal: bool) -> None:
    from runstone.cli.diff_text import print_comparison
    from runstone.tracking.compare import SECTIONS

    if not print_comparison(found, fetch, with_equal=with_equal):
        hint(f"no difference in {', '.join(name for name in SECTIONS if name in chosen)}")


def _print_stat(code: "CodeComparison") -> None:
    from runstone.cli.diff_text import stat_lines

    for line in stat_lines(code):
        click.echo(line)
    if code.is_same:
        from runstone.tracking.rows import same_note

        hint(same_note(code))


def _emit_patch(repo: "Repository", code: "CodeComparison", cwd: Path | None, output: Path | None) -> None:
    """The patch: as it is to a file or a pipe, readable on a terminal."""
    from runstone.git.code.patch import stream_patch

    assert code.a is not None
    assert code.b is not None
    on_terminal = output is None and sys.stdout.isatty()
    if code.is_same:
        from runstone.tracking.rows import same_note

        hint(same_note(code))
        pieces: Iterator[bytes] = iter(())
    else:
        pieces = stream_patch(repo, code.a, code.b, paths=code.paths, cwd=cwd, binary=not on_terminal)
    if on_terminal:
        from runstone.cli.pager import page
        from runstone.cli.patch_text import color_lines, read_lines

        page(repo, color_lines(read_lines(pieces)))
    elif output is not None:
        with output.open("wb") as file:
            file.writelines(pieces)
        hint(f"wrote {output}")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.writelines(pieces)


def _document(
    repo: "Repository", found: "Comparison", form: str, fetch: str, cwd: Path | None, with_equal: bool
) -> str | dict[str, Any]:
    if form == "--json":
        from runstone.cli.diff_json import as_json

        return as_json(found, with_equal)
    with closing(_patch_lines(repo, found, cwd)) as patch:
        if form == "--md":
            from runstone.cli.diff_md import format_md

            return format_md(found, fetch, patch, with_equal=with_equal)
        from runstone.cli.diff_html import format_html

        return format_html(found, fetch, patch, with_equal=with_equal)


def _patch_lines(repo: "Repository", found: "Comparison", cwd: Path | None) -> Generator[str, None, None]:
    from runstone.cli.patch_text import read_lines
    from runstone.git.code.patch import stream_patch

    code = found.code
    if code is not None and code.files and code.a is not None and code.b is not None:
        yield from read_lines(stream_patch(repo, code.a, code.b, paths=code.paths, cwd=cwd))


def _write(output: Path | None, document: str | dict[str, Any]) -> None:
    if output is None:
        if isinstance(document, str):
            click.echo(document)
        else:
            emit_json(document)
        return
    if not isinstance(document, str):
        import json

        from runstone.tracking.shown import strict

        document = json.dumps(strict(document), indent=2, ensure_ascii=False, default=str)
    output.write_text(f"{document.rstrip()}\n", encoding="utf-8", errors="replace")
    hint(f"wrote {output}")
