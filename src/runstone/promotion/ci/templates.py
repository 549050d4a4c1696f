"""The files that `runstone init` writes for a CI system, for code owners and for a server's hook, out of templates/.

A file that is there and differs is left alone unless that is asked for: somebody may have changed it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runstone import templates
from runstone.artifacts.store import ArtifactStore
from runstone.errors import RunstoneError, UsageError
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.registry.branch import default_branch
from runstone.registry.people import MAILMAP

System = Literal["github", "gitlab", "jenkins"]

_FILES: Mapping[System, Mapping[str, str]] = {
    "github": {
        ".github/workflows/runstone-check.yml": "github/check.yml",
        ".github/workflows/runstone-register.yml": "github/register.yml",
        ".github/PULL_REQUEST_TEMPLATE/promotion.md": "pull_request.md",
    },
    "gitlab": {
        ".gitlab/runstone.yml": "gitlab/runstone.yml",
        ".gitlab-ci.yml": "gitlab/gitlab-ci.yml",
        ".gitlab/merge_request_templates/Promotion.md": "pull_request.md",
    },
    "jenkins": {"Jenkinsfile": "jenkins/Jenkinsfile"},
}
_OWNERS_FILE = {"github": ".github/CODEOWNERS", "gitlab": ".gitlab/CODEOWNERS", "jenkins": "CODEOWNERS"}
_OWNERS_PLACES = (".github/CODEOWNERS", ".gitlab/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
_BEGIN = "# Runstone: written by `runstone init --codeowners` from registry/*/model.yaml; repeat it when that changes."
_END = "# Runstone: end"
_OWNER = re.compile(r"@[A-Za-z0-9][\w.-]*(/[\w.-]+)*|[\w.+-]+@[\w-]+(\.[\w-]+)+", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_][\w./-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one file.

    Attributes:
        path: Relative to the top of the work tree.
        state: `written`, `same` where it was as it should be, `differs` where it was left alone.
        hint: What to do by hand, if anything.
    """

    path: str
    state: Literal["written", "same", "differs"]
    hint: str = ""


def write_ci(repo: Repository, system: System, *, force: bool = False) -> list[Written]:
    """Write the files of a CI system.

    Args:
        repo: A repository with a work tree.
        system: Which.
        force: Whether to write over files that differ.

    Writes:
        Files in the work tree; nothing is committed.

    Raises:
        UsageError: A bare repository; or a default branch or a registry's folder whose name a CI system would take for
            a pattern.
    """
    top = _work_tree(repo)
    values = {"branch": default_branch(repo), "registry": repo.config.registry, "install": _install(repo, system)}
    for name in ("branch", "registry"):
        if not _PLAIN.fullmatch(values[name]):
            raise UsageError(f"The name {values[name]!r} would be a pattern in the files of a CI system.")
    done = []
    for path, name in _FILES[system].items():
        text = re.sub(r"@(branch|registry|install)@", lambda match: values[match[1]], templates.read(name))
        found = _put(top, path, text, force=force and path != ".gitlab-ci.yml")
        if path == ".gitlab-ci.yml" and found.state == "differs":
            found = _included(top / path)
        done.append(found)
    return done


def write_codeowners(repo: Repository, system: System | None = None) -> Written:
    """Write who owns what of the registry, so that a forge asks them: of each model those that its `owners` name.

    Only accounts, teams and mail addresses count (`@kim`, `@team/ml`, `kim@example.org`): a forge knows no others. A
    file that is there keeps its other lines; ours come last, where they win.

    Args:
        repo: A repository with a work tree.
        system: Whose place for the file to use where there is none yet.

    Writes:
        One part of the CODEOWNERS file in the work tree.

    Raises:
        UsageError: A bare repository.
        RunstoneError: No model names such an owner.
    """
    top, registry = _work_tree(repo), repo.config.registry
    lines, everybody = [], dict[str, None]()
    for file in sorted((top / registry).glob("*/model.yaml")):
        where = file.relative_to(top).as_posix()
        owners = ModelFile.from_document(yaml.load(file.read_bytes(), where), where).owners
        known = [owner for owner in owners if _OWNER.fullmatch(owner)]
        if known:
            folder = f"/{registry}/{_escaped(file.parent.name)}"
            parts = ("stages/", "aliases/", "model.yaml", "policy.yaml")
            lines += [f"{folder}/{part} {' '.join(known)}" for part in parts]
            everybody |= dict.fromkeys(known)
    if not lines:
        raise RunstoneError(
            f"No model of {registry}/ has an owner that a forge knows, such as @kim or @team/ml. Name one: "
            f"`owners: ['@kim']` in {registry}/MODEL/model.yaml"
        )
    rules = (f"/{registry}/policy.yaml", f"/{CONFIG_FILE}", f"/{MAILMAP}")
    block = "\n".join([_BEGIN, *(f"{path} {' '.join(everybody)}" for path in rules), *lines, _END]) + "\n"
    path = next((each for each in _OWNERS_PLACES if (top / each).exists()), _OWNERS_FILE[system or "jenkins"])
    before = (top / path).read_text("utf-8") if (top / path).exists() else ""
    kept = re.sub(rf"(?ms)^{re.escape(_BEGIN)}$.*?^{re.escape(_END)}$\n?", "", before).rstrip("\n")
    return _put(top, path, f"{kept}\n\n{block}" if kept else block, force=True)


def write_guard(repo: Repository, *, force: bool = False) -> Written:
    """Write the pre-receive hook of a bare repository, which refuses what was not reviewed.

    Writes:
        `hooks/pre-receive`.

    Raises:
        UsageError: The repository has a work tree: nobody pushes there.
    """
    if repo.work_tree is not None:
        step = "`runstone --repo REPOSITORY.git init --guard`"
        raise UsageError(f"The guard is for a bare repository that people push to: {step}")
    written = _put(repo.common_dir, "hooks/pre-receive", templates.read("hooks/pre-receive"), force=force)
    if written.state != "differs":
        (repo.common_dir / written.path).chmod(0o755)
    return written


def _work_tree(repo: Repository) -> Path:
    if repo.work_tree is None:
        raise UsageError("This repository is bare, and the files of a CI system are committed. Write them in a clone.")
    return repo.work_tree


def _put(top: Path, path: str, text: str, *, force: bool) -> Written:
    file = top / path
    if file.exists() or file.is_symlink():
        if file.is_file() and file.read_text("utf-8", "replace") == text:
            return Written(path, "same")
        if not force or not file.is_file():
            return Written(path, "differs")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_text(text, "utf-8", newline="\n")
    temporary.replace(file)
    return Written(path, "written")


def _included(file: Path) -> Written:
    """A project's own `.gitlab-ci.yml`: never written over, since `include` is all that it needs."""
    if ".gitlab/runstone.yml" in file.read_text("utf-8", "replace"):
        return Written(file.name, "same")
    return Written(file.name, "differs", "Add to it: `include: [{local: .gitlab/runstone.yml}]`")


def _install(repo: Repository, system: System) -> str:
    """What a job installs: what the DVC remote and the forge need."""
    extras = ["dvc"]
    try:
        remote = ArtifactStore(repo).remote()
    except RunstoneError:  # dvc is not installed here, or its settings are broken: `runstone doctor` tells
        remote = None
    if remote is not None and remote.url.startswith("s3://"):
        extras = ["s3"]
    if system != "jenkins":
        extras.append(system)
    return f"runstone[{','.join(extras)}]"


def _escaped(name: str) -> str:
    r"""A folder's name as CODEOWNERS holds it: `\` before what would be a comment or a pattern."""
    return re.sub(r"([\\ #!\[\]*?])", r"\\\1", name)
