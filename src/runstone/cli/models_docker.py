"""`runstone models generate-dockerfile` and `build-docker`: a model version as an image that serves it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.model_edits import whole_uri
from runstone.cli.output import Form, emit_json, hint, json_option
from runstone.cli.session import Session, pass_session

if TYPE_CHECKING:
    from runstone.deploy.context import Choices, Context


def _choices(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both commands."""
    for option in (
        click.option(
            "--platform",
            metavar="PLATFORM",
            help="linux/amd64, linux/arm64, or as wheels name it, as manylinux_2_28_x86_64; else this machine's.",
        ),
        click.option("--wheelhouse", is_flag=True, help="Download all wheels now, so that the build needs no network."),
        click.option(
            "--base-image",
            metavar="IMAGE",
            help="What to build on, such as python:3.11-slim@sha256:…; else python:X.Y-slim of the model's version.",
        ),
    ):
        function = option(function)
    return function


@command(
    "generate-dockerfile",
    short_help="Write a folder to build an image of a model from.",
    examples="""
    runstone models generate-dockerfile churn@champion -o context
    runstone models generate-dockerfile churn/3 -o context --wheelhouse --platform linux/arm64
    docker build -t churn:3 context
    docker run --rm --read-only --tmpfs /tmp -p 8080:8080 churn:3

    runstone serve context --digest md5:0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b.dir     the same, without an engine
    """,
)
@click.argument("uri")
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder; a context that is there is replaced.",
)
@_choices
@click.option("--force", is_flag=True, help="Replace the folder whatever it holds; never a repository.")
@json_option
@pass_session
def generate_dockerfile(
    session: Session,
    uri: str,
    folder: Path,
    base_image: str | None,
    wheelhouse: bool,
    platform: str | None,
    force: bool,
    form: Form,
) -> None:
    """Write the serving context of a model version: all that an image of it is built from.

    URI is `NAME@ALIAS`, `NAME/VERSION`, `NAME/STAGE`, `NAME` (the latest), or a `models:/…` or `runs:/…` URI. DIR
    appears when all is there: the model, its files verified by the digest in git; its requirements and this Runstone;
    a Dockerfile for a server that needs no repository, no shell and no root, and starts only with this very model.

    With --wheelhouse the packages are downloaded now, for --platform, and the build takes them by their hashes;
    without, the build gets them from the index. The same URI gives the same bytes, while it means the same.
    """
    choices = _prepare(base_image, wheelhouse, platform)
    from runstone.deploy.context import write_context

    context = write_context(session.workspace, _full(uri), folder.absolute(), choices, force=force)
    _say_left_out(context)
    if form == "json":
        emit_json({"path": str(folder), **_document(context)})
        return
    click.echo(str(folder))
    from shlex import quote

    at = quote(str(folder) if not str(folder).startswith("-") else f"./{folder}")
    hint(f"Build it: `docker build -t NAME {at}`")
    hint(f"Serve it here: `runstone serve {at} --digest {context.packed.digest}`")


@command(
    "build-docker",
    short_help="Build an image that serves a model.",
    examples="""
    runstone models build-docker churn@champion -t registry.example.org/team/churn:3
    runstone models build-docker churn/3 -t churn:3 --engine podman --wheelhouse
    docker run --rm --read-only --tmpfs /tmp -p 8080:8080 churn:3
    """,
)
@click.argument("uri")
@click.option("-t", "--tag", "name", metavar="NAME[:TAG]", required=True, help="What to call the image.")
@click.option(
    "--engine", type=click.Choice(["docker", "podman", "buildah"]), help="What builds; else the first that is here."
)
@_choices
@json_option
@pass_session
def build_docker(
    session: Session,
    uri: str,
    name: str,
    engine: str | None,
    base_image: str | None,
    wheelhouse: bool,
    platform: str | None,
    form: Form,
) -> None:
    """Build an image that serves a model version, with docker, podman or buildah.

    URI is `NAME@ALIAS`, `NAME/VERSION`, `NAME/STAGE`, `NAME` (the latest), or a `models:/…` or `runs:/…` URI. What it
    is built from is what `runstone models generate-dockerfile` writes. The engine's words go to standard error.
    """
    choices = _prepare(base_image, wheelhouse, platform)
    from runstone.deploy.build import build_image

    image = build_image(session.workspace, _full(uri), name, choices, engine=engine)
    _say_left_out(image.context)
    if form == "json":
        emit_json({"image": image.name, "id": image.id, "engine": image.engine, **_document(image.context)})
        return
    click.echo(f"{image.name} {image.id or ''}".rstrip())
    hint(f"Run it: `{image.run_command}`")
    hint(f"Pin it where it is deployed, by the digest that its registry gives it: `{image.pin_command}`")


def _prepare(base_image: str | None, wheelhouse: bool, platform: str | None) -> "Choices":
    from runstone.flavors.saving import library

    library("packaging", "read a model's requirements", "'runstone[serve]'")
    from runstone.deploy.context import Choices

    return Choices(base_image=base_image, has_wheels=wheelhouse, platform=platform)


def _full(uri: str) -> str:
    return whole_uri(uri) if "@" in uri or uri.count("/") != 1 or ":/" in uri else f"models:/{uri}"


def _say_left_out(context: "Context") -> None:
    for line in context.left_out:
        hint(f"Left out of the model's requirements, since it means nothing in an image: {line!r}")


def _document(context: "Context") -> dict[str, Any]:
    packed = context.packed
    return {
        "uri": packed.uri,
        "pinned": packed.pinned,
        "model": packed.model,
        "version": packed.version,
        "run": packed.run,
        "commit": packed.commit,
        "digest": packed.digest,
        "python": packed.python,
        "base_image": context.base_image,
        "wheels": context.wheels,
        "left_out": list(context.left_out),
    }
