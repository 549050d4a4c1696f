"""A URI → what exactly it stands for now, and the model of it, loaded to be served.

A server stays with what its URI meant when it started: it names the version (or the folder's digest), and loads that.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone import uris
from runstone.artifacts.descriptor import Descriptor, format_listing, listing_digest
from runstone.errors import ArtifactCorrupt, InvalidModelFolder, RunstoneError
from runstone.flavors import environment, example, mlmodel, pyfunc
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.protocol import Predictor
from runstone.flavors.trust import Trust
from runstone.registry import resolve as registry
from runstone.serving import packed
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri

_MAX_TEXT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """What exactly is served.

    Attributes:
        uri: The URI as it was given.
        pinned: One that will mean the same tomorrow.
        model: The registered model; None for a run's model and a folder.
        version: Its version.
        run: The run that logged it.
        commit: The commit that holds the run's record (of a version), or the commit of its code (of a run).
        digest: `md5:<hex>.dir` of the model folder.
        context: The serving context that it lies in; see `packed`.
        is_vouched: Whether the caller pinned the digest of a folder, which then may run code as one in git may.
    """

    uri: str
    pinned: str
    model: str | None
    version: int | None
    run: str | None
    commit: str | None
    digest: str | None
    context: str | None = None
    is_vouched: bool = False

    @property
    def name(self) -> str:
        """What to call it in URLs and answers: the model's name, else the last part of its path."""
        return self.model or self.pinned.rstrip("/").rpartition("/")[2] or "model"

    def to_document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "uri": self.uri,
            "pinned": self.pinned,
            "model": self.model,
            "version": self.version,
            "run": self.run,
            "commit": self.commit,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Needs:
    """The environment that a model folder asks for: its `requirements.txt`, and its version of Python."""

    requirements: str
    python: str | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can be served.

    Attributes:
        identity: What it is.
        metadata: What its MLmodel file says.
        predictor: Predicts with data that the signature has let through.
        example: A request to `/invocations` that it answers, as JSON holds it; None if it has none.
    """

    identity: Identity
    metadata: MLmodel
    predictor: Predictor
    example: Any


@dataclass(frozen=True, slots=True)
class _Whole:
    """A model that `pyfunc` itself has to stand before."""

    raw: pyfunc.PyFuncModel

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """As `PyFuncModel.predict`."""
        return self.raw.predict(data, params)


def identify(workspace: Workspace | None, uri: str, *, digest: str | None = None) -> Identity:
    """What a URI stands for at this moment.

    Args:
        workspace: The repository; a folder needs none.
        uri: `runs:/…`, `models:/…`, a model folder, or a serving context.
        digest: What its digest must be.

    Raises:
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
        InvalidModelFolder: It is neither a URI nor a folder.
        ArtifactCorrupt: It has another digest.
    """
    identity = _identify(workspace, uri, is_vouched=digest is not None)
    packed.check_digest(identity.uri, identity.digest, digest)
    return identity


def _identify(workspace: Workspace | None, uri: str, *, is_vouched: bool) -> Identity:
    if not _is_uri(uri) or workspace is None:
        folder = Path(uri)
        if not folder.is_dir():
            raise InvalidModelFolder.not_there(uri)
        path, told = str(folder.absolute()), packed.read(folder)
        if told is None:
            if not (folder / mlmodel.FILE).is_file():
                step = "Name the folder that has it."
                raise InvalidModelFolder(folder, f"it has no file {mlmodel.FILE}", next_step=step)
            found = packed.digest_of(packed.hash_files(folder))
            return Identity(uri, path, None, None, None, None, found, is_vouched=is_vouched)
        facts = (told.uri, told.pinned, told.model, told.version, told.run, told.commit, told.digest)
        return Identity(*facts, context=path, is_vouched=is_vouched)
    parsed = uris.parse_uri(uri)
    if isinstance(parsed, RunUri):
        run = need_recorded(workspace, parsed.run_id).run
        digest = next((model.digest for model in run.models if model.path == parsed.path), None)
        commit = run.source.commit if run.source else None
        return Identity(uri, str(RunUri(run.id, parsed.path)), None, None, run.id, commit, digest)
    version = registry.resolve_version(workspace.repo, parsed)
    number = int(version.version)
    pinned = str(ModelUri(parsed.name, version=number))
    return Identity(uri, pinned, parsed.name, number, version.run_id, version.commit, version.digest)


def load(
    workspace: Workspace | None,
    identity: Identity,
    *,
    allow_pickle: bool = False,
    check: Callable[[Needs], None] = lambda _: None,
) -> Loaded:
    """Load what was identified.

    Args:
        workspace: The repository; a folder needs none.
        identity: What to load.
        allow_pickle: The caller vouches for a folder.
        check: Told what environment the model needs, before anything of it is loaded; it may raise.

    Raises:
        ArtifactCorrupt: The pinned URI leads to another model by now.
        UntrustedModel: A folder with weights that run code when loaded, and the caller does not vouch for it.
        ModelFileChanged: A file is not the one git recorded.
        InvalidModelFolder, UnknownFlavor, MissingLibrary: It cannot be loaded here.
    """
    with opened(workspace, identity, allow_pickle=allow_pickle) as (folder, trust):
        check(read_needs(folder, trust))
        metadata = mlmodel.read(folder, trust=trust)
        if metadata.extra.get("type_hint_from_example") is True:  # then what it is given depends on the example too
            predictor: Predictor = _Whole(pyfunc.load(folder, trust=trust))
        else:
            config = mlmodel.flavor_settings(folder, metadata, mlmodel.PYFUNC).get("config")
            predictor = pyfunc.load_predictor(folder, metadata, trust=trust, model_config=config)
        return Loaded(identity, metadata, predictor, _example(folder, metadata, trust))


@contextmanager
def opened(workspace: Workspace | None, identity: Identity, *, allow_pickle: bool) -> Iterator[tuple[Path, Trust]]:
    """The model folder of an identity, while the `with` block lasts, and why it may be loaded."""
    if identity.context is not None or identity.is_vouched:
        folder = Path(identity.context or identity.pinned)
        folder, digests = packed.verify(folder, identity.digest)
        yield folder, Trust(digests=digests) if identity.is_vouched else Trust(allow_pickle=allow_pickle)
        return
    if not _is_uri(identity.pinned) or workspace is None:
        yield Path(identity.pinned), Trust(allow_pickle=allow_pickle)
        return
    resolved = registry.resolve(workspace, identity.pinned)
    if resolved.entries[0].path == resolved.path:
        raise InvalidModelFolder(Path(resolved.path), f"{identity.uri} is a file, and a model is a folder")
    if identity.digest is not None:
        found = listing_digest(format_listing(Descriptor(path, None, md5) for path, md5 in resolved.digests.items()))
        if f"md5:{found}" != identity.digest:
            recorded = identity.digest.removeprefix("md5:")
            raise ArtifactCorrupt(recorded, identity.pinned, found, "Get it again: `runstone artifacts pull`")
    with registry.checked_out(workspace, resolved) as folder:
        yield folder, Trust(digests=resolved.digests)


def read_needs(folder: Path, trust: Trust) -> Needs:
    """The environment that a model folder asks for; what it does not say is empty."""
    from runstone.records import yaml

    requirements = _text(folder, environment.REQUIREMENTS, trust) or ""
    python = _text(folder, environment.PYTHON_ENV, trust)
    document = yaml.load(python.encode(), environment.PYTHON_ENV) if python else None
    version = document.get("python") if isinstance(document, dict) else None
    return Needs(requirements, version if isinstance(version, str) else None)


def _is_uri(uri: str) -> bool:
    return uri.startswith(("runs:/", "models:/"))


def _text(folder: Path, name: str, trust: Trust) -> str | None:
    return trust.read(folder, name, limit=_MAX_TEXT).decode("utf-8", "replace") if (folder / name).is_file() else None


def _example(folder: Path, metadata: MLmodel, trust: Trust) -> Any:
    """The request that was saved beside the example; a model without a readable one is served all the same."""
    info = metadata.saved_input_example_info or {}
    path = info.get("serving_input_path")
    if path is None:
        return None
    try:
        return json.loads(trust.read(folder, path, limit=example.MAX_SIZE))
    except (RunstoneError, ValueError, RecursionError) as error:
        warnings.warn(f"The model's input example is not shown: {error}", stacklevel=2)
        return None
