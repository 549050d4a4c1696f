"""What still needs the bytes in the cache: every ref, work tree, model version, journal and past commit is asked.

`gc` removes what runs that are gone have named and nobody here names. Where it is not sure that a text is a digest, it
is taken for one: too much is kept, never too little.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runstone import names
from runstone.artifacts.cache import Cache
from runstone.artifacts.descriptor import DIR
from runstone.artifacts.pointer import parse_pointer
from runstone.errors import ArtifactCorrupt, ArtifactMissing, RunstoneError
from runstone.git.objects import DIRECTORY, TreeEntry
from runstone.git.pointers import History, digests_in, read_history, run_folders, tips, work_tree_pointers
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.records import yaml
from runstone.records.experiment import Experiment
from runstone.records.model import VersionBody
from runstone.records.run import Run

_REMOTE_TAGS = "refs/runstone/remote-tags/"
_SIGNATURE = "\n-----BEGIN "


@dataclass(frozen=True, slots=True)
class Pinned:
    """A model version, by its git tag.

    Attributes:
        ref: The tag's full name.
        label: What people call it.
        run_id: The run.
        record: The run's folder in `commit`.
        commit: What the tag is on.
        body: The tag's own text.
    """

    ref: str
    label: str
    run_id: str
    record: str
    commit: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is to go: runs, and experiments with all their runs."""

    runs: frozenset[str] = frozenset()
    experiments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Census:
    """What a repository names at one moment.

    Attributes:
        tips: Name → commit of everything that is kept whole.
        versions: The model versions: of the commits they are on, only their own run is kept.
        history: The pointers of every commit.
        journals: What the journals name. Read first: what is recorded meanwhile is then in the tips.
    """

    tips: Mapping[str, str]
    versions: tuple[Pinned, ...]
    history: History
    journals: frozenset[str]


@dataclass(frozen=True, slots=True)
class Needs:
    """What is needed: digests, listings not yet opened; and the runs that some ref still has."""

    digests: set[str]
    runs: set[str]


def take_census(repo: Repository, more: Mapping[str, str] | None = None) -> Census:
    """Read all that names bytes.

    Args:
        repo: The repository.
        more: Name → object of refs that a git remote has, as `origin refs/heads/main`; the objects must be here.

    Raises:
        GitFailed: A ref is broken or an object missing, so that nobody knows what was needed.
    """
    journals = frozenset(_read_journals(repo))
    found = tips(repo)
    for ref, oid in (more or {}).items():
        commit = repo.objects.resolve(oid)
        if commit is not None:
            found[ref] = commit
    versions = {ref: pin for ref in found if (pin := _pinned(repo, ref, (more or {}).get(ref, ref))) is not None}
    for ref in [ref for ref in found if ref not in versions and _is_retirement(ref, versions)]:
        del found[ref]
    history = read_history(repo, found.values())
    kept = {ref: commit for ref, commit in found.items() if ref not in versions}
    return Census(kept, tuple(versions.values()), history, journals)


def find_needs(repo: Repository, census: Census, leaving: Leaving) -> Needs:
    """The digests that somebody needs, and the runs that some ref still has.

    Args:
        repo: The repository.
        census: What it names.
        leaving: Runs that count as gone wherever they are deleted. Where they are not, as on the remote-tracking branch
            of somebody who restored them, they count as any other.
    """
    blobs = set(census.history.code)
    runs: set[str] = set()
    trees = _experiment_trees(repo, census.tips.values())
    for path, entries in run_folders(repo, trees):
        run_id = path.rpartition("/")[2]
        record = entries.get(layout.RECORD)
        if run_id in leaving.runs and record is not None:
            experiment = path.split("/")[0]
            if _is_deleted(repo, record.oid) or _goes_with(repo, experiment, leaving, trees):
                continue
        runs.add(run_id)
        files = (entries[name] for name in (layout.RECORD, layout.ARTIFACTS) if name in entries)
        blobs.update(entry.oid for entry in files if entry.is_file)
    digests = set(census.journals)
    for pin in census.versions:
        runs.add(pin.run_id)
        digests |= digests_in(pin.body)
        tree = repo.objects.entry(repo.objects.commit(pin.commit).tree, pin.record)
        if tree is not None and tree.is_tree:
            blobs.update(entry.oid for entry in repo.objects.tree(tree.oid).values() if entry.is_file)
    for _, data in repo.objects.read_many(sorted(blobs)):
        digests |= digests_in(data)
    for data in work_tree_pointers(repo):
        digests |= digests_in(data)
    return Needs(digests, runs)


def named_by(repo: Repository, census: Census, run_ids: Iterable[str]) -> set[str]:
    """The digests that runs have named at any time: of their artifacts, and of each model. No data set's."""
    found: set[str] = set()
    for run_id in run_ids:
        for name, oid in census.history.records.get(run_id, ()):
            where = f"{run_id}/{name} ({oid})"
            data = repo.objects.blob(oid)
            try:
                if name == layout.ARTIFACTS:
                    found.add(parse_pointer(data, where).digest)
                else:
                    run = Run.from_document(yaml.load(data, where), "", where)
                    found.update(model.digest.removeprefix("md5:") for model in run.models)
            except RunstoneError:
                continue  # of what cannot be read nothing is removed
    return {digest for digest in found if digests_in(digest.encode()) == {digest}}


def open_listings(digests: Collection[str], caches: Iterable[Cache], *, strict: bool) -> set[str]:
    """The same digests, and those of the files in the folders among them whose listing is here.

    A folder whose listing is not here cannot be put together again from what is here, so its files count for nothing;
    whoever has the listing has the files, since both are sent files first.

    Args:
        digests: Files and folders.
        caches: Where to look.
        strict: Only from listings that are whole; else whatever is in them.
    """
    found = set(digests)
    for digest in [digest for digest in digests if digest.endswith(DIR)]:
        for cache in caches:
            try:
                if strict:
                    found.update(entry.md5 for entry in cache.read_dir(digest))
                else:
                    found |= digests_in(cache.path(digest).read_bytes())
            except (ArtifactMissing, ArtifactCorrupt, FileNotFoundError, RunstoneError):
                continue
    return found


def _pinned(repo: Repository, ref: str, name: str) -> Pinned | None:
    """A model version, if a tag of this name says so in its body; `name` is what git calls its object."""
    tag = _tag_of(ref)
    parsed = names.parse_version_tag(tag) if tag is not None else None
    found = repo.objects.find(name) if parsed is not None else None
    if parsed is None or found is None or found[1] != "tag":
        return None
    text = found[2].decode("utf-8", "replace").partition("\n\n")[2].partition("\n\n")[2]
    try:
        body = VersionBody.from_document(yaml.load(text.partition(_SIGNATURE)[0] + "\n", ref), ref)
    except RunstoneError:
        return None
    commit = repo.objects.resolve(found[0])
    if commit is None or layout.parse_run_folder(body.record) is None:
        return None
    if repo.objects.entry(repo.objects.commit(commit).tree, body.record) is None:
        return None  # not where it says it is: then all of the commit is kept
    return Pinned(ref, f"{body.model}@v{parsed[1]}", body.run, body.record, commit, found[2])


def _is_retirement(ref: str, versions: Mapping[str, Pinned]) -> bool:
    """Whether a tag says that a version is retired that has a tag of its own, which keeps what the version needs."""
    return ref.endswith("!") and _tag_of(ref) is not None and ref[:-1] in versions


def _tag_of(ref: str) -> str | None:
    ref = ref.rpartition(" ")[2]  # of a remote: no ref holds a space
    if ref.startswith("refs/tags/"):
        return ref.removeprefix("refs/tags/")
    return ref.removeprefix(_REMOTE_TAGS).partition("/")[2] if ref.startswith(_REMOTE_TAGS) else None


def _experiment_trees(repo: Repository, commits: Iterable[str]) -> set[str]:
    entries = (repo.objects.entry(repo.objects.commit(oid).tree, layout.EXPERIMENTS) for oid in set(commits))
    return {entry.oid for entry in entries if entry is not None and entry.is_tree}


def _is_deleted(repo: Repository, record: str) -> bool:
    try:
        document = yaml.load(repo.objects.blob(record), record)
    except RunstoneError:
        return False
    return isinstance(document, dict) and document.get("lifecycle") == "deleted"


def _goes_with(repo: Repository, experiment_id: str, leaving: Leaving, trees: Iterable[str]) -> bool:
    """Whether an experiment goes with all its runs, and is deleted wherever it is."""
    if experiment_id not in leaving.experiments:
        return False
    for tree in trees:
        entry = repo.objects.entry(tree, f"{experiment_id}/experiment.yaml")
        if entry is not None and not _is_deleted_experiment(repo, experiment_id, entry):
            return False
    return True


def _is_deleted_experiment(repo: Repository, experiment_id: str, entry: TreeEntry) -> bool:
    if entry.mode == DIRECTORY:
        return False
    try:
        document = yaml.load(repo.objects.blob(entry.oid), experiment_id)
        return Experiment.from_document(document, experiment_id, experiment_id).lifecycle_stage == "deleted"
    except RunstoneError:
        return False


def _read_journals(repo: Repository) -> set[str]:
    """What all journals name, whatever their state; not the logs of objects, whose content git has."""
    folder = repo.state_dir / "journal"
    digests: set[str] = set()
    seen: set[Path] = set()
    while True:
        paths = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".objects"} - seen
        if not paths:
            return digests
        for path in paths:
            seen.add(path)
            with suppress(FileNotFoundError):  # it has another name now, which the next turn finds, or is recorded
                digests |= digests_in(path.read_bytes())
