"""`runstone promote` and `runstone demote`: versions into stages and out of them, and aliases to versions."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, emit_json, hint, json_option
from runstone.cli.session import ALIAS, MODEL, REMOTE, VERSION, Session, Word, pass_session, progress
from runstone.errors.base import in_quotes

if TYPE_CHECKING:
    from runstone.promotion.proposals.propose import Options, Outcome

STAGE = Word("stage", "stages")


def change_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every change that may be proposed; the command gets `texts` and `make_options`."""

    @click.option("--propose", is_flag=True, help="Have it reviewed, also where it could be done at once.")
    @click.option("--draft", is_flag=True, help="Open the request on the forge as a draft.")
    @click.option("-m", "--message", metavar="WHY", help="Why; it stands in the commit.")
    @click.option("--reviewer", "reviewers", multiple=True, metavar="ACCOUNT", help="Ask this account to look.")
    @click.option("--label", "labels", multiple=True, metavar="LABEL", help="Label the request.")
    @click.option("--no-push", is_flag=True, help="Keep the proposal here; the remote may be away.")
    @click.option("--remote", type=REMOTE, metavar="NAME", help="The git remote.  [default: origin]")
    @functools.wraps(function)
    def with_options(
        *arguments: Any,
        propose: bool,
        draft: bool,
        reviewers: Sequence[str],
        labels: Sequence[str],
        no_push: bool,
        remote: str | None,
        **options: Any,
    ) -> Any:
        def make(**more: Any) -> "Options":
            from runstone.promotion.proposals.propose import Options

            return Options(
                propose=propose or draft,
                push=not no_push,
                draft=draft,
                reviewers=tuple(reviewers),
                labels=tuple(labels),
                remote=remote,
                **more,
            )

        return function(*arguments, make_options=make, **options)

    return with_options


def changing(function: Callable[..., "Outcome"]) -> Callable[..., Any]:
    """Add the options of `change_options`, and tell what became of it: the command gets `options`, and returns that."""

    @change_options
    @json_option
    @pass_session
    @functools.wraps(function)
    def with_outcome(session: Session, /, *, make_options: "Callable[..., Options]", form: Form, **given: Any) -> None:
        with asking() as tell:
            outcome = function(session, options=make_options(progress=tell), **given)
        say_outcome(session, outcome, form)

    return with_outcome


BYPASS = click.option("--bypass", metavar="REASON", help="Set gates aside; the policy says who may.")


@command(
    "promote",
    short_help="Put a model version into a stage, or point an alias at it.",
    examples="""
    runstone promote churn 4 --stage Production
    runstone promote churn @champion --stage Production --message "Better on all segments"
    runstone promote churn latest --alias champion --propose
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("version", type=VERSION, required=False)
@click.option("-s", "--stage", type=STAGE, help="The stage to enter.")
@click.option("-a", "--alias", type=ALIAS, help="The alias to point at the version.")
@click.option("--archive-existing", is_flag=True, help="Let all who are in the stage make room.")
@BYPASS
@changing
def promote(
    session: Session,
    name: str,
    version: str | None,
    stage: str | None,
    alias: str | None,
    archive_existing: bool,
    message: str | None,
    bypass: str | None,
    options: "Options",
) -> "Outcome":
    """Put VERSION of MODEL into a stage, or point an alias at it.

    VERSION is a number, @ALIAS or `latest`; also MODEL/VERSION in one word. Where the project reviews promotions
    (`promotion: review`), this opens a proposal: a branch with one commit, pushed, and a pull request. Else it is one
    commit on the default branch, once the gates of the policy let it pass.
    """
    if archive_existing and alias is not None:
        raise click.UsageError("--archive-existing goes with --stage.")
    name, version = _need_version(session, name, version)
    return session.client.promote(
        name,
        version,
        stage,
        alias=alias,
        archive_existing=archive_existing,
        message=message,
        bypass=bypass,
        options=options,
    )


@command(
    "demote",
    short_help="Take a model version out of its stage.",
    examples="""
    runstone demote churn 4
    runstone demote churn 4 --stage Archived
    runstone demote churn @champion --stage None --propose
    """,
)
@click.argument("name", metavar="MODEL", type=MODEL)
@click.argument("version", type=VERSION, required=False)
@click.option("-s", "--stage", type=STAGE, help="The stage to go to; None for none.  [default: as the policy says]")
@BYPASS
@changing
def demote(
    session: Session,
    name: str,
    version: str | None,
    stage: str | None,
    message: str | None,
    bypass: str | None,
    options: "Options",
) -> "Outcome":
    """Take VERSION of MODEL out of its stage: to where the policy sends those who are displaced, or to another one."""
    name, version = _need_version(session, name, version)
    return session.client.demote(name, version, to=stage, message=message, bypass=bypass, options=options)


def _need_version(session: Session, name: str, version: str | None) -> tuple[str, str]:
    """Model and version, which may be one word: `churn/4`."""
    from runstone.cli.pairs import part_version

    if version is not None:
        return name, version
    model, number = part_version(session, name)
    if number is None:
        raise click.UsageError("Name the version: `MODEL VERSION`, or `MODEL/VERSION`.")
    return model, str(number)


_DONE = {"rename": "renamed {model} to {new_name}", "remove": "deleted {model}"}


def say_outcome(session: Session, outcome: "Outcome", form: Form) -> None:
    """Tell what became of a wish, and the next step."""
    plan = outcome.plan
    if form == "json":
        emit_json(outcome_document(outcome))
        return
    if plan.nothing:
        click.echo(clean(plan.nothing))
        return
    names = {"model": plan.wish.model, "new_name": plan.wish.new_name}
    replaced = [f"v{version}" for version in plan.displaced if version not in plan.wish.versions]
    made = f", in place of {' and '.join(replaced)}" if replaced else ""
    if not outcome.is_proposal:
        click.echo(clean(_DONE.get(plan.wish.kind, "{subject}{made}").format(subject=plan.subject, made=made, **names)))
        from runstone.registry.branch import default_branch

        session.say_share(default_branch(session.workspace.repo))
        return
    verb = "proposed" if outcome.is_new or outcome.is_sent else "proposed already"
    run = run_name(session, plan.wish.registration.run) if plan.wish.registration is not None else None
    click.echo(clean(f"{verb}: {plan.subject}{made}{f' ({run})' if run else ''}"))
    click.echo(clean(outcome.asked.url or plan.branch))
    for trouble in outcome.asked.troubles:
        hint(trouble)
    if outcome.asked.new_url:
        hint(f"Open the request: {outcome.asked.new_url}")
    if outcome.asked.text:
        click.echo("\n" + clean(outcome.asked.text, keep="\n"), nl=False)
    if outcome.remote is None:
        from runstone.git.transport import find_remote

        if find_remote(session.workspace.repo) is not None:
            hint(f"It is here alone. Push it: `runstone proposals refresh {in_quotes(plan.branch)}`")
    for reason in outcome.hindrances:
        hint(f"In its way: {reason}")
    hint(f"See the report: `runstone proposals show {in_quotes(plan.branch)}`")
    if plan.wish.kind == "remove":
        hint(f"Once it is merged, retire the versions: `runstone models delete {in_quotes(plan.wish.model)}`")


def run_name(session: Session, run_id: str) -> str | None:
    """What people call a run; None where it is not here."""
    from runstone.errors import RunstoneError

    try:
        return session.client.get_run(run_id).name
    except RunstoneError:
        return None


def outcome_document(outcome: "Outcome") -> dict[str, Any]:
    """An outcome as `--json` tells it."""
    plan, wish = outcome.plan, outcome.plan.wish
    done = "nothing" if plan.nothing else "proposed" if outcome.is_proposal else "committed"
    return {
        "done": done,
        "why": plan.nothing or None,
        "kind": wish.kind,
        "model": wish.model,
        "versions": list(wish.versions),
        "stage": wish.stage,
        "alias": wish.alias,
        "to": wish.to,
        "new_name": wish.new_name,
        "run": wish.registration.run if wish.registration is not None else None,
        "replaces": [version for version in plan.displaced if version not in wish.versions],
        "subject": plan.subject,
        "changes": sorted(plan.changes),
        "commit": outcome.commit,
        "branch": plan.branch if outcome.is_proposal else None,
        "new": outcome.is_new,
        "base": outcome.base,
        "remote": outcome.remote,
        "url": outcome.asked.url,
        "request": outcome.asked.text or None,
        "new_url": outcome.asked.new_url,
        "hindrances": list(outcome.hindrances),
        "troubles": list(outcome.asked.troubles),
    }


def asking() -> Any:
    """A context with what to tell of git's steps; None where nobody watches."""
    from contextlib import contextmanager

    @contextmanager
    def bars() -> Any:
        with progress("git") as tell:
            yield None if tell is None else lambda _label, done, total: tell(done, total)

    return bars()
