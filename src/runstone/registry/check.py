"""Check files and records strictly, by the JSON Schemas: one sentence for each that breaks its own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.artifacts.pointer import parse_pointer
from runstone.errors import RecordInvalid, RunstoneError
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.git.runs import layout
from runstone.git.runs.branch import read_runs
from runstone.records import yaml
from runstone.records.alias import Alias
from runstone.records.config import Config
from runstone.records.document import show
from runstone.records.policy import Policy
from runstone.records.schema import validate_text
from runstone.records.stage import Stage
from runstone.records.upgrade import VERSIONS
from runstone.registry.branch import registry_commit
from runstone.registry.layout import Kind, Place, parse_path
from runstone.registry.numbers import Numbers, read_all_numbers
from runstone.registry.state import read_policy

Progress = Callable[[int, int], None]
_RECORDS = (layout.RECORD, layout.METRICS, layout.ARTIFACTS, "experiment.yaml")
_FORMATS: dict[Kind, str] = {
    "model": "registered-model",
    "stage": "stage",
    "alias": "alias",
    "notes": "version-notes",
    "registration": "registration",
    "policy": "policy",
}
"""What the files of the registry are, by their place."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        count: How many files were read.
        problems: File, and the sentence that says what is wrong with it.
    """

    count: int
    problems: tuple[tuple[str, str], ...]


def check_project(repo: Repository) -> Checked:
    """Check `runstone.yaml` and the files of the registry: of the work tree, or of a bare one's default branch."""
    return _check(_project_files(repo), _registry(repo), facts=Facts(repo))


def check_paths(repo: Repository | None, paths: Iterable[Path]) -> Checked:
    """Check files; of a folder every `.yaml`, `metrics.tsv` and `artifacts.dvc` below it.

    Args:
        repo: A path that no file has may be that of a record on its branch of runs.
        paths: Files and folders.
    """
    top = None if repo is None else repo.work_tree
    facts = None if repo is None else Facts(repo)
    return _check((found for path in paths for found in _files_of(repo, path)), _registry(repo), top, facts)


def check_runs(repo: Repository, progress: Progress | None = None) -> Checked:
    """Check every record on the branch of runs: runs, experiments, metrics and pointers to artifacts.

    Args:
        repo: The repository.
        progress: Told how many of how many were read.
    """
    tip = repo.runs_tip()
    if tip is None:
        return Checked(0, ())
    _, out = repo.git("ls-tree", "-r", "-z", "--full-tree", tip, f"{layout.EXPERIMENTS}/")
    rows = (line.partition(b"\t") for line in out.split(b"\0") if line)
    blobs = [
        (raw.decode("utf-8", "backslashreplace"), about.split(b" ")[2].decode())
        for about, _, raw in rows
        if raw.rpartition(b"/")[2].decode("utf-8", "replace") in _RECORDS
    ]

    def contents() -> Iterator[tuple[str, bytes]]:
        for done, ((path, _), (_, data)) in enumerate(
            zip(blobs, repo.objects.read_many(blob for _, blob in blobs), strict=True), 1
        ):
            yield path, data
            if progress is not None and (done % 50 == 0 or done == len(blobs)):
                progress(done, len(blobs))

    return _check(contents())


class Facts:
    """What files of the registry are held against besides their schema: the git tags of versions, and the policy."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._numbers: dict[str, Numbers] | None = None

    def refuse(self, place: Place, where: str, data: bytes) -> None:
        """Refuse a stage or an alias of versions that are not there, or a stage that the policy does not have.

        A shallow clone, which has few git tags, tells nothing of versions.
        """
        document = yaml.load(data, where)
        if place.kind == "stage":
            named = Stage.from_document(document, where).versions
            self._refuse_stage(place, where)
        else:
            named = (Alias.from_document(document, where).version,)
        if self._repo.shallow:
            return
        if self._numbers is None:
            self._numbers = read_all_numbers(self._repo)
        there = self._numbers.get(place.key, Numbers())
        for version in named:
            if version not in there.versions:
                tag = f"{place.key}@v{version}"
                raise RecordInvalid(
                    where,
                    f"version {version} is not here: there is no git tag {tag}; if others made it: `runstone pull`",
                )
            if version in there.retired:
                raise RecordInvalid(where, f"version {version} is retired")

    def _refuse_stage(self, place: Place, where: str) -> None:
        try:
            policy = self._policy(place.key)
        except RunstoneError:
            return  # that it cannot be read is told of the policy itself
        if place.name not in policy.stages:
            near = policy.find_stage(place.name)
            step = f"write it {near}" if near else f"it has {', '.join(policy.stages)}"
            raise RecordInvalid(where, f"the policy has no stage {place.name}: {step}")

    def _policy(self, key: str) -> Policy:
        """The policy of a model: of the work tree, or of a bare repository's default branch."""
        repo = self._repo
        if repo.work_tree is None:
            return read_policy(repo, registry_commit(repo), key)
        base, own = (self._document(Place("policy", each)) for each in ("", key))
        policy = Policy() if base is None else Policy.from_document(*base)
        if own is None:
            return policy
        stages = own[0].get("stages") is not None
        return policy.overridden_by(Policy.from_document(*own, own=True), stages=stages)

    def _document(self, place: Place) -> tuple[Any, str] | None:
        assert self._repo.work_tree is not None
        path = place.path(self._repo.config.registry)
        file = self._repo.work_tree / path
        return (yaml.load(file.read_bytes(), path), path) if file.is_file() else None


def _check(
    files: Iterable[tuple[str, bytes]],
    registry: str | None = None,
    top: Path | None = None,
    facts: Facts | None = None,
) -> Checked:
    """Check files.

    Args:
        files: Path and content.
        registry: The folder of the registry, where files of it may be among them.
        top: The top of the work tree, where paths are not relative to it.
        facts: What stages and aliases are held against, where there is a repository.
    """
    count, problems = 0, []
    for where, data in files:
        count += 1
        try:
            kind = _check_one(where, data)
            if registry is not None:
                _check_place(kind, registry, where, data, top, facts)
        except RunstoneError as error:
            problems.append((where, str(error)))
    return Checked(count, tuple(problems))


def _check_one(where: str, data: bytes) -> str:
    """Check a file by the format that it names; returns which kind that is."""
    if where.endswith(".dvc"):
        parse_pointer(data, where)
        return "artifacts"
    kind = validate_text(data, where)
    folder, _, name = where.rpartition("/")
    if kind != "run" or name != layout.RECORD or not folder.startswith(f"{layout.EXPERIMENTS}/"):
        return kind
    place = layout.parse_run_folder(folder)
    found = yaml.load(data, where)["id"]
    if place is None or place.run_id != found:
        raise RecordInvalid(where, f"`id` must be the name of its folder, but is {found!r}")
    return kind


def _check_place(
    kind: str, registry: str, where: str, data: bytes, top: Path | None, facts: Facts | None = None
) -> None:
    """What a schema cannot say of a file of the registry: that it is where its kind belongs; of a policy, that its
    rules name stages that it has; of a stage or an alias, that what it names is there.
    """
    path = where
    if top is not None:
        full = Path(where).resolve()
        path = full.relative_to(top.resolve()).as_posix() if full.is_relative_to(top.resolve()) else where
    place = parse_path(registry, path)
    if place is not None and kind != _FORMATS.get(place.kind, kind):
        expected = _FORMATS[place.kind]
        found = show(f"runstone/{kind}/v{VERSIONS[kind]}") if kind in VERSIONS else kind
        raise RecordInvalid(where, f"`schema` must be runstone/{expected}/v{VERSIONS[expected]} here, but is {found}")
    if kind == "policy":
        Policy.from_document(yaml.load(data, where), where, own=place is not None and bool(place.key))
    if facts is not None and place is not None and place.kind in ("stage", "alias"):
        facts.refuse(place, where, data)


def _registry(repo: Repository | None) -> str | None:
    try:
        return None if repo is None else repo.config.registry
    except RunstoneError:  # that runstone.yaml is broken is what is going to be told
        return Config().registry


def _project_files(repo: Repository) -> Iterator[tuple[str, bytes]]:
    folder = _registry(repo) or Config().registry
    if repo.work_tree is not None:
        config = repo.work_tree / CONFIG_FILE
        if config.is_file():
            yield CONFIG_FILE, config.read_bytes()
        for path in filter(Path.is_file, sorted((repo.work_tree / folder).rglob("*.yaml"))):
            yield path.relative_to(repo.work_tree).as_posix(), path.read_bytes()
        return
    commit = registry_commit(repo)
    if commit is None:
        return
    _, out = repo.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", CONFIG_FILE, f"{folder}/")
    tree = repo.objects.commit(commit).tree
    for raw in out.split(b"\0"):
        name = raw.decode("utf-8", "surrogateescape")
        entry = repo.objects.entry(tree, name) if name.endswith(".yaml") else None
        if entry is not None:
            yield name, repo.objects.blob(entry.oid)


def _files_of(repo: Repository | None, path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and (file.suffix == ".yaml" or file.name in _RECORDS):
                yield file.as_posix(), file.read_bytes()
        return
    if path.exists() or repo is None:
        yield path.as_posix(), path.read_bytes()
        return
    recorded = read_runs(repo).read(path.as_posix())
    if recorded is None:
        raise RunstoneError(f"There is no file `{path.as_posix()}`, neither here nor on the branch of runs.")
    yield path.as_posix(), recorded
