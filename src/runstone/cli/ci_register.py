"""`runstone ci register`: makes versions of what was merged, or straight from a pipeline, and notes who approved."""

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, counted, emit_json, hint, json_option
from runstone.cli.session import EXPERIMENT_NAME, METRIC, MODEL, REMOTE, Session, Word, pass_session
from runstone.errors import RunstoneError

if TYPE_CHECKING:
    from runstone.promotion.ci.notes import Noted
    from runstone.promotion.ci.registering import Outcome
    from runstone.promotion.ci.upstream import Upstream
    from runstone.records.policy import Direction


@command(
    "register",
    short_help="Make versions of what was merged.",
    examples="""
    runstone ci register                          after a merge: make what the requests in registry/ ask for
    runstone ci register --run brave-otter-17 --model churn
    runstone ci register --best auc --direction higher --experiment nightly --model churn
    """,
)
@click.option("--commit", metavar="REV", help="The commit of the default branch that counts; else its newest.")
@click.option("--run", type=Word("run", "runs"), metavar="RUN", help="Register what this run logged instead.")
@click.option("--best", type=METRIC, metavar="METRIC", help="Register what the best run by a metric logged instead.")
@click.option(
    "--direction", type=click.Choice(["higher", "lower"]), help="Which is better; else what registry/policy.yaml says."
)
@click.option("--experiment", type=EXPERIMENT_NAME, metavar="EXPERIMENT", help="With --best: only its runs.")
@click.option("-f", "--filter", "filter_string", default="", metavar="FILTER", help="With --best: only such runs.")
@click.option("--model", type=MODEL, metavar="MODEL", help="With --run or --best: the model.")
@click.option("--path", metavar="PATH", help="With --run or --best: the model folder, where there are several.")
@click.option("--since", metavar="REV|DATE", help="Look for approvals of the merges after this; else after the last.")
@click.option("--approvals/--no-approvals", default=True, help="Whether to note approvals.  [default: approvals]")
@click.option("-r", "--remote", type=REMOTE, metavar="NAME", help="Which git remote; else `origin`, or the only one.")
@json_option
@pass_session
@click.pass_context
def register(
    ctx: click.Context,
    session: Session,
    *,
    commit: str | None,
    run: str | None,
    best: str | None,
    direction: "Direction | None",
    experiment: str | None,
    filter_string: str,
    model: str | None,
    path: str | None,
    since: str | None,
    approvals: bool,
    remote: str | None,
    form: Form,
) -> None:
    """Make a version, `models:/MODEL/N`, of every registration request on the default branch that none meets yet.

    The version is a git tag, made on the remote first. It is safe to run this again, and twice at once: one request
    gives one version. A request that cannot be met is named, does not stop the others, and makes the exit code 1. What
    is fetched is just what is needed, so a shallow, detached checkout will do.

    Where the remote is on a forge and there is a token, who approved the merged requests is then noted in
    refs/notes/runstone, for `runstone verify`.

    With --run or --best it is the model of a run that becomes a version, once the run is shared.
    """
    _check_call(run, best, model, commit, direction, experiment, filter_string, path)
    if run is None and best is None:
        from runstone.promotion.ci.registering import register_merged
        from runstone.promotion.ci.upstream import Upstream

        upstream = Upstream(session.workspace.repo, remote)
        outcomes: Sequence[Outcome] = register_merged(session.workspace, upstream, commit=commit)
    else:
        from runstone.promotion.ci.pipeline import best_run, register_run, share

        assert model is not None
        upstream = share(session.workspace, remote=remote)
        run_id = (
            best_run(
                session.workspace,
                upstream,
                best,
                model,
                direction=direction,
                experiment=experiment,
                filter_string=filter_string,
                path=path,
            )
            if best is not None
            else session.run_id(run or "")
        )
        outcomes = [register_run(session.workspace, upstream, run_id, model, path)]
    is_asked = run is not None or best is not None
    _tell(outcomes, form, say_present=is_asked)
    _write_output([each.uri for each in outcomes if each.uri and (is_asked or each.state == "made")])
    noted: list[Noted] = []
    is_well = not any(each.state == "refused" for each in outcomes)
    if approvals and not is_asked:
        try:
            noted = _note_approvals(session, upstream, since)
        except RunstoneError as error:  # what was registered is told all the same
            is_well = False
            click.echo(f"approvals could not be noted: {clean(str(error), keep=chr(10))}", err=True)
        for each in noted if form == "table" else ():
            hint(f"noted who approved {each.commit[:7]} ({each.note.request})")
    if form == "json":
        emit_json(_document(outcomes, noted))
    ctx.exit(0 if is_well else 1)


def _check_call(run: str | None, best: str | None, model: str | None, commit: str | None, *others: object) -> None:
    if run is not None and best is not None:
        raise click.UsageError("--run and --best cannot be used together.")
    if run is None and best is None:
        given = [model, *others]
        if any(given):
            raise click.UsageError("--model, --path, --direction, --experiment and --filter are for --run and --best.")
        return
    if model is None:
        raise click.UsageError("Name the model: --model MODEL.")
    if commit is not None:
        raise click.UsageError("--commit is for what was merged, not for --run and --best.")
    if run is not None and any(others[:3]):
        raise click.UsageError("--direction, --experiment and --filter are for --best.")


def _tell(outcomes: "Sequence[Outcome]", form: Form, *, say_present: bool) -> None:
    for each in outcomes:
        if each.state == "refused":
            click.echo(f"{click.style('refused', fg='red')}: {clean(each.why, keep=chr(10))}", err=True)
        elif form == "table" and (each.state == "made" or say_present):
            click.echo(clean(str(each.uri)))
    present = [each for each in outcomes if each.state == "present"]
    if form == "json":
        return
    if present and say_present:
        hint("it was there already")
    elif present:
        hint(f"{counted(len(present), 'request')} met before")
    elif not outcomes:
        hint("there are no registration requests")


def _document(outcomes: "Sequence[Outcome]", noted: "Sequence[Noted]") -> object:
    return {
        "versions": [
            {
                "uri": each.uri,
                "model": each.model,
                "version": each.version,
                "run": each.run,
                "path": each.path,
                "file": each.file,
                "done": "registered" if each.state == "made" else "present",
            }
            for each in outcomes
            if each.state != "refused"
        ],
        "refused": [
            {"file": each.file, "model": each.model, "run": each.run, "why": each.why}
            for each in outcomes
            if each.state == "refused"
        ],
        "approvals": [
            {"commit": each.commit, "request": each.note.request, "approvals": [a.by for a in each.note.approvals]}
            for each in noted
        ],
    }


def _write_output(uris: Sequence[str | None]) -> None:
    """Tell later steps of a GitHub job: `fromJSON(steps.ID.outputs.versions)`."""
    file = os.environ.get("GITHUB_OUTPUT") if os.environ.get("GITHUB_ACTIONS") == "true" else None
    if file:
        from runstone.promotion.ci.environment import append_plain

        append_plain(file, f"versions={json.dumps(uris)}\n")


def _note_approvals(session: Session, upstream: "Upstream", since: str | None) -> "list[Noted]":
    """Note who approved what was merged, where a forge can be asked; raises `RunstoneError` where it fails."""
    from runstone.promotion.ci.notes import record_approvals
    from runstone.promotion.forge import find_forge

    forge = find_forge(session.workspace.repo, upstream.remote) if upstream.remote is not None else None
    if forge is None:
        return []
    if not forge.can_write:
        hint(f"Approvals are not noted: there is no token for {forge.name} in the environment.")
        return []
    return record_approvals(upstream, forge.approvals, since=since)
