"""`runstone ci events`: what a push did to the registry, as typed events, printed or sent."""

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Column, Form, clean, counted, emit, emit_json, hint, json_option
from runstone.cli.session import Session, pass_session
from runstone.errors import UsageError

if TYPE_CHECKING:
    from runstone.git.repository import Repository
    from runstone.promotion.ci.webhook import Target
    from runstone.registry.history.events import Event
    from runstone.registry.history.pushes import RefMove

_COLUMNS = [Column("time", "time"), Column("event"), Column("model"), Column("version", "number"), Column("what")]


@command(
    "events",
    short_help="Print what a push did to the registry, or send it.",
    examples="""
    runstone ci events "$BEFORE..$AFTER" --json        what came onto the default branch, as one list
    runstone ci events --version churn/4 --lines       a version was registered: one JSON object a line
    runstone ci events --version "$GITHUB_REF_NAME"    in a job that a git tag started
    runstone ci events --refs -                        in a post-receive hook, which is told old, new and ref
    runstone ci events "$BEFORE..$AFTER" --post https://example.org/hook --secret-env HOOK_SECRET
    """,
)
@click.argument("span", metavar="[OLD..NEW]", required=False)
@click.option(
    "--refs", type=click.File("r"), metavar="FILE", help="Lines `OLD NEW REF`, as hooks get them; - for stdin."
)
@click.option(
    "--version", "versions", multiple=True, metavar="NAME", help="A version that was made: churn/4, churn@v4."
)
@click.option("--lines", is_flag=True, help="Print JSON, one event a line.")
@click.option("--post", "url", metavar="URL", help="Send each event there as a POST.")
@click.option("--secret-env", metavar="NAME", help="Sign with the secret in this environment variable.")
@click.option("--insecure", is_flag=True, help="Allow http: for another machine than this one.")
@json_option
@pass_session
@click.pass_context
def events(
    ctx: click.Context,
    session: Session,
    span: str | None,
    refs: IO[str] | None,
    versions: Sequence[str],
    lines: bool,
    url: str | None,
    secret_env: str | None,
    insecure: bool,
    form: Form,
) -> None:
    """Print what a push did to the registry: typed events, with the names and payloads of MLflow's webhooks wherever
    MLflow has them.

    OLD..NEW is a range of the default branch; OLD may be zeros, where the branch is new, and NEW is HEAD if left out.
    It tells of stages, aliases, tags, models and requests, commit by commit. That a version was made is told by its git
    tag: name it with --version, as `runstone ci register` printed it, or give the pushed refs with --refs.

    With --post each event is sent, in order, and tried again where the receiver is busy. It is signed as MLflow signs:
    X-MLflow-Signature is HMAC-SHA256 over `<delivery id>.<timestamp>.<body>`. The delivery id of an event is the same
    whenever it is sent, so a repetition can be told. Exit codes: 0 all were delivered, 1 some were not.
    """
    from runstone.registry.history.pushes import events_between, events_of_refs, events_of_version, resolve

    if span is None and refs is None and not versions:
        raise click.UsageError("Say what was pushed: OLD..NEW, --version NAME, or --refs FILE.")
    target = _target(url, secret_env, insecure)
    repo = session.light_repo
    found: list[Event] = []
    if span is not None:
        old, dots, new = span.partition("..")
        if not dots or new.startswith(".") or not old:
            raise click.UsageError(f"{span!r} is no range. Write OLD..NEW, or OLD.. for up to HEAD.")
        found += events_between(repo, resolve(repo, old), resolve(repo, new or "HEAD"))
    if refs is not None:
        found += events_of_refs(repo, _read_moves(repo, refs))
    for name in versions:
        found += events_of_version(repo, name)
    _print(found, form, lines=lines)
    if target is not None and not _post(target, found):
        ctx.exit(1)


def _target(url: str | None, secret_env: str | None, insecure: bool) -> "Target | None":
    from runstone.promotion.ci.webhook import Target, check_target

    if url is None:
        if secret_env is not None or insecure:
            raise click.UsageError("--secret-env and --insecure are for --post.")
        return None
    secret = None
    if secret_env is not None:
        secret = os.environ.get(secret_env)
        if not secret:
            raise UsageError(f"The environment variable {secret_env} holds no secret to sign with.")
    target = Target(url, secret)
    check_target(target, insecure=insecure)
    return target


def _read_moves(repo: "Repository", file: IO[str]) -> "list[RefMove]":
    from runstone.registry.history.pushes import RefMove

    moves = []
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        old, _, rest = line.rstrip("\n").partition(" ")
        new, _, ref = rest.partition(" ")
        if not ref.startswith("refs/") or not repo.objects.is_id(old) or not repo.objects.is_id(new):
            raise UsageError(f"Line {number} of --refs must be `OLD NEW REF`, with full ids: {line.strip()[:200]!r}")
        ids = [None if oid == repo.objects.zero else oid for oid in (old, new)]
        moves.append(RefMove(ref, *ids))
    return moves


def _print(found: "Sequence[Event]", form: Form, *, lines: bool) -> None:
    if lines:
        import json

        for event in found:
            click.echo(json.dumps(event.to_document()))
    elif form == "json":
        emit_json([event.to_document() for event in found])
    else:
        emit(_COLUMNS, [_row(event) for event in found], form, empty="Nothing happened to the registry.")


def _row(event: "Event") -> list[Any]:
    rest = {
        key: value for key, value in event.data.items() if key not in ("name", "version") and value not in (None, {})
    }
    what = ", ".join(f"{key}={value}" for key, value in rest.items())
    version = event.data.get("version")
    return [event.time, event.name, event.data.get("name"), int(version) if version else None, what or None]


def _post(target: "Target", found: "Sequence[Event]") -> bool:
    """Send events; whether all were delivered."""
    from runstone.promotion.ci.webhook import deliver

    lost = 0
    for delivery in deliver(target, found):
        if delivery.problem is not None:
            lost += 1
            click.echo(clean(f"not delivered: {delivery.event.name} {delivery.event.id}: {delivery.problem}"), err=True)
    hint(f"{counted(len(found) - lost, 'event')} of {len(found)} delivered to {target.shown}")
    return lost == 0
