"""What is to run: model versions, each with its image and its settings.

No time, no commit of the registry and no order of typing gets into it, so that what is rendered again changes only when
something else is to run.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runstone.deploy.chosen import Chosen
from runstone.deploy.dockerfile import PORT, check_image
from runstone.deploy.words import check_cluster_name, check_label, cluster_name, parse_cpu, parse_memory
from runstone.errors import ImageRefused, InvalidValue, UsageError
from runstone.uris import ModelUri

_SERVER_END_S = 10
_HOLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica gets; a limit that is not named is what is asked for.

    Raises:
        InvalidQuantity: One of them is no amount.
        UsageError: A limit is less than what is asked for.
    """

    cpu: str = "1"
    memory: str = "1Gi"
    cpu_limit: str = ""
    memory_limit: str = ""

    def __post_init__(self) -> None:
        if parse_cpu(self.most_cpu) < parse_cpu(self.cpu):
            raise UsageError(f"The limit of {self.most_cpu} processors is less than the {self.cpu} that are asked for.")
        if parse_memory(self.most_memory) < parse_memory(self.memory):
            raise UsageError(f"The limit of {self.most_memory} memory is less than the {self.memory} asked for.")

    @property
    def most_cpu(self) -> str:
        """The limit of processors."""
        return self.cpu_limit or self.cpu

    @property
    def most_memory(self) -> str:
        """The limit of memory."""
        return self.memory_limit or self.memory


@dataclass(frozen=True, slots=True)
class Settings:
    """How each model runs.

    Attributes:
        replicas: Servers of each model.
        max_replicas: As many when there is much to do; None for no more.
        workers: Processes of each server.
        timeout_s: Seconds for one request.
        port: Where the server listens; with compose, where the host does.
        resources: What each server gets.
        namespace: Where they run; None for where they are applied.
        suffix: Behind each name, so that two stages can run in one namespace.
        labels: Labels of the user's own.
    """

    replicas: int = 1
    max_replicas: int | None = None
    workers: int = 1
    timeout_s: float = 60.0
    port: int = PORT
    resources: Resources = field(default_factory=Resources)
    namespace: str | None = None
    suffix: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise UsageError(f"`--max-replicas {self.max_replicas}` is less than `--replicas {self.replicas}`.")
        if self.namespace is not None:
            check_cluster_name("namespace", self.namespace)
        for key, value in self.labels.items():
            if check_label(key, value)[0].startswith("app.kubernetes.io/"):
                raise UsageError(f"The label `{key}` is set by what is rendered. Choose another key.")

    @property
    def end_s(self) -> int:
        """Seconds in which a server that is told to stop has answered all that it accepted; see `serving.server`."""
        return math.ceil(self.timeout_s) + _SERVER_END_S


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model version that runs.

    Attributes:
        name: What clusters call it.
        model: The registered model.
        version: Its version.
        run: The run that logged it.
        commit: The commit that holds the run's record.
        digest: `md5:<hex>.dir` of the model folder.
        stage: The stage it was found in; None if it was named.
        alias: The alias it was found under; None if there was none.
        image: What it runs in; None where a target needs none.
        source: Where the model's bytes come from, if not with the image: a URI or a folder.
        settings: How it runs.
    """

    name: str
    model: str
    version: int
    run: str
    commit: str
    digest: str
    stage: str | None
    alias: str | None
    image: str | None
    source: str | None
    settings: Settings

    @property
    def uri(self) -> str:
        """A URI that will mean the same tomorrow."""
        return str(ModelUri(self.model, version=self.version))

    @property
    def is_pinned(self) -> bool:
        """Whether the image can be no other one tomorrow."""
        return self.image is None or "@sha256:" in self.image


def deploy(
    chosen: Sequence[Chosen], settings: Settings, *, images: Sequence[str] = (), source: str | None = None
) -> list[Deployment]:
    """What is to run, with the images that it runs in.

    Args:
        chosen: The model versions.
        settings: How they run.
        images: Names of images, in which `{model}` and `{version}` stand for what they are; `MODEL=NAME` for one of
            them. None for targets that need none.
        source: Likewise where the bytes of the models are.

    Raises:
        ImageRefused: An image has neither a tag nor a digest, or would be that of several models.
        UsageError: A model has no image, or a template has another name in it.
    """
    default = [each for each in images if "=" not in each]
    own = dict(each.rpartition("=")[::2] for each in images if "=" in each)
    known = {each.version.name for each in chosen}
    if len(default) > 1:
        raise UsageError("Several images are named for all models. Name one, and others as `--image MODEL=NAME`.")
    if own.keys() - known:
        unknown = sorted(own.keys() - known)[0]
        raise UsageError(f"`--image {unknown[:200]}=…` names a model that is not rendered.")
    found: list[Deployment] = []
    for each in chosen:
        version, slug = each.version, cluster_name(each.version.name)
        template = own.get(version.name, default[0] if default else None)
        if images and template is None:
            raise UsageError(f"No image is named for {version.name!r}: `--image '{version.name}=NAME'`")
        image = None if template is None else _image(_fill(template, slug, version.version))
        made = Deployment(
            name=check_cluster_name("name", f"{slug}{settings.suffix}"),
            model=version.name,
            version=version.version,
            run=version.run_id,
            commit=version.commit,
            digest=version.digest,
            stage=each.stage,
            alias=each.alias,
            image=image,
            source=None if source is None else _fill(source, slug, version.version),
            settings=settings,
        )
        shared = next((other for other in found if image is not None and other.image == image), None)
        if shared is not None:
            raise ImageRefused(str(image), f"{shared.model!r} and {version.name!r} would both run in it")
        found.append(made)
    return found


def _fill(template: str, slug: str, version: int) -> str:
    values = {"model": slug, "version": str(version)}

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = "There are `{model}` and `{version}`."
            raise UsageError(f"`{match[0]}` in {template[:200]!r} stands for nothing. {known}")
        return values[match[1]]

    return _HOLE.sub(value, template)


def _image(name: str) -> str:
    """The name of an image that has a tag or a digest; raises `ImageRefused`."""
    try:
        check_image(name, with_digest=True)
    except InvalidValue as error:
        raise ImageRefused(name, "no engine takes such a name") from error
    tagged, _, digest = name.partition("@")
    tag = tagged.rpartition("/")[2].partition(":")[2]
    if not digest and not tag:
        raise ImageRefused(name, "it has neither a tag nor a digest, so it is whatever is `latest`")
    if not digest and tag == "latest":
        raise ImageRefused(name, "`latest` is another image tomorrow")
    return name
