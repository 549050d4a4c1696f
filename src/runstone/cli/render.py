"""`runstone render`: what is in a stage, as plain files that run it; for a folder that GitOps watches, or a pipe."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import group
from runstone.cli.output import Form, clean, counted, emit_json, hint, json_option
from runstone.cli.session import MODEL, Session, pass_session

if TYPE_CHECKING:
    from runstone.deploy.deployment import Deployment
    from runstone.git.repository import Repository

_FOLDER = click.Path(path_type=Path, file_okay=False)
_COUNT = click.IntRange(1, 10_000)
_TEMPLATE = "{model} and {version} stand for what they are"
_GONE = {"new": "missing", "changed": "differs", "removed": "not in the registry any more"}


@group(
    "render",
    examples="""
    runstone render k8s --stage Production --image 'registry.example.org/{model}:{version}' -o deploy
    runstone render k8s --stage Production --image 'registry.example.org/{model}:{version}' -o deploy --check
    """,
)
def render() -> None:
    """Write what runs the models of a stage: for Kubernetes, KServe, Ray Serve or Compose.

    The same state of the registry gives the same bytes, and each server is told the digest of its model and refuses
    any other. Without -o the files go to standard output.
    """


def _common(of_replica: str, *, has_image: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that all targets have; the command gets the session before them."""
    decorators = [
        click.argument("wanted", metavar="[MODEL]...", nargs=-1, type=MODEL),
        click.option("--stage", help="Render what is in this stage, of these models or of all."),
        click.option(
            "-o",
            "--output",
            "folder",
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            help="Write here.",
        ),
        click.option("--check", is_flag=True, help="Write nothing; exit code 1 if DIR is not what would be written."),
        click.option(
            "--replicas",
            type=click.IntRange(1, 10_000),
            default=1,
            show_default=True,
            help=f"{of_replica} of each model.",
        ),
        click.option("--cpu", default="1", show_default=True, help="Processors of each, as 2 or 500m."),
        click.option("--memory", default="1Gi", show_default=True, help="Memory of each, as 512Mi or 2Gi."),
        click.option(
            "--timeout",
            type=click.FloatRange(0, 86_400, min_open=True),
            default=60.0,
            show_default=True,
            help="Seconds for one request.",
        ),
        click.option("--suffix", default="", help="Behind each name, as -staging: two stages in one place."),
    ]
    image = click.option(
        "--image",
        "images",
        multiple=True,
        metavar="[MODEL=]NAME",
        help=f"The image to run; {_TEMPLATE}. May be repeated, MODEL=NAME for single models.",
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        command = json_option(pass_session(function))

        for decorator in reversed([*decorators, *([image] if has_image else [])]):
            command = decorator(command)
        return command

    return decorate


_LIMITS = (
    click.option("--cpu-limit", default="", metavar="CPU", help="At most so many processors.  [default: as --cpu]"),
    click.option("--memory-limit", default="", metavar="MEMORY", help="At most so much.  [default: as --memory]"),
    click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes of each."),
)
_CLUSTER = (
    click.option("--namespace", help="Where to run them.  [default: where they are applied]"),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label for all; may be repeated."),
)
_MOST = click.option("--max-replicas", type=_COUNT, metavar="N", help="Scale up to so many when there is much to do.")


def _with(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


@render.command(
    "k8s",
    short_help="Deployments and Services for Kubernetes.",
    examples="""
    runstone render k8s --stage Production --image 'registry.example.org/{model}:{version}' -o deploy
    runstone render k8s churn@champion --image registry.example.org/churn@sha256:… | kubectl apply -f -
    runstone render k8s churn --stage Production --image 'r.example.org/{model}:{version}' --replicas 3 --max-replicas 9
    """,
)
@_common("Servers")
@_with(*_LIMITS, _MOST, *_CLUSTER)
@click.option("--port", type=click.IntRange(1024, 65535), default=8080, show_default=True, help="Where servers listen.")
def k8s(session: Session, images: Sequence[str], **options: Any) -> None:
    """Write a Deployment and a Service for each model, with kustomizations.

    MODEL is a model in the stage, or NAME@ALIAS, NAME/VERSION, NAME@v3, or a `models:/…` URI. The image is what
    `runstone models build-docker` makes. Two or more servers get a PodDisruptionBudget, --max-replicas an autoscaler.
    """
    _need_image(images)
    _render("k8s", session, images=images, **options)


@render.command(
    "kserve",
    short_help="InferenceServices for KServe.",
    examples="""
    runstone render kserve --stage Production --image 'registry.example.org/{model}:{version}' -o deploy
    runstone render kserve --stage Production --storage-uri 's3://models/{model}/{version}' -o deploy
    """,
)
@_common("Servers")
@_with(*_LIMITS, _MOST, *_CLUSTER)
@click.option("--storage-uri", metavar="URI", help=f"Have KServe's own runtime serve this folder; {_TEMPLATE}.")
def kserve(session: Session, images: Sequence[str], storage_uri: str | None, **options: Any) -> None:
    """Write an InferenceService for each model, which speaks the Open Inference Protocol v2.

    With --image our server runs, which refuses any other model; with --storage-uri KServe's runtime for MLflow, which
    does not look. MODEL is as in `runstone render k8s`.
    """
    from runstone.errors import UsageError

    if (storage_uri is None) == (not images):
        raise UsageError("Give either `--image`, for our server, or `--storage-uri`, for KServe's own.")
    if storage_uri is not None:
        hint("KServe's own runtime holds no model against its digest: who can write there decides what is served.")
    _render("kserve", session, images=images, source=storage_uri, **options)


@render.command(
    "ray-serve",
    short_help="The configuration of Ray Serve.",
    examples="""
    runstone render ray-serve --stage Production --from https://host/team/churn.git -o deploy
    runstone render ray-serve --stage Production --folder '/mnt/models/{model}/{version}' > serve.yaml
    """,
)
@_common("Replicas", has_image=False)
@_MOST
@click.option("--from", "url", metavar="URL", help="The git repository for replicas.  [default: this one's remote]")
@click.option("--folder", "source", metavar="DIR", help=f"Where all nodes have the model instead; {_TEMPLATE}.")
def ray_serve(session: Session, url: str | None, source: str | None, **options: Any) -> None:
    """Write the one file that `serve deploy` takes, with an application for each model.

    The nodes need `pip install 'runstone[dvc,serve,ray-serve]'` and what the models need; replicas get the models
    themselves, and refuse one with another digest. MODEL is as in `runstone render k8s`.
    """
    from runstone.errors import UsageError

    if url is not None and source is not None:
        raise UsageError("Give one of `--from` and `--folder`.")
    if source is not None and not source.startswith("/"):
        raise UsageError(f"`--folder {source[:200]}` must begin with `/`: nodes start in folders of their own.")
    _render("ray-serve", session, source=source or url or _remote_url(session.light_repo), **options)


@render.command(
    "compose",
    short_help="Services for Docker Compose.",
    examples="""
    runstone render compose churn@champion --image 'registry.example.org/{model}:{version}' > compose.yaml
    runstone render compose --stage Production --image 'registry.example.org/{model}:{version}' -o deploy
    """,
)
@_common("Servers")
@_with(*_LIMITS)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Where the host listens.")
def compose(session: Session, images: Sequence[str], **options: Any) -> None:
    """Write a compose.yaml with a service for each model.

    One server listens on the host at --port; several get a free port each, which `docker compose port NAME 8080`
    tells. MODEL is as in `runstone render k8s`.
    """
    _need_image(images)
    _render("compose", session, images=images, **options)


def _need_image(images: Sequence[str]) -> None:
    if not images:
        from runstone.errors import UsageError

        step = "Name one: `--image 'registry.example.org/team/{model}:{version}'`"
        raise UsageError(f"Servers need an image, which `runstone models build-docker` makes. {step}")


def _render(
    target: str,
    session: Session,
    *,
    wanted: Sequence[str],
    stage: str | None,
    folder: Path | None,
    check: bool,
    form: Form,
    cpu: str,
    memory: str,
    timeout: float,
    images: Sequence[str] = (),
    source: str | None = None,
    cpu_limit: str = "",
    memory_limit: str = "",
    labels: Sequence[str] = (),
    **settings: Any,
) -> None:
    """Render, and write, compare or print."""
    from runstone.cli.pairs import parse_pairs
    from runstone.deploy import render as rendering
    from runstone.deploy.chosen import choose
    from runstone.deploy.deployment import Resources, Settings, deploy
    from runstone.errors import UsageError

    if check and folder is None:
        raise UsageError("`--check` compares a folder with the registry. Name it: `-o DIR`")
    made = Settings(
        resources=Resources(cpu, memory, cpu_limit, memory_limit),
        timeout_s=timeout,
        labels=parse_pairs(labels),
        **settings,
    )
    chosen = choose(session.light_repo, wanted, stage)
    stages = {each.stage for each in chosen}
    deployments = deploy(chosen, made, images=images, source=source)
    rendered = rendering.render(target, deployments, stages.pop() if len(stages) == 1 else None)
    _say_unpinned(deployments)
    if folder is None:
        if form == "json":
            files = [{"path": path, "text": text} for path, text in rendered.files.items()]
            emit_json({"deployments": [_told(each) for each in deployments], "files": files})
        else:
            click.echo(rendered.to_stream(), nl=False)
        return
    changes = rendering.compare(folder, rendered) if check else rendering.write(folder, rendered)
    _report(changes, deployments, form, check=check)


def _report(changes: Mapping[str, str], deployments: "Sequence[Deployment]", form: Form, *, check: bool) -> None:
    different = {path: change for path, change in changes.items() if change != "same"}
    if form == "json":
        files = [{"path": path, "change": change} for path, change in changes.items()]
        emit_json({"deployments": [_told(each) for each in deployments], "files": files})
    else:
        for path, change in different.items():
            click.echo(f"{clean(path)}: {_GONE[change] if check else change}")
        runs = ", ".join(f"{clean(each.model)} v{each.version}" for each in deployments)
        what = counted(len(different), "difference" if check else "change")
        click.echo(f"{counted(len(changes), 'file')} for {runs}: {what if different else 'all as they should be'}")
    if check and different:
        hint("Bring the folder up to date: the same command without `--check`")
        click.get_current_context().exit(1)


def _told(deployment: "Deployment") -> dict[str, Any]:
    told = {"name": deployment.name, "model": deployment.model, "version": deployment.version}
    return told | {"digest": deployment.digest, "run": deployment.run, "image": deployment.image}


def _say_unpinned(deployments: "Sequence[Deployment]") -> None:
    loose = [str(each.image) for each in deployments if not each.is_pinned]
    if loose:
        shown = ", ".join(loose[:3]) + (" …" if len(loose) > 3 else "")
        hint(f"A tag may be moved to another image: {shown}. Pin it by its digest: `--image NAME@sha256:…`")


def _remote_url(repo: "Repository") -> str:
    """Where others get this repository; raises `UsageError`."""
    from runstone.errors import UsageError
    from runstone.git.stream import hide_credentials
    from runstone.git.transport import find_remote

    remote = find_remote(repo)
    url = "" if remote is None else repo.git_config.get(f"remote.{remote}.url", "")
    if not url or ("://" not in url and (url.startswith((".", "/", "~")) or ":" not in url)):
        raise UsageError("There is no git remote that nodes of a cluster could reach. Name one: `--from URL`")
    return hide_credentials(url)
