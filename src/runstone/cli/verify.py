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
    """,
)
@click.argument("what", metavar="[MODEL[@ALIAS|/VERSION]]", type=MODEL, required=False)
@click.option("--deep", is_flag=True, help="Read all bytes on the DVC remote, not only those in the cache.")
@click.option("--no-artifacts", is_flag=True, help="Leave out runs, code, data and artifacts: only who approved what.")
@json_option
@pass_session
def verify(session: Session, what: str | None, deep: bool, no_artifacts: bool, form: Form) -> None:
    """Recompute from git alone that every change of a guarded stage or alias came by an approved merge, under the
    policy of its day, and that git tag, run, code, data and artifacts of each version hold together.

    What is guarded: stages, aliases and policies with approvals in `registry/policy.yaml`; under `promotion: review`
    all of them. Names the first break, then the others.

    Exit codes: 0 it all holds, 1 something is broken, 2 something cannot be told here (the message says why).
    """
    from runstone.promotion.proof.verify import verify as verify_all

    key, versions = (None, None) if what is None else _chosen(session, what)
    with progress("verifying") as tell:
        found = verify_all(session.workspace, key, versions, artifacts=not no_artifacts, deep=deep, progress=tell)
    if form == "json":
        emit_json(_document(found))
    else:
        _print(found)
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


def _print(found: "Verified") -> None:
    for each in found.breaks:
        mark = click.style("broken", fg="red") if each.is_certain else click.style("unclear", fg="yellow")
        click.echo(f"{mark}  {clean(each.what)}, {clean(each.where)}")
        click.echo(f"        {clean(each.why)}")
    for bypass in found.bypasses:
        click.echo(f"note    commit {bypass.commit[:7]} set gates aside: {clean(bypass.reason)}")
    if found.noted:
        rests = f"{counted(found.noted, 'guarded change')} of {found.changes} approved by notes alone"
        click.echo(f"note    {rests}: by refs/notes/runstone, for which who may push it vouches")
    looked = f"{counted(found.changes, 'guarded change')} in {counted(found.commits, 'commit')}"
    versions = f"{counted(found.versions, 'version')} down to the bytes"
    verdict = "it all holds" if not found.breaks else f"{counted(len(found.breaks), 'break')}"
    click.echo(f"{verdict}: {looked}, {versions}")


def _document(found: "Verified") -> dict[str, object]:
    return {
        "commit": found.commit,
        "commits": found.commits,
        "changes": found.changes,
        "approved_by_notes_alone": found.noted,
        "versions": found.versions,
        "result": "pass" if not found.breaks else "fail" if any(b.is_certain for b in found.breaks) else "unknown",
        "breaks": [
            {"what": each.what, "where": each.where, "why": each.why, "is_certain": each.is_certain}
            for each in found.breaks
        ],
        "bypasses": [{"commit": each.commit, "reason": each.reason} for each in found.bypasses],
    }
