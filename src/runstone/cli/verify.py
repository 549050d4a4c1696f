"""`runstone verify`: proof from git that what is guarded was approved, and that versions lead back to their bytes."""

from typing import TYPE_CHECKING

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, counted, emit_json, json_option
from runstone.cli.session import MODEL, Session, pass_session, progress

if TYPE_CHECKING:
    from runstone.promotion.proof.verify import Verified


@command(
    "verify",
    short_help="Prove from git that what changed was approved.",
    examples="""
    runstone verify                    every guarded change, and every version in use
    runstone verify churn              one model, all its versions
    runstone verify churn@champion     one version; also churn/4 and churn/Production
    runstone verify --deep             read every byte on the DVC remote too
    runstone verify --since v2.0       what came before is known, and taken as it is; also a date
    """,
)
@click.argument("what", metavar="[MODEL[@ALIAS|/VERSION]]", type=MODEL, required=False)
@click.option("--deep", is_flag=True, help="Read all bytes on the DVC remote, not only those in the cache.")
@click.option("--since", metavar="COMMIT|DATE", help="Judge only what changed after it; what it holds is trusted.")
@click.option("--no-artifacts", is_flag=True, help="Leave out runs, code, data and artifacts: only who approved what.")
@json_option
@pass_session
def verify(session: Session, what: str | None, deep: bool, since: str | None, no_artifacts: bool, form: Form) -> None:
    """Recompute from git alone that every change of a guarded stage or alias came by an approved merge, under the
    policy of its day, and that git tag, run, code, data and artifacts of each version hold together.

    What is guarded: stages, aliases and policies with approvals in `registry/policy.yaml`; under `promotion: review`
    all of them. Names the first break, then the others. A break of the past stays one: once people have looked at it
    and put it right, `--since` the commit that did so leaves it out.

    Bytes are read in the cache; those that are on the DVC remote alone are with `--deep`, else it is only asked whether
    it has them, and how many were not read is told.

    Exit codes: 0 it all holds, 1 something is broken, 2 something cannot be told here (the message says why).
    """
    from runstone.promotion.proof.verify import find_since
    from runstone.promotion.proof.verify import verify as verify_all

    start = None if since is None else find_since(session.workspace.repo, since)
    key, versions = (None, None) if what is None else _chosen(session, what)
    with progress("verifying") as tell:
        found = verify_all(
            session.workspace, key, versions, artifacts=not no_artifacts, deep=deep, since=start, progress=tell
        )
    if form == "json":
        emit_json(_document(found, start))
    else:
        _print(found, start)
    if found.breaks:
        raise click.exceptions.Exit(1 if any(each.is_certain for each in found.breaks) else 2)


def _chosen(session: Session, text: str) -> tuple[str, list[int] | None]:
    """The key of the model, and the one version if one is named.

    Raises:
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound: There is nothing of this name to verify.
    """
    from runstone.errors import InvalidUri, ModelNotFound
    from runstone.registry.model import find_key, get_model
    from runstone.registry.resolve import resolve_version
    from runstone.uris import ModelUri, parse_uri

    repo = session.workspace.repo
    try:
        return find_key(repo, get_model(repo, text).name), None
    except ModelNotFound as error:
        try:  # a model's name may hold a slash, so what is no model may name a version
            uri = parse_uri(f"models:/{text}")
        except InvalidUri:
            raise error from None
    assert isinstance(uri, ModelUri)
    version = resolve_version(repo, uri)
    return version.key, [version.version]


def _print(found: "Verified", since: str | None) -> None:
    for each in found.breaks:
        mark = click.style("broken", fg="red") if each.is_certain else click.style("unclear", fg="yellow")
        click.echo(f"{mark}  {clean(each.what)}, {clean(each.where)}")
        click.echo(f"        {clean(each.why)}")
    for bypass in found.bypasses:
        click.echo(f"note    commit {bypass.commit[:7]} set gates aside: {clean(bypass.reason)}")
    for doubt in found.doubts:
        click.echo(f"note    {clean(doubt.where)} of {clean(doubt.what)}: {clean(doubt.why)}; nobody approved that")
    if found.noted:
        rests = f"{counted(found.noted, 'guarded change')} of {found.changes} approved by notes alone"
        click.echo(f"note    {rests}: by refs/notes/runstone, for which who may push it vouches")
    looked = f"{counted(found.changes, 'guarded change')} in {counted(found.commits, 'commit')}"
    after = f" after {since[:7]}" if since is not None else ""
    versions = f", {_depth(found)}" if found.versions else ""
    certain = sum(each.is_certain for each in found.breaks)
    counts = [
        (certain, counted(certain, "break")),
        (len(found.breaks) - certain, f"{len(found.breaks) - certain} unclear"),
    ]
    verdict = ", ".join(text for number, text in counts if number) or "it all holds"
    click.echo(f"{verdict}: {looked}{after}{versions}")


def _depth(found: "Verified") -> str:
    """How far the versions were followed: what was not read is not said to hold."""
    unread, versions = len(found.unread), counted(found.versions, "version")
    if not unread:
        return f"{versions} down to the bytes"
    return (
        f"{versions} to {'their' if found.versions > 1 else 'its'} digests; the bytes of {unread} were not read: --deep"
    )


def _document(found: "Verified", since: str | None) -> dict[str, object]:
    return {
        "commit": found.commit,
        "since": since,
        "commits": found.commits,
        "changes": found.changes,
        "approved_by_notes_alone": found.noted,
        "versions": found.versions,
        "versions_not_read": list(found.unread),
        "result": "pass" if not found.breaks else "fail" if any(b.is_certain for b in found.breaks) else "unknown",
        "breaks": [
            {"what": each.what, "where": each.where, "why": each.why, "is_certain": each.is_certain}
            for each in found.breaks
        ],
        "doubts": [{"what": each.what, "where": each.where, "why": each.why} for each in found.doubts],
        "bypasses": [{"commit": each.commit, "reason": each.reason} for each in found.bypasses],
    }
