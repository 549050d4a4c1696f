"""Set a repository up: its settings in `runstone.yaml`, its branch of runs, the remote for its artifacts."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runstone.artifacts.config import (
    Place,
    default_remote,
    format_config,
    parse_config,
    public_config,
    public_remotes,
    read_config,
    without_user,
)
from runstone.errors import InvalidValue, UsageError
from runstone.git.process import run_git
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.git.runs.branch import DVC_CONFIG, Draft, read_runs, update_runs
from runstone.records import yaml
from runstone.records.config import SCHEMA, Config

REMOTE_NAME = "storage"
"""What the remote is called that `begin` sets up."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` did.

    Attributes:
        repo: The repository, with the settings as they are now.
        settings_written: Whether `runstone.yaml` was written.
        branch_begun: Whether the branch of runs was begun; it was there if not.
        remote_written: Whether the remote was written to the branch.
    """

    repo: Repository
    settings_written: bool
    branch_begun: bool
    remote_written: bool


def begin(path: str | os.PathLike[str] | None, settings: Mapping[str, str], remote: str | None = None) -> Begun:
    """Set a repository up; what is as asked already stays as it is.

    Args:
        path: A folder in it.
        settings: Top-level keys of `runstone.yaml` that must have these values: `push`, `branch`, `promotion`.
        remote: Where artifacts are pushed to: a folder, or a URL that DVC knows. None leaves the remotes alone.

    Writes:
        `runstone.yaml` in the work tree, if `settings` say something that it does not; comments and other keys stay.
        The branch of runs, one commit if it is not there, and one for the remote.

    Raises:
        UsageError: A bare repository, whose settings lie in its commits; a work tree with a `.dvc`, where DVC's own
            command is the one that adds remotes; a branch name that git does not allow.
        InvalidValue: The URL holds credentials.
    """
    repo = Repository.open(path)
    if remote is not None:
        _refuse_remote(repo, remote)
    written = _write_settings(repo, settings)
    if written:
        repo = Repository.open(path)
    done = {"begun": False, "remote": False}

    def change(draft: Draft) -> None:
        done.update(begun=draft.tip is None, remote=False)
        if draft.tip is None:
            draft.commit({}, "")  # its first files and their commit come by themselves
        if remote is not None:
            config = _with_remote(draft.read(DVC_CONFIG) or b"", _public_url(repo, remote))
            done["remote"] = draft.commit({DVC_CONFIG: config}, "Name the DVC remote of the artifacts") is not None

    update_runs(repo, change)
    return Begun(repo, written, done["begun"], done["remote"])


def set_local_remote(repo: Repository, remote: str) -> Path:
    """Tell this clone alone where the DVC remote is that the others know under another URL, or do not know.

    Args:
        repo: The repository.
        remote: A folder, or a URL that DVC knows.

    Returns:
        The file that says it.

    Writes:
        `dvc.local` in Runstone's folder of the repository.

    Raises:
        UsageError: A work tree with a `.dvc`, where DVC's own command is the one that changes remotes.
    """
    place = Place.find(repo.work_tree, repo.state_dir)
    if place.dvc_dir is not None:
        file = place.dvc_dir / "config"
        text = file.read_text("utf-8", "replace") if file.exists() else ""
        name = default_remote(parse_config(text), public_remotes(text)) or "NAME"
        raise UsageError(
            f"This repository has DVC's own settings in {place.dvc_dir.name}, so this clone is told there: "
            f"`dvc remote modify --local {name} url {remote}`"
        )
    shared = (read_runs(repo).read(DVC_CONFIG) or b"").decode("utf-8", "replace")
    name = default_remote(parse_config(shared), public_remotes(shared)) or REMOTE_NAME
    sections = read_config(place.local_config)
    url = Path(remote).expanduser().resolve().as_posix() if "://" not in remote else remote
    sections.setdefault(f'remote "{name}"', {})["url"] = url
    temporary = repo.writable_state("") / f"{place.local_config.name}.tmp"
    # What stands there already may be secret.
    with open(temporary, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
        opened.write(format_config(sections))
    temporary.replace(place.local_config)
    return place.local_config


def is_relative(remote: str) -> bool:
    """Whether a remote is a folder named as seen from here."""
    return "://" not in remote and not Path(remote).expanduser().is_absolute()


def _write_settings(repo: Repository, settings: Mapping[str, str]) -> bool:
    if not settings:
        return False
    if repo.work_tree is None:
        raise UsageError(
            f"This repository is bare, so its settings lie in `{CONFIG_FILE}` of its commits. Set it up in a clone, "
            "and push from there."
        )
    if "branch" in settings:
        code, _ = run_git(["check-ref-format", f"refs/heads/{settings['branch']}"], cwd=repo.git_dir, allowed=(0, 1))
        if code:
            raise UsageError(f"The branch must be a name git allows, but is {settings['branch']!r}.")
    file = repo.work_tree / CONFIG_FILE
    before = file.read_text(encoding="utf-8") if file.exists() else f"schema: {SCHEMA}\n"
    present = Config.from_document(yaml.load(before, CONFIG_FILE), CONFIG_FILE)
    changed = {key: value for key, value in settings.items() if getattr(present, key) != value}
    if not changed:
        return False
    text = before if before.endswith("\n") else f"{before}\n"
    for key, value in changed.items():
        line = yaml.dump({key: value})
        found = re.search(rf"(?m)^{key}:.*\n", text)
        text = text[: found.start()] + line + text[found.end() :] if found else text + line
    Config.from_document(yaml.load(text, CONFIG_FILE), CONFIG_FILE)
    file.write_text(text, encoding="utf-8")
    return True


def _refuse_remote(repo: Repository, remote: str) -> None:
    place = Place.find(repo.work_tree, repo.state_dir)
    if place.dvc_dir is not None:
        raise UsageError(
            f"This repository has DVC's own settings in {place.dvc_dir.name}, so its remotes are added there: "
            f"`dvc remote add --default {REMOTE_NAME} {remote}`"
        )
    if without_user(remote) != remote:
        raise InvalidValue(
            "The URL holds a user, a password or a signature, and everybody who clones the runs would read it. Leave "
            f"it out, and keep it in {place.local_config} as DVC writes it: `['remote \"{REMOTE_NAME}\"']` and below "
            "it `user = …`, `password = …`."
        )


def _public_url(repo: Repository, remote: str) -> str:
    """A URL or an absolute folder as it is; a relative folder as seen from the configuration, as DVC keeps them."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", remote):
        return remote
    base = Place.find(repo.work_tree, repo.state_dir).base
    folder = Path(remote).expanduser()
    if folder.is_absolute():
        return folder.as_posix()
    return Path(os.path.relpath(folder.absolute(), base)).as_posix()


def _with_remote(config: bytes, url: str) -> str:
    sections = parse_config(config.decode("utf-8", "replace"))
    sections.setdefault("core", {})["remote"] = REMOTE_NAME
    sections[f'remote "{REMOTE_NAME}"'] = {"url": url}
    return public_config(format_config(sections))
