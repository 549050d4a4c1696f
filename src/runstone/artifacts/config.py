"""DVC's configuration read without DVC: where the cache is, and which remotes may be told to everybody.

The path of a log call asks for the cache, so nothing heavy is imported here. DVC's own reader is ConfigObj; the subset
that `dvc config` and `dvc remote` write is read alike, which a test compares.
"""

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runstone.artifacts.cache import Cache

Sections = dict[str, dict[str, str]]
"""Lower-case section (`core`, `cache`, `remote "name"`) → lower-case key → value."""

_REMOTE = re.compile(r'remote\s*"(.*)"')

# What a remote's section may hold when everybody reads it, or when it was written by others. A list of what is allowed,
# not of what is not: a setting that a later DVC adds may be a secret. Settings that name files or commands of a machine
# (`keyfile`, `configpath`, `bearer_token_command`) are left out too: pushed by others, they would run here.
_PUBLIC = frozenset(
    "account_name acl allow_anonymous_login auth checksum_jobs connect_timeout connection_timeout endpointurl jobs "
    "method oss_endpoint port projectname read_timeout region replication shared slow_link_warning sse sse_kms_key_id "
    "tenant_id timeout type url use_https use_ssl verify version_aware worktree".split()
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where DVC's settings for one repository lie.

    Attributes:
        own: The folder `.dvc` at the top of this work tree, if there is one.
        main: That of the main work tree; the same as `own` unless this work tree is linked to it.
        base: What the relative paths in the configuration on the branch of runs are relative to.
        state_dir: Runstone's folder in the git directory.
    """

    own: Path | None
    main: Path | None
    base: Path
    state_dir: Path

    @classmethod
    def find(cls, toplevel: Path | None, state_dir: Path) -> "Place":
        """Look for `.dvc` at the top of the work tree, and of the main one if this one is linked.

        Only there, and not in folders between: where a run's bytes go must not depend on where it was started.
        """
        common = state_dir.parent
        own, main = toplevel, toplevel
        if toplevel is not None and _is_linked(toplevel):
            main = common.parent if common.name == ".git" else None
        return cls(_dvc_dir(own), _dvc_dir(main), (main or toplevel or common) / ".dvc", state_dir)

    @property
    def dvc_dir(self) -> Path | None:
        """The folder whose `config` tells the remotes; None where DVC is not set up."""
        return self.own or self.main

    @property
    def local_config(self) -> Path:
        """The settings of this machine, where secrets are kept; never in git."""
        if self.dvc_dir is None:
            return self.state_dir / "dvc.local"
        local = self.dvc_dir / "config.local"
        if self.main is None or local.exists():
            return local
        return self.main / "config.local"  # git does not bring it into a linked work tree

    def files(self) -> Iterator[Path]:
        """The configuration files, the one that decides first."""
        yield self.local_config
        if self.dvc_dir is not None:
            yield self.dvc_dir / "config"
        yield _user_dir() / "config"
        yield _system_dir() / "config"


def cache_root(toplevel: Path | None, state_dir: Path) -> Path:
    """The folder of `find_cache`."""
    return find_cache(toplevel, state_dir).root


def find_cache(toplevel: Path | None, state_dir: Path) -> Cache:
    """The cache that DVC uses for this repository, or else the embedded one in the git directory.

    All work trees of a repository share one: a linked work tree may be removed, and the runs stay. What was logged
    before DVC was set up is still read from the embedded one.

    Args:
        toplevel: The top of the work tree; None in a bare repository.
        state_dir: `<git common dir>/runstone`.
    """
    place, embedded = Place.find(toplevel, state_dir), state_dir / "cache"
    root, shared = None, ""
    for file in place.files():
        section = read_config(file).get("cache", {})
        if root is None and section.get("dir"):
            folder = place.main if file.parent == place.own and place.main else file.parent
            root = Path(os.path.normpath(folder / Path(section["dir"]).expanduser()))
        shared = shared or section.get("shared", "")
    if root is None:
        root = place.main / "cache" if place.main is not None else embedded
    return Cache(root, shared=shared.lower() == "group", fallback=embedded if root != embedded else None)


def public_config(text: str) -> str:
    """The part of a `.dvc/config` that everybody may read: the remotes without credentials.

    Relative folders are kept as they are, so that a clone of the branch of runs beside this repository finds them.

    Args:
        text: A `.dvc/config`: of the work tree, or of the branch of runs.

    Returns:
        Text as DVC writes it; empty if there is no remote.
    """
    sections: Sections = {}
    remotes = public_remotes(text)
    default = default_remote(parse_config(text), remotes)
    if default is not None:
        sections["core"] = {"remote": default}
    for name, settings in remotes.items():
        sections[f'remote "{name}"'] = settings
    return format_config(sections)


def public_remotes(text: str) -> dict[str, dict[str, str]]:
    """The remotes in a `.dvc/config`, by name, each with the settings that everybody may read or may have written."""
    remotes = {}
    for section, settings in parse_config(text).items():
        match = _REMOTE.fullmatch(section)
        if match and settings.get("url"):
            remotes[match[1]] = {key: without_user(value) for key, value in settings.items() if key in _PUBLIC}
    return remotes


def default_remote(sections: Mapping[str, Mapping[str, str]], names: Collection[str]) -> str | None:
    """The remote that is meant when none is named: `core.remote`, or the only one."""
    named = sections.get("core", {}).get("remote", "").lower()
    if named:
        return named
    return next(iter(names)) if len(names) == 1 else None


def without_user(url: str) -> str:
    """A URL without user and password, and a web address without its query, where signatures stand; else as it is."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        return url
    from urllib.parse import urlsplit, urlunsplit  # slow to import, and seldom needed

    parts = urlsplit(url)
    query, fragment = (parts.query, parts.fragment) if parts.scheme == "s3" else ("", "")  # there, part of a key
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, fragment))


def read_config(file: Path) -> Sections:
    """The sections of a configuration file; none if there is no such file."""
    try:
        return parse_config(file.read_text("utf-8", "replace"))
    except OSError:
        return {}


def parse_config(text: str) -> Sections:
    """Read the text of a DVC configuration; what is no section and no `key = value` is passed over."""
    sections: Sections = {}
    section: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        key, found, value = line.partition("=")
        if line.startswith("["):
            name = _unquote(line[1:].rpartition("]")[0].strip())
            section = sections.setdefault(name.lower(), {})
        elif found and not line.startswith("#"):
            section[_unquote(key.strip()).lower()] = _unquote(value.strip())
    return sections


def format_config(sections: Mapping[str, Mapping[str, str]]) -> str:
    """Write a DVC configuration; the inverse of `parse_config`, as `dvc config` writes it."""
    lines = []
    for section, settings in sections.items():
        lines.append(f"[{_quote(section)}]")
        lines += [f"    {key} = {_quote(value)}" for key, value in settings.items()]
    return "".join(f"{line}\n" for line in lines)


def _is_linked(toplevel: Path) -> bool:
    """Whether a work tree is one that `git worktree add` made: its `.git` is a file that says so."""
    try:
        return "/worktrees/" in (toplevel / ".git").read_text("utf-8", "replace")
    except OSError:
        return False


def _dvc_dir(top: Path | None) -> Path | None:
    return top / ".dvc" if top is not None and (top / ".dvc").is_dir() else None


def _quote(text: str) -> str:
    text = text.replace("\n", " ").replace("\r", " ")
    if text and text == text.strip() and not any(c in "'\"#," for c in text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def _unquote(text: str) -> str:
    """The value in its quotes, or up to a comment."""
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 else text[1:]
    return text.partition("#")[0].rstrip()


def _user_dir() -> Path:
    """Where DVC keeps the settings of a user.

    Source: platformdirs, which DVC asks; tests/artifacts/test_config.py compares.
    """
    if named := os.environ.get("DVC_GLOBAL_CONFIG_DIR"):
        return Path(named)
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/dvc").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "iterative" / "dvc"
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "dvc"


def _system_dir() -> Path:
    """Where DVC keeps the settings of a machine; source as `_user_dir`."""
    if named := os.environ.get("DVC_SYSTEM_CONFIG_DIR"):
        return Path(named)
    if sys.platform == "darwin":
        return Path("/Library/Application Support/dvc")
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", "C:/ProgramData")) / "iterative" / "dvc"
    return Path((os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0]) / "dvc"
