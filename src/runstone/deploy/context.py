"""The serving context: a folder with all that an image of one model version is built from, and nothing else.

    model/                    the model folder, each file verified by the digest in git
    runstone-serving.json     what it is: model, version, run, commit, digests; see `serving.packed`
    requirements.txt          its own requirements, and this Runstone; with a wheelhouse each by its hash
    wheels/                   this Runstone as a wheel, and with a wheelhouse all others
    Dockerfile, .dockerignore

The same URI, while it means the same, gives the same bytes; of a wheelhouse this holds while the index stays as it is.
"""

import re
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from runstone import templates
from runstone.deploy import own_wheel, wheelhouse
from runstone.deploy.dockerfile import check_image, write_dockerfile
from runstone.deploy.needed import Needed, read_needed
from runstone.errors import ArtifactCorrupt, ContextRefused, DiskFull, OutputRefused, RunstoneError
from runstone.flavors.trust import Trust
from runstone.registry.pull import pull_model, put_in_place
from runstone.registry.replaceable import check_replaceable
from runstone.serving import packed
from runstone.serving.packed import Packed
from runstone.serving.resolve import identify, read_needs
from runstone.tracking.workspace import Workspace

_ENTRIES = {packed.MODEL, packed.FILE, "requirements.txt", "wheels", "Dockerfile", ".dockerignore"}
_OLDEST = (3, 11)


@dataclass(frozen=True, slots=True)
class Choices:
    """How an image is to be built.

    Attributes:
        base_image: What it is built on; None for Python's own image of the model's version.
        has_wheels: Whether the wheels are downloaded now, so that the build needs no network.
        platform: What they are for; None for this machine's. See `wheelhouse.find_platform`.
    """

    base_image: str | None = None
    has_wheels: bool = False
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """A context that was written.

    Attributes:
        folder: Where.
        packed: What it serves.
        base_image: What its image is built on.
        wheels: The platform of its wheels; None if the build gets them.
        left_out: Lines of the model's requirements that mean nothing in an image.
    """

    folder: Path
    packed: Packed
    base_image: str
    wheels: str | None
    left_out: tuple[str, ...]


def write_context(
    workspace: Workspace, uri: str, target: Path, choices: Choices | None = None, *, force: bool = False
) -> Context:
    """Write the serving context of a model.

    Args:
        workspace: The repository.
        uri: `models:/…` or `runs:/…`.
        target: The folder; its parent must exist. A context that is there is replaced.
        choices: How the image is to be built.
        force: Replace whatever is there, but for a repository, the current folder and the home folder.

    Writes:
        A hidden folder beside it, renamed when all is there; nothing of it stays where something fails.

    Raises:
        OutputRefused: Something else than a context is there, what is never replaced, or there is no folder to put it
            into.
        ContextRefused: It is no model folder, or asks for what no image can have.
        WheelhouseFailed: The wheels cannot be had.
        InvalidValue: The base image or the platform is none.
        ModelNotFound, VersionNotFound, AliasNotFound, StageNotFound, RunNotFound: There is no such model.
        ArtifactMissing, ArtifactCorrupt: Its bytes cannot be had, or are not those recorded.
    """
    choices = choices or Choices()
    base = check_image(choices.base_image, with_digest=True) if choices.base_image is not None else None
    wheels = wheelhouse.find_platform(choices.platform) if choices.has_wheels else None
    if not target.parent.is_dir():
        raise OutputRefused(target, f"there is no folder {target.parent}", f"Make it: `mkdir -p '{target.parent}'`")
    check_replaceable(target)
    if not force and not _is_free(target):
        step = "Name another folder; or, if nothing in it is needed, replace it: `--force`"
        raise OutputRefused(target, "it exists, and is no serving context alone", step)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            part.mkdir()
            told, needed = _place_model(workspace, uri, part)
            base = base or f"python:{told.python}-slim"
            _place_packages(part, needed, python=told.python, wheels=wheels)
            (part / packed.FILE).write_bytes(told.to_bytes())
            _write(part / "Dockerfile", write_dockerfile(told, base_image=base, by_hash=wheels is not None))
            _write(part / ".dockerignore", templates.read("dockerignore"))
            _make_readable(part)
            put_in_place(part, target)
        except OSError as error:
            raise DiskFull(target, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Context(target, told, base, wheels, needed.left_out)


def _is_free(target: Path) -> bool:
    """Whether nothing is lost when a context takes this place."""
    if target.is_symlink():
        return False
    if not target.exists():
        return True
    if not target.is_dir():
        return False
    names = {path.name for path in target.iterdir()}
    try:
        return not names or (names == _ENTRIES and packed.read(target) is not None)
    except RunstoneError:
        return False


def _place_model(workspace: Workspace, uri: str, part: Path) -> tuple[Packed, Needed]:
    """Put the model folder in, and find out what it is and needs."""
    identity = identify(workspace, uri)
    folder = part / packed.MODEL
    pulled = pull_model(workspace, identity.pinned, folder)
    if not (folder / "MLmodel").is_file():
        raise ContextRefused(uri, "it has no `MLmodel` file, so it is no model", "See what there is: `runstone models`")
    digest = packed.digest_of(pulled.digests)
    if identity.digest not in (None, digest):
        recorded = str(identity.digest).removeprefix("md5:")
        found = digest.removeprefix("md5:")
        raise ArtifactCorrupt(recorded, identity.pinned, found, "Get it again: `runstone artifacts pull`")
    needs = read_needs(folder, Trust(digests=pulled.digests))
    told = Packed(
        uri=uri,
        pinned=identity.pinned,
        model=identity.model,
        version=identity.version,
        run=identity.run,
        commit=identity.commit,
        digest=digest,
        python=_minor(uri, needs.python),
        files=pulled.digests,
    )
    return told, read_needed(uri, needs.requirements)


def _minor(uri: str, python: str | None) -> str:
    """The minor version of Python that a model asks for; this one where it asks for none."""
    match = re.match(r"(3)\.([0-9]{1,3})(?![0-9])", python or "")
    if python is not None and match is None:
        raise ContextRefused(uri, f"it asks for Python {python[:40]!r}, which there is not", "Log the model again.")
    minor = (int(match[1]), int(match[2])) if match else sys.version_info[:2]
    if minor < _OLDEST:
        why = f"it asks for Python {minor[0]}.{minor[1]}, and Runstone serves with 3.11 and newer"
        raise ContextRefused(uri, why, "Log the model again with a newer Python.")
    return f"{minor[0]}.{minor[1]}"


def _place_packages(part: Path, needed: Needed, *, python: str, wheels: str | None) -> None:
    folder = part / "wheels"
    folder.mkdir()
    own = folder / own_wheel.NAME
    own.write_bytes(own_wheel.build())
    lines = [*needed.lines, f"./wheels/{own.name}"]
    if wheels is not None:
        wheelhouse.download([*needed.lines, str(own)], folder, python=python, wheels=wheels)
        lines = wheelhouse.lock(folder)
    _write(part / "requirements.txt", "".join(f"{line}\n" for line in lines))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _make_readable(folder: Path) -> None:
    """The user of the image is another one than whoever builds it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
