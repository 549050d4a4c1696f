"""Which repository: found from a path, with its odd shapes, its configuration and its settings.

Every other module is handed a `Repository`; nothing below `fluent` has an ambient one.
"""

import copy
import errno
import os
import re
import time
import warnings
from functools import cached_property
from pathlib import Path

from runstone.errors import (
    DiskFull,
    GitFailed,
    NotARepository,
    ReadOnlyRepository,
    RepositoryMoved,
    RunstoneError,
    UsageError,
)
from runstone.git.files import shared_folder_mode
from runstone.git.lock import FileLock, can_lock
from runstone.git.objectlog import ObjectLog
from runstone.git.objects import Objects
from runstone.git.process import run_git
from runstone.git.refs import Refs
from runstone.records.config import Config

CONFIG_FILE = "runstone.yaml"
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"
_CANNOT_WRITE = {errno.EROFS, errno.EACCES, errno.EPERM}


class SettingUnknown(UserWarning):
    """`runstone.yaml` sets something that this version does not know: a newer one's setting, or a misspelt one."""


class Repository:
    """One git repository: bare or not, the main work tree or a linked one, SHA-1 or SHA-256.

    Attributes:
        git_dir: This work tree's git directory.
        common_dir: The directory all work trees share; here lie objects, refs and Runstone's own state.
        work_tree: The top of the work tree; None in a bare repository.
        shallow: Whether history is cut short.
        object_format: `sha1` or `sha256`.
    """

    def __init__(
        self, git_dir: Path, common_dir: Path, work_tree: Path | None, *, object_format: str, shallow: bool
    ) -> None:
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.work_tree = work_tree
        self.object_format = object_format
        self.shallow = shallow

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> "Repository":
        """Find the repository that holds a folder.

        Args:
            path: A folder in a work tree, or a git directory; the current folder if None.

        Raises:
            NotARepository: None holds it.
            GitFailed: git refuses, as with a foreign owner (`safe.directory`): its own advice is shown.
        """
        start = Path(path if path is not None else ".").absolute()
        if not start.is_dir():
            raise NotARepository(start)
        try:
            return cls._ask(start, [])
        except GitFailed as failure:
            if "not a git repository" not in failure.stderr:
                raise
            # Only when nothing is found from the folder itself: a hook's GIT_DIR must not hijack another repository.
            hinted = os.environ.get("GIT_DIR")
            if path is None and hinted:
                tree = os.environ.get("GIT_WORK_TREE")
                try:
                    return cls._ask(start, [f"--git-dir={hinted}", *([f"--work-tree={tree}"] if tree else [])])
                except GitFailed:
                    raise NotARepository(start) from None
            raise _explain_absence(start) from None

    @classmethod
    def _ask(cls, start: Path, options: list[str]) -> "Repository":
        command = [*options, "rev-parse", "--path-format=absolute"]
        questions = ["--show-object-format", "--is-shallow-repository", "--is-bare-repository"]
        folders = ["--git-dir", "--git-common-dir", "--show-toplevel"]
        try:
            _, out = run_git([*command, *questions, *folders], cwd=start)
        except GitFailed as failure:
            if "must be run in a work tree" not in failure.stderr:
                raise
            folders.pop()
            _, out = run_git([*command, *questions, *folders], cwd=start)
        object_format, shallow, bare, *paths = out.decode("utf-8", "surrogateescape").split("\n")[:-1]
        if len(paths) > len(folders):  # a path holds a line feed: ask for each by itself
            answers = [run_git([*command, question], cwd=start)[1] for question in folders]
            paths = [answer.decode("utf-8", "surrogateescape")[:-1] for answer in answers]
        git_dir, common_dir = paths[:2]
        tree = Path(paths[2]) if len(paths) > 2 else None
        if tree is None and bare == "false" and Path(git_dir).name == ".git":
            tree = Path(git_dir).parent  # asked from inside `.git`
        return cls(Path(git_dir), Path(common_dir), tree, object_format=object_format, shallow=shallow == "true")

    def __repr__(self) -> str:
        return f"Repository({str(self.work_tree or self.git_dir)!r})"

    def seen_with(self, config: Config) -> "Repository":
        """The same repository by other settings than those of the work tree: those of a commit, to read it by."""
        seen = copy.copy(self)
        seen.__dict__["config"] = config
        return seen

    @cached_property
    def objects(self) -> Objects:
        """The object database."""
        return Objects(self.git_dir, self.common_dir / "objects", self.object_format, shared=self._shared)

    @cached_property
    def object_log(self) -> ObjectLog:
        """The log that makes objects survive power loss."""
        return ObjectLog(self.state_dir / "journal" / "kept", self.objects)

    @cached_property
    def refs(self) -> Refs:
        """The refs."""
        return Refs(self.git_dir, self.common_dir, self.objects, self.object_log)

    @cached_property
    def _shared(self) -> int:
        """Permission bits that files of the repository must have, by `core.sharedRepository`."""
        value = self.git_config.get("core.sharedrepository", "umask").lower()
        if value in ("umask", "false", "no", "off", "0"):
            return 0
        if re.fullmatch(r"0[0-7]{3}", value):
            return int(value, 8)
        return 0o664 if value in ("all", "world", "everybody", "2") else 0o660

    @cached_property
    def git_config(self) -> dict[str, str]:
        """The configuration of git as it stood when first asked: lower-case `section.name` → last value."""
        _, out = self.git("config", "--list", "-z")
        pairs = (item.partition("\n") for item in out.decode("utf-8", "surrogateescape").split("\0") if item)
        return {key: value for key, _, value in pairs}

    @cached_property
    def config(self) -> Config:
        """The settings in `runstone.yaml`: of the work tree, or of HEAD in a bare repository.

        Raises:
            RecordInvalid: The file breaks its schema.

        Warns:
            SettingUnknown: The file sets what this version does not know.
        """
        text: bytes | None = None
        if self.work_tree is not None:
            try:
                text = (self.work_tree / CONFIG_FILE).read_bytes()
            except FileNotFoundError:
                return Config()
        else:
            found = self.objects.find(f"HEAD:{CONFIG_FILE}")
            if found is None or found[1] != "blob":
                return Config()
            text = found[2]
        from runstone.records import yaml

        config = Config.from_document(yaml.load(text, CONFIG_FILE), CONFIG_FILE)
        if config.unknown:
            names = ", ".join(f"`{name}`" for name in config.unknown[:5])
            text_ = f"{CONFIG_FILE} sets {names}, which this Runstone does not know and does not heed."
            warnings.warn(text_, SettingUnknown, stacklevel=3)
        if run_git(["check-ref-format", f"refs/heads/{config.branch}"], cwd=self.git_dir, allowed=(0, 1))[0]:
            raise UsageError(f"`{CONFIG_FILE}`: `branch` must be a name git allows, but is {config.branch!r}.")
        return config

    @property
    def runs_ref(self) -> str:
        """The full name of the branch that holds the runs."""
        return f"refs/heads/{self.config.branch}"

    def runs_tip(self) -> str | None:
        """The commit that is the branch of runs now: what the remote has of it where a fresh clone has no own yet."""
        return self.refs.read(self.runs_ref) or self.refs.read(f"refs/remotes/origin/{self.config.branch}")

    def head(self) -> str | None:
        """The commit that is checked out, or None before the first one."""
        return self.objects.resolve("HEAD")

    def git(self, *arguments: str, input: bytes | None = None, allowed: tuple[int, ...] = (0,)) -> tuple[int, bytes]:
        """Run git on this repository; see `run_git`."""
        options = [f"--git-dir={self.git_dir}"]
        if self.work_tree is not None:
            options.append(f"--work-tree={self.work_tree}")
        return run_git([*options, *arguments], cwd=self.work_tree or self.git_dir, input=input, allowed=allowed)

    # --- Runstone's own files

    @cached_property
    def state_dir(self) -> Path:
        """`<git-common-dir>/runstone`: journals and the embedded cache. Not made here; see `writable_state`."""
        return self.common_dir / "runstone"

    def writable_state(self, name: str) -> Path:
        """A folder of `state_dir`, made if need be.

        Raises:
            ReadOnlyRepository: It cannot be made.
            DiskFull: There is no room.
        """
        folder = self.state_dir / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._shared:
                for each in (folder, self.state_dir):
                    mode = each.stat().st_mode
                    if mode & self._shared != self._shared:
                        each.chmod(shared_folder_mode(mode, self._shared))
        except OSError as error:
            if error.errno in _CANNOT_WRITE:
                raise ReadOnlyRepository(self.common_dir, str(error.strerror)) from error
            raise DiskFull(folder, str(error.strerror)) from error
        return folder

    def share(self, descriptor: int) -> None:
        """Give an open file the permissions that `core.sharedRepository` asks for."""
        if self._shared:
            os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o7777 | self._shared)

    @cached_property
    def cache_dir(self) -> Path:
        """Where the index and the locks lie: `state_dir`, or a local folder when that cannot be written or locked.

        RUNSTONE_CACHE_DIR names that folder's parent outright; else it is the user's cache directory.
        """
        named = os.environ.get("RUNSTONE_CACHE_DIR")
        if not named and self._is_lockable(self.state_dir):
            return self.state_dir
        base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "runstone"
        import hashlib

        key = hashlib.sha256(str(self.common_dir.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        folder = base / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be made ({error.strerror}), and {self.state_dir} cannot be written or locked. "
                "Name a folder for the index and the locks: `RUNSTONE_CACHE_DIR=DIR`"
            ) from error
        return folder

    @cached_property
    def lock(self) -> FileLock:
        """The lock of those who commit, for fairness only."""
        return FileLock(self.cache_dir / "commit.lock")

    @staticmethod
    def _is_lockable(folder: Path) -> bool:
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            return False
        return os.access(folder, os.W_OK) and can_lock(folder / "commit.lock")

    # --- who writes

    def identity(self, role: str = "committer") -> str:
        """`Name <mail> seconds +zone` for a commit; a fallback where git knows no name."""
        name, mail = self._identities[role]
        now = time.time()
        minutes = round(time.localtime(now).tm_gmtoff / 60)
        sign = "-" if minutes < 0 else "+"
        return f"{name} <{mail}> {int(now)} {sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"

    @cached_property
    def _identities(self) -> dict[str, tuple[str, str]]:
        return {role: self._find_identity(role) for role in ("author", "committer")}

    def _find_identity(self, role: str) -> tuple[str, str]:
        upper = role.upper()
        name = os.environ.get(f"GIT_{upper}_NAME") or self.git_config.get(f"{role}.name")
        mail = os.environ.get(f"GIT_{upper}_EMAIL") or self.git_config.get(f"{role}.email")
        name = name or self.git_config.get("user.name") or "Runstone"
        mail = mail or self.git_config.get("user.email") or os.environ.get("EMAIL") or "runstone@localhost"
        # git's own rule for what may stand in a commit (`strbuf_addstr_without_crud`).
        name, mail = (re.sub(r"[\n<>\0]", "", text).strip(_CRUD) for text in (name, mail))
        return name or "Runstone", mail or "runstone@localhost"

    def close(self) -> None:
        """End the git processes of this repository; it may be used again."""
        for part in ("objects", "refs"):
            if part in self.__dict__:
                self.__dict__[part].close()


def _explain_absence(start: Path) -> RunstoneError:
    """Why no repository holds a folder: mostly there is none; a linked work tree may have lost its own."""
    for folder in (start, *start.parents):
        try:
            text = (folder / ".git").read_text("utf-8", "surrogateescape")
        except OSError:
            continue
        named = text.removeprefix("gitdir: ").strip()
        if text.startswith("gitdir: ") and "/worktrees/" in named and not Path(named).exists():
            return RepositoryMoved(folder, named.partition("/worktrees/")[0])
        break
    return NotARepository(start)
