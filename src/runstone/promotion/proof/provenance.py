"""The chain behind a model version: git tag → record of the run → code snapshot → data → artifacts, link by link.

Each link is a digest that git keeps, so what is read here proves itself; the first that does not hold is named.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runstone import names
from runstone.artifacts.cache import Cache
from runstone.artifacts.descriptor import Descriptor
from runstone.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    MissingLibrary,
    RecordInvalid,
    RemoteFailed,
    RemoteNotConfigured,
    RunstoneError,
)
from runstone.git.pointers import digests_in
from runstone.git.runs.branch import Draft, Recorded
from runstone.promotion.rules.versions import list_versions
from runstone.records import yaml
from runstone.records.dataset import Dataset
from runstone.records.model import ModelReference, VersionBody
from runstone.records.registration import Registration
from runstone.registry.layout import Place
from runstone.registry.state import read_model_state
from runstone.tracking.workspace import Workspace

_TAGS = "refs/tags/"
DEEPEN = "`git fetch --unshallow --tags`"
"""What brings what a shallow clone lacks; it has no tags either."""


@dataclass(frozen=True, slots=True)
class Break:
    """A link that does not hold.

    Attributes:
        what: What it is about: a version as `churn/4`, its move as `churn/4 Staging → Production`, `policy` …
        where: The commit, git tag or file.
        why: The sentence.
        is_certain: Whether it is broken; else it cannot be told here, and the sentence says what to do.
    """

    what: str
    where: str
    why: str
    is_certain: bool = True

    def __str__(self) -> str:
        return f"{self.what}, {self.where}: {self.why}"


class Provenance:
    """Checks versions of one repository, asking git once for what all of them need.

    Attributes:
        unread: Versions of which not all bytes were read, neither here nor on the remote.
    """

    def __init__(self, workspace: Workspace, tip: str | None = None, *, deep: bool = False) -> None:
        """Prepare.

        Args:
            workspace: The repository.
            tip: The registry's commit, where the requests are that versions were registered by.
            deep: Whether every byte on the DVC remote is read; else what is in the cache is read, and of the rest it is
                asked whether the remote has it.
        """
        self._workspace, self._tip, self._deep = workspace, tip, deep
        self._requests: dict[str, Mapping[str, Registration]] = {}
        self._line: set[str] | None = None
        self.unread: list[str] = []
        self._was_read = False

    def check(self, key: str, version: int) -> Iterator[Break]:
        """The breaks in the chain of one version, in the order of the links."""
        self._was_read = False
        what = f"{names.decode_component(key)}/{version}"
        yield from self._check(what, key, version)
        if not self._was_read:
            self.unread.append(what)

    def _check(self, what: str, key: str, version: int) -> Iterator[Break]:
        repo = self._workspace.repo
        tag = f"{key}@v{version}"
        found = repo.objects.find(_TAGS + tag)
        if found is None:
            step = DEEPEN if repo.shallow else "`runstone pull`"
            is_certain = not repo.shallow and bool(self._runs_line())
            yield Break(what, f"git tag {tag}", f"there is no such tag. Bring it: {step}", is_certain)
            return
        try:
            fields, body = read_tag(tag, found)
        except RunstoneError as error:
            yield Break(what, f"git tag {tag}", str(error))
            return
        what = f"{body.model}/{version}"
        if fields.get("tag") != tag:
            yield Break(
                what, f"git tag {tag}", f"it was made as {fields.get('tag')!r}, and is another tag under this name"
            )
            return
        commit = fields["object"]
        yield from self._request(what, key, version, commit, body)
        if repo.objects.resolve(commit) is None:
            why = f"the commit {commit[:7]} that it is on is not here, so what its run recorded cannot be told"
            is_certain = not repo.shallow and bool(self._runs_line())
            step = DEEPEN if repo.shallow else "`runstone pull`"
            yield Break(what, f"git tag {tag}", f"{why}. Bring it: {step}", is_certain)
            return
        try:
            recorded = Draft(repo, commit).run(body.record)
        except RunstoneError as error:
            yield Break(what, f"run {body.run} at {commit[:7]}", str(error))
            return
        yield from self._record(what, commit, body, recorded)

    def _request(self, what: str, key: str, version: int, commit: str, body: VersionBody) -> Iterator[Break]:
        """What was asked for, and reviewed, is what the version is; where it came by a request."""
        if key not in self._requests:
            self._requests[key] = read_model_state(self._workspace.repo, self._tip, key).registrations
        wanted = self._requests[key].get(body.run)
        if wanted is None:
            return
        asked = {"commit": wanted.commit[:12], "digest": wanted.digest, "path": f"`{wanted.path}`"}
        has = {"commit": commit[:12], "digest": body.digest, "path": f"`{body.path}`"}
        if wanted.path != body.path and self._is_met(key, wanted):
            return  # that was about another model of the run
        told = [f"{part} {asked[part]}, and it has {has[part]}" for part in asked if asked[part] != has[part]]
        if told:
            path = Place("registration", key, body.run).path(self._workspace.repo.config.registry)
            why = f"{path} asked for {'; '.join(told)}: it is not the version that was reviewed"
            yield Break(what, f"git tag {key}@v{version}", why)

    def _is_met(self, key: str, wanted: Registration) -> bool:
        found = list_versions(self._workspace.repo, key)
        return any((each.body.run, each.body.path) == (wanted.run, wanted.path) for each in found)

    def _record(self, what: str, commit: str, body: VersionBody, recorded: Recorded | None) -> Iterator[Break]:
        repo = self._workspace.repo
        where = f"run {body.run} at {commit[:7]}"
        if recorded is None or recorded.run.id != body.run:
            yield Break(what, where, f"the commit that its git tag is on has no such run in {body.record}")
            return
        if not self._runs_line():
            why = f"the branch `{repo.config.branch}` is not here, so whether the commit is on it cannot be told"
            yield Break(what, where, f"{why}. Bring it: `runstone pull`", is_certain=False)
        elif commit not in self._runs_line():
            why = f"the commit is not on the branch `{repo.config.branch}`, so its record may be anybody's"
            step = "" if not repo.shallow else f". This clone is shallow: {DEEPEN}"
            yield Break(what, where, why + step, not repo.shallow)
        reference = next((model for model in recorded.run.models if model.path == body.path), None)
        if reference is None or reference.digest != body.digest:
            has = "no model there" if reference is None else reference.digest
            yield Break(what, where, f"its git tag says that `{body.path}` is {body.digest}, and the record has {has}")
            return
        yield from self._code(what, commit, recorded)
        yield from self._bytes(what, reference)

    def _code(self, what: str, commit: str, recorded: Recorded) -> Iterator[Break]:
        repo, snapshot = self._workspace.repo, recorded.run.source.snapshot
        if snapshot is None:
            return  # code outside git: the record says so
        where = f"code snapshot {snapshot[:7]}"
        if not repo.objects.is_id(snapshot) or repo.objects.resolve(snapshot) != snapshot:
            why = "the commit with the code of the run is not here"
            step = f" (this clone is shallow: {DEEPEN})" if repo.shallow else ""
            yield Break(what, where, why + step, not repo.shallow)
            return
        if repo.git("merge-base", "--is-ancestor", snapshot, commit, allowed=(0, 1))[0]:
            why = "the record names it, and the history of the record does not hold it"
            yield Break(what, where, why, not repo.shallow)
            return
        for dataset in recorded.run.datasets:
            yield from self._data(what, snapshot, dataset)

    def _data(self, what: str, snapshot: str, dataset: Dataset) -> Iterator[Break]:
        """What DVC tracks is named by a pointer in the code; other data is named by the record alone."""
        repo = self._workspace.repo
        if dataset.dvc is None or not dataset.digest.startswith("md5:"):
            return
        entry = repo.objects.entry(repo.objects.commit(snapshot).tree, dataset.dvc)
        digest = dataset.digest.removeprefix("md5:")
        if entry is None or not entry.is_file:
            return  # made while the run was going on, or left out of the snapshot
        known = digests_in(repo.objects.blob(entry.oid))
        if known and digest not in known:
            where = f"data set {dataset.name}"
            yield Break(
                what, where, f"the record says {digest}, and `{dataset.dvc}` in its code {', '.join(sorted(known))}"
            )

    def _bytes(self, what: str, reference: ModelReference) -> Iterator[Break]:
        store = self._workspace.artifacts
        digest = reference.digest.removeprefix("md5:")
        where = f"artifact {reference.path}"
        try:
            if self._deep or not store.cache.has(digest):
                store.need_remote().need_folder()  # one that is away lacks nothing for certain
            files = store.listing_of(digest)
            if self._deep:
                self._read_remote(digest)
        except (ArtifactCorrupt, ArtifactMissing) as error:
            yield Break(what, where, str(error))
            return
        except (RemoteFailed, RemoteNotConfigured, MissingLibrary) as error:
            yield Break(what, where, str(error), is_certain=False)
            return
        absent = []
        for entry in files:
            if not store.cache.has(entry.md5):
                absent.append(entry)
                continue
            try:
                store.cache.verify(entry.md5)
            except ArtifactCorrupt as error:
                yield Break(what, f"{where}/{entry.path}", str(error))
        self._was_read = self._deep or not absent
        if absent and not self._deep:
            yield from self._on_remote(what, where, absent)

    def _on_remote(self, what: str, where: str, files: list[Descriptor]) -> Iterator[Break]:
        try:
            remote = self._workspace.artifacts.remote()
            if remote is not None:
                remote.need_folder()
            lost = {entry.md5 for entry in files} if remote is None else remote.missing(entry.md5 for entry in files)
        except (RemoteFailed, MissingLibrary) as error:
            yield Break(what, where, str(error), is_certain=False)
            return
        has = "no DVC remote is configured" if remote is None else f"the DVC remote `{remote.name}` lacks it"
        for entry in files:
            if entry.md5 in lost:
                yield Break(
                    what, f"{where}/{entry.path}", f"its bytes are not in the cache, and {has}", remote is not None
                )

    def _read_remote(self, digest: str) -> None:
        """Read a folder from the remote, whatever the cache has of it: pulling checks each digest."""
        remote = self._workspace.artifacts.need_remote()
        with tempfile.TemporaryDirectory(prefix="runstone-") as folder:
            remote.pull([digest], Cache(Path(folder)))

    def _runs_line(self) -> set[str]:
        if self._line is None:
            repo = self._workspace.repo
            seen = (repo.refs.read(ref) for ref in (repo.runs_ref, f"refs/remotes/origin/{repo.config.branch}"))
            tips = [tip for tip in seen if tip is not None]
            _, out = repo.git("rev-list", "--first-parent", *tips) if tips else (0, b"")
            self._line = set(out.decode().split())
        return self._line


def read_tag(tag: str, found: tuple[str, str, bytes]) -> tuple[dict[str, str], VersionBody]:
    """The head of an annotated tag's object, and what it says of the version.

    Raises:
        RecordInvalid, NewerFormat: It is a plain tag, or its text is no version's.
    """
    where = f"{_TAGS}{tag}"
    _, kind, data = found
    if kind != "tag":
        raise RecordInvalid(where, "it must be an annotated tag that Runstone wrote, but is a plain one")
    head, _, message = data.decode("utf-8", "replace").partition("\n\n")
    pairs = [(key, value) for key, _, value in (line.partition(" ") for line in head.split("\n"))]
    if [key for key, _ in pairs] != ["object", "type", "tag", "tagger"]:  # of two objects git takes the first
        raise RecordInvalid(where, "its head is not that of a tag which git makes")
    fields = dict(pairs)
    body = message.partition("\n\n")[2].partition("\n-----BEGIN ")[0] + "\n"
    return fields, VersionBody.from_document(yaml.load(body, where), where)
