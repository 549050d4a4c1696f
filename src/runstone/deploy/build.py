"""An image from a serving context, by whichever engine is here."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runstone.deploy.context import Choices, Context, write_context
from runstone.deploy.dockerfile import PORT, check_image
from runstone.deploy.wheelhouse import engine_platform, find_platform
from runstone.errors import BuildFailed, EngineMissing
from runstone.tracking.workspace import Workspace

ENGINES = ("docker", "podman", "buildah")
"""In the order in which they are looked for."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was built.

    Attributes:
        name: Its name, and tag.
        id: Its id, `sha256:…`, which never means another one; None where the engine did not tell.
        engine: What built it.
        context: What it was built from; the folder is gone.
    """

    name: str
    id: str | None
    engine: str
    context: Context

    @property
    def run_command(self) -> str:
        """How to run it; buildah, which only builds, shares its images with podman."""
        runner = "podman" if self.engine == "buildah" else self.engine
        return f"{runner} run --rm --read-only --tmpfs /tmp -p {PORT}:{PORT} {self.id or self.name}"

    @property
    def pin_command(self) -> str:
        """How to find the digest that a registry knows it by, once it is there."""
        if self.engine == "docker":
            return (
                f"docker push {self.name} && docker image inspect --format '{{{{index .RepoDigests 0}}}}' {self.name}"
            )
        return f"{self.engine} push --digestfile digest.txt {self.name} && cat digest.txt"


def build_image(
    workspace: Workspace, uri: str, name: str, choices: Choices | None = None, *, engine: str | None = None
) -> Image:
    """Build an image that serves a model.

    The engine's own words go to standard error.

    Args:
        workspace: The repository.
        uri: `models:/…` or `runs:/…`.
        name: What to call the image, with a tag or without.
        choices: How it is to be built; with a platform, the engine is told to build for that.
        engine: One of `ENGINES`; None for the first that is installed.

    Writes:
        The image, in the store of the engine; a temporary folder, gone at the end.

    Raises:
        EngineMissing: It is not installed, or none is.
        BuildFailed: It ended with an error.
        InvalidValue: The name is none of an image.
        RunstoneError: The context cannot be made; see `write_context`.
    """
    check_image(name)
    choices = choices or Choices()
    kind, program = _find_engine(engine, uri)
    with tempfile.TemporaryDirectory(prefix="runstone-image-") as temporary:
        context = write_context(workspace, uri, Path(temporary) / "context", choices)
        told = Path(temporary) / "id"
        options = [f"--tag={name}", f"--file={context.folder / 'Dockerfile'}", f"--iidfile={told}"]
        if kind != "docker":
            options.append("--format=docker")  # that of OCI, which they write else, knows no health check
        if choices.platform is not None or choices.has_wheels:
            options.append(f"--platform={engine_platform(context.wheels or find_platform(choices.platform))}")
        done = subprocess.run(
            [program, "build", *options, str(context.folder)], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise BuildFailed(kind, done.returncode, uri)
        id_ = told.read_text(encoding="ascii", errors="replace").strip() if told.is_file() else ""
    return Image(name, id_ or None, kind, context)


def _find_engine(engine: str | None, uri: str) -> tuple[str, str]:
    for kind in (engine,) if engine is not None else ENGINES:
        program = shutil.which(kind)
        if program is not None:
            return kind, program
    raise EngineMissing(engine, uri)
