"""Stages: which versions of a model are in Staging, in Production …; one small file each on the default branch.

Only read here: stages are moved by promotions, which are reviewed.
"""

from runstone import names
from runstone.errors import RecordInvalid, StageNotFound
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.document import Reader
from runstone.registry import branch
from runstone.registry.version import ModelVersion, check_model, get_version


def get_version_by_stage(repo: Repository, name: str, stage: str) -> ModelVersion:
    """The newest version of a model in a stage; how the stage's name is written, large or small, does not matter.

    Raises:
        StageNotFound: No version is in a stage of this name.
        VersionNotFound: The file names a version that is not there.
        RecordInvalid: The file cannot be read.

    Source: MLflow's documentation, `models:/<name>/<stage>`.
    """
    commit = branch.registry_commit(repo)
    folder = f"{repo.config.registry}/{names.encode_component(check_model(name))}/stages"
    files = {} if commit is None else branch.list_folder(repo, commit, folder)
    known = sorted(file.removesuffix(".yaml") for file, entry in files.items() if not entry.is_tree)
    found = [each for each in known if each == stage] or [each for each in known if each.lower() == stage.lower()]
    versions = _read(repo, commit, f"{folder}/{found[0]}.yaml") if commit is not None and found else []
    if not versions:
        raise StageNotFound(name, stage, [each for each in known if each not in found])
    return get_version(repo, name, max(versions))


def _read(repo: Repository, commit: str, path: str) -> list[int]:
    where = f"{path} at {commit[:7]}"
    versions = Reader(yaml.load(branch.read_file(repo, commit, path) or b"", where), where).take("versions", list) or []
    if not all(type(version) is int and version > 0 for version in versions):
        raise RecordInvalid(where, "`versions` must be a list of whole numbers of 1 or more")
    return versions
