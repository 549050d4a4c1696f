"""A repository at a URL, read without a clone: the registry's commit, a model's git tags, and bytes by digest.

It is a bare repository for a moment: one commit of the default branch, of the branch of runs and of each version, none
of their files until one is read (git's partial clone). A server that knows no filter sends one commit's files in full.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from runstone import uris
from runstone.errors import GitFailed, RemoteFailed, RemoteModelFailed, RemoteUnreachable
from runstone.git import transport
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.git.stream import hide_credentials
from runstone.registry.keys import find_key
from runstone.registry.numbers import TAGS
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri

_FILTER = ["-c", "protocol.version=2"]


@contextmanager
def distant(url: str, uri: str, near: Path | None = None) -> Iterator[Workspace]:
    """What is needed to resolve one URI in the repository at a URL, while the `with` block lasts.

    Args:
        url: As `git clone` takes it: https, ssh, or a path.
        uri: `models:/…` or `runs:/…`.
        near: An existing folder on whose disk the bytes shall pass; the system's temporary one if None.

    Writes:
        A temporary folder, removed at the end; nothing at the URL.

    Raises:
        RemoteModelFailed: It is no repository, or cannot be reached.
        RemoteFailed: Its bytes lie in a folder that is named relative to each clone.
        InvalidUri: The URI cannot be read.
    """
    parsed = uris.parse_uri(uri)
    shown = hide_credentials(url)
    folder = Path(tempfile.mkdtemp(prefix=".runstone-", dir=near))
    try:
        try:
            repo = _open(url, folder / "repository")
            branch = repo.config.branch
            wanted = [f"+refs/heads/{branch}:refs/heads/{branch}"] if _has(repo, f"refs/heads/{branch}") else []
            if isinstance(parsed, ModelUri):
                key = find_key(repo, parsed.name)
                _warm(repo, f"{repo.config.registry}/{key}")
                # A glob, for a version that is retired has a second tag.
                wanted.append(f"+{TAGS}{key}@v*:{TAGS}{key}@v*")
            if wanted:
                transport.fetch(repo, "origin", wanted, depth=1)
        except (RemoteUnreachable, GitFailed) as error:
            why = error.stderr if isinstance(error, GitFailed) else error.why
            raise RemoteModelFailed(shown, _last_line(hide_credentials(why))) from None
        try:
            yield Workspace(repo)
        except RemoteFailed as error:
            if error.relative is None:
                raise
            step = (
                f"Work in a clone: `git clone {quote(shown)}`; or name the folder in a way that holds everywhere: in a "
                "clone `runstone init --remote URL`, then `runstone sync`"
            )
            why = "its URL is meant relative to each clone, and here is none"
            raise RemoteFailed(error.name, error.relative, why, step) from None
        finally:
            repo.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open(url: str, folder: Path) -> Repository:
    place = Path(url).expanduser()
    source = place.resolve().as_uri() if "://" not in url and place.exists() else url  # a path is cloned whole
    options = ["--bare", "--depth=1", "--filter=tree:0", "--no-tags", "--single-branch", "--quiet", "--template="]
    run_git(
        [*_FILTER, "clone", *options, "--", source, str(folder)],
        cwd=folder.parent,
        env={"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never"},
    )
    return Repository.open(folder)


def _has(repo: Repository, ref: str) -> bool:
    return bool(transport.list_remote(repo, "origin", [ref]))


def _warm(repo: Repository, path: str) -> None:
    """Bring the files of a folder at once, where each would be asked for by itself."""
    _, out = repo.git("ls-tree", "-r", "--object-only", "HEAD", "--", path, allowed=(0, 128))
    oids = out.decode().split()
    if len(oids) > 1 and repo.git_config.get("remote.origin.promisor") == "true":
        # As git itself brings what a partial clone lacks; should it fail, each is brought when it is read.
        options = ["--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin"]
        noop = ["-c", "fetch.negotiationAlgorithm=noop"]
        wanted = "".join(f"{oid}\n" for oid in oids).encode()
        repo.git(*noop, "fetch", "--quiet", "origin", *options, input=wanted, allowed=(0, 1, 128))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return (fatal or lines or ["git gave no reason"])[0].rstrip(".")
