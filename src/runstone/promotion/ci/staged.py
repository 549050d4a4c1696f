"""What a commit is about to hold, looked at before it is made: secrets, large files, stages moved by hand.

It is advice for whoever commits. A hook can be left out, so it is CI and the server that enforce.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.process import run_git
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.rules.settings import guards_less
from runstone.records import yaml
from runstone.records.config import Config
from runstone.registry.branch import default_branch
from runstone.registry.layout import parse_path
from runstone.registry.people import MAILMAP
from runstone.tracking.secrets import Redactor

_MOST_TEXT = 5_000_000
# In these an assignment is a value; in code `token = read_token()` is none.
_SETTINGS = (".env", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".json", ".properties", ".tfvars")
_SETTING = re.compile(
    r"\s*(?:-\s+)?(?:export\s+)?[\"']?(?P<key>[\w.-]{1,100}+)[\"']?\s{0,4}[:=](?P<value>[^,\n]{1,1000})"
)
_PLACEHOLDER = re.compile(
    r"[$<{%!*|>].*|x+|\.{3}|(your|my|the)[-_ ].*|change[-_ ]?me|example.*|null|none|true|false|\d{1,3}", re.I
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """One line of one file that looks like a secret."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Large:
    """One large file."""

    path: str
    size: int


def find_secrets(repo: Repository, paths: Iterable[Path]) -> list[Suspect]:
    """Lines of files that look like secrets: what the project's rules for recording redact.

    In code only what is secret by its shape counts (keys and tokens of known services, passwords in URLs); in files of
    settings also the values of keys such as `password`. Placeholders such as `${TOKEN}` are none.

    Args:
        repo: The repository, whose `runstone.yaml` may add patterns or allow some.
        paths: Files; those that are not text are passed over.
    """
    rules = repo.config.secrets
    by_shape = Redactor((r"(?!)",), rules.values, rules.allow)
    by_key = Redactor(rules.keys, rules.values, rules.allow)
    found = []
    for path in paths:
        text = _read_text(path)
        lines = {text.count("\n", 0, text.find(secret)) + 1 for secret in by_shape.secrets([], {"text": text})}
        if path.name.startswith(".env") or path.suffix.lower() in _SETTINGS:
            lines |= set(_secret_settings(by_key, text))
        found += [Suspect(path.as_posix(), line) for line in sorted(lines)]
    return found


def find_large(repo: Repository, paths: Iterable[Path], most: int) -> list[Large]:
    """Files that git would keep for ever and that are larger than so many bytes.

    What counts is what is staged, so that a pointer of Git LFS counts as small as it is; of a file that is not staged,
    its own size.
    """
    found = []
    for path in paths:
        size = _staged_size(repo, path)
        if size is None and path.is_file() and not path.is_symlink():
            size = path.stat().st_size
        if size is not None and size > most:
            found.append(Large(path.as_posix(), size))
    return found


def find_unreviewed(repo: Repository) -> list[str]:
    """The staged files that move stages, aliases or the policy by hand, on the default branch of a project that reviews
    such changes; also `.mailmap`, and `runstone.yaml` where it would end the reviews, or cannot be read. None during a
    merge, or elsewhere, where it is a proposal.
    """
    head = repo.head()
    if head is None or (repo.git_dir / "MERGE_HEAD").exists():
        return []
    try:
        config = _config(repo, "HEAD")
    except (RecordInvalid, NewerFormat):
        return []  # nobody can tell, and whoever commits may be about to mend it
    code, out = repo.git("symbolic-ref", "--quiet", "--short", "HEAD", allowed=(0, 1))
    if config.promotion != "review" or code or out.decode("utf-8", "surrogateescape").strip() != default_branch(repo):
        return []
    paths = ["--", CONFIG_FILE, MAILMAP, config.registry]
    options = ["--cached", "--name-only", "--no-renames", "-z"]
    _, out = _git(repo, "--literal-pathspecs", "diff", *options, head, *paths, allowed=(0,))
    found = []
    for path in filter(None, out.decode("utf-8", "surrogateescape").split("\0")):
        place = parse_path(config.registry, path)
        if path == CONFIG_FILE:
            try:
                is_weaker = guards_less(config, _config(repo, ""))
            except (RecordInvalid, NewerFormat):
                is_weaker = True
            if is_weaker:
                found.append(path)
        elif path in (MAILMAP, config.registry) or (place is not None and place.kind in ("stage", "alias", "policy")):
            found.append(path)
    return found


def _config(repo: Repository, revision: str) -> Config:
    """The settings in a commit, or, by the empty name, in the index."""
    # By a process of its own: one that goes on would not see the index change.
    code, text = _git(repo, "cat-file", "blob", f"{revision}:{CONFIG_FILE}")
    return Config() if code else Config.from_document(yaml.load(text, CONFIG_FILE), CONFIG_FILE)


def _read_text(path: Path) -> str:
    """A file as text; empty if it is none, or too large to be written by hand."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_TEXT:
            return ""
        data = path.read_bytes()
    except OSError:
        return ""
    return "" if b"\0" in data[:8192] else data.decode("utf-8", "replace")


def _secret_settings(redactor: Redactor, text: str) -> Iterator[int]:
    """The lines that set what is secret by its name."""
    for number, line in enumerate(text.split("\n"), 1):
        match = _SETTING.match(line)
        value = match["value"].strip().strip("\"'") if match else ""
        if match and value and not _PLACEHOLDER.fullmatch(value) and redactor.secrets([], {match["key"]: value}):
            yield number


def _staged_size(repo: Repository, path: Path) -> int | None:
    if repo.work_tree is None:
        return None
    try:
        inside = path.absolute().relative_to(repo.work_tree).as_posix()
    except ValueError:
        return None
    code, out = _git(repo, "cat-file", "-s", f":0:{inside}")
    return int(out) if code == 0 else None


def _git(repo: Repository, *arguments: str, allowed: tuple[int, ...] = (0, 128)) -> tuple[int, bytes]:
    """Run git on what is about to be committed: by `git commit -a` that stands in an index of its own."""
    index = os.environ.get("GIT_INDEX_FILE")
    env = {"GIT_INDEX_FILE": os.path.abspath(index)} if index else None  # noqa: PTH100  # it may not exist
    cwd = repo.work_tree or repo.git_dir
    return run_git([f"--git-dir={repo.git_dir}", *arguments], cwd=cwd, env=env, allowed=allowed)
