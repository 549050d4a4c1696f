"""The DVC remotes of a repository: objects pushed and pulled by digest, through DVC's own libraries.

The only module that imports dvc, and only when a remote is used. DVC's index of a repository is never built: it reads
every pointer of the checkout (17 s at 5,000 runs), where a transfer by digest costs what it moves.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from runstone.artifacts.cache import Cache
from runstone.artifacts.config import (
    Place,
    default_remote,
    parse_config,
    public_config,
    public_remotes,
    read_config,
    without_user,
)
from runstone.artifacts.copying import in_parallel
from runstone.artifacts.descriptor import DIR, check_digest
from runstone.artifacts.levels import how_to_find, main_urls, shared_config
from runstone.errors import ArtifactMissing, DiskFull, MissingLibrary, RemoteFailed, RemoteNotConfigured, RunstoneError

Progress = Callable[[int, int], None]
"""Called with the number of objects that have been moved, and of all that are to be."""

_BATCH = 256
"""Objects brought before they are verified and named: what an interruption can lose."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_ACCESS_WORDS = ("credential", "forbidden", "access denied", "accessdenied", "accesskey", "signature", "unauthorized")
_NO_BUCKET_WORDS = ("bucket does not exist", "nosuchbucket", "no such bucket")


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one push or pull moved; objects that were there already do not count."""

    count: int
    size: int


class Remote:
    """One DVC remote: a folder, an S3 bucket, or whatever DVC can speak to.

    Attributes:
        name: Its name in DVC's configuration.
        url: Where it is, without credentials.
        shared_url: What the configuration that is shared through git says of that; None if it does not name it.
    """

    def __init__(
        self, name: str, settings: Mapping[str, Any], config: Mapping[str, Any], place: Place, text: str
    ) -> None:
        self.name = name
        self.url = without_user(str(settings["url"]))
        self.shared_url = public_remotes(text).get(name, {}).get("url")
        self._config = config
        self._place = place
        self._public = public_config(text)

    @classmethod
    def open(
        cls, toplevel: Path | None, state_dir: Path, config_text: str | None, name: str | None = None
    ) -> "Remote | None":
        """Find the remote that DVC is configured to use. It is not contacted.

        Where the work tree has a `.dvc`, its configuration holds, with DVC's levels as DVC reads them. Else the one on
        the branch of runs holds, with the user's and the machine's levels below it and `<state_dir>/dvc.local`, the
        place of secrets, above. Settings on the branch that name commands or files of a machine are passed over,
        since other people push it.

        Args:
            toplevel: The top of the work tree; None in a bare repository.
            state_dir: `<git common dir>/runstone`.
            config_text: The content of `.dvc/config` on the branch of runs, if it has one.
            name: Which remote; the default one if None.

        Returns:
            The remote; None if none is configured and none was named.

        Raises:
            MissingLibrary: dvc is not installed.
            RemoteNotConfigured: The one named does not exist, or none of several is the default.
            RemoteFailed: The configuration cannot be read.
        """
        place = Place.find(toplevel, state_dir)
        text = config_text or ""
        if place.dvc_dir is not None:
            try:
                text = (place.dvc_dir / "config").read_text("utf-8")
            except OSError:
                text = ""
        levels = [parse_config(text), *map(read_config, place.files())]
        if name is None and not any(section.startswith("remote") for level in levels for section in level):
            return None  # found without dvc, so that a repository with no remote does not need it
        config = _load(place, text)
        remotes = config["remote"]
        chosen = (name or default_remote({"core": config["core"]}, remotes) or "").lower()
        if chosen not in remotes:
            if name is None and not chosen and not remotes:
                return None
            raise RemoteNotConfigured(chosen or None, sorted(remotes))
        return cls(chosen, remotes[chosen], config, place, text)

    def public_config(self) -> str:
        """Text for `.dvc/config` on the branch of runs, so that plain DVC finds the remote in a clone of it.

        It holds what the configuration that is shared through git says, less the credentials; never what the user or
        the machine adds to it.
        """
        return self._public

    def need_folder(self) -> None:
        """See that the folder that the remote is, if it is one, is there: DVC would make it without a word.

        Raises:
            RemoteFailed: It is not.
        """
        if not self._is_folder:
            return
        folder = Path(self._connection[1])
        try:
            folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            step, url = how_to_find(self._place, self.name, self.shared_url, folder), self.shared_url
            relative = url if url is not None and not Path(url).expanduser().is_absolute() else None
            why = "its folder does not exist"
            raise RemoteFailed(self.name, self.url, why, step, relative=relative) from None
        except OSError:
            return  # what is wrong is told when it is used

    def missing(self, digests: Iterable[str]) -> set[str]:
        """Those of the objects that the remote does not have.

        Raises:
            RemoteFailed: The remote cannot be reached, or refuses.
        """
        wanted = sorted({check_digest(digest) for digest in digests})
        if not wanted:
            return set()
        with self._explained("asked"):
            self._fs.fs.invalidate_cache()
            # DVC's test of a folder re-hashes what is not read-only; being there is all that is asked here. Of other
            # remotes DVC knows whether listing them or asking for each object is cheaper.
            few = len(wanted) <= 32 or self._is_folder
            found = self._odb.list_oids_exists(wanted) if few else self._odb.oids_exist(wanted)
            return set(wanted) - set(found)

    def push(self, digests: Iterable[str], cache: Cache, progress: Progress | None = None) -> Transfer:
        """Send objects that the remote lacks; of a folder (`….dir`) its files first, its listing last.

        Repeating it is safe and cheap, also after an interruption. Each object is verified before it is sent.

        Raises:
            ArtifactMissing: An object is neither on the remote nor in the cache; nothing was sent.
            ArtifactCorrupt: An object in the cache is damaged; nothing was sent.
            RemoteFailed, DiskFull: The remote does not take them.
        """
        wanted = {check_digest(digest) for digest in digests}
        for folder in [d for d in wanted if d.endswith(DIR)]:
            if cache.has(folder):
                wanted.update(entry.md5 for entry in cache.read_dir(folder))
        absent = sorted(self.missing(wanted))
        in_parallel(cache.verify, absent)
        size = sum(cache.size(digest) or 0 for digest in absent)
        files, folders = [d for d in absent if not d.endswith(DIR)], [d for d in absent if d.endswith(DIR)]
        count = _Counter(progress, len(absent))
        for group in (files, folders):
            if group:
                self._send(group, cache, count)
        return Transfer(len(absent), size)

    def pull(
        self, digests: Iterable[str], cache: Cache, progress: Progress | None = None, *, expand: bool = True
    ) -> Transfer:
        """Bring objects that the cache lacks, each verified before it is taken in.

        Args:
            digests: What to bring; the listings of folders (`….dir`) come first.
            cache: Where to.
            progress: Told of each object.
            expand: Whether to bring the files of the folders too, not the listings alone.

        Raises:
            ArtifactMissing: The remote lacks one.
            ArtifactCorrupt: What the remote holds is not what its name says; it was not taken in.
            RemoteFailed: The remote cannot be reached, or refuses.
            DiskFull: The cache has no room.
        """
        wanted = {check_digest(digest) for digest in digests}
        folders = sorted(d for d in wanted if d.endswith(DIR))
        files = wanted.difference(folders)
        need = [d for d in folders if not cache.has(d)]
        if need or not all(map(cache.has, files)):
            self.need_folder()
        count = _Counter(progress, len(need))
        size = self._bring(need, cache, count)
        if expand:
            files.update(entry.md5 for folder in folders for entry in cache.read_dir(folder))
        need_files = sorted(d for d in files if not cache.has(d))
        count.add(len(need_files))
        size += self._bring(need_files, cache, count)
        return Transfer(len(need) + len(need_files), size)

    def delete(self, digests: Sequence[str]) -> None:
        """Remove objects that are there; use `removal.remove_remote`, which knows the order."""
        with self._explained("written"):
            self._fs.remove([self._odb.oid_to_path(check_digest(digest)) for digest in digests])

    @cached_property
    def _connection(self) -> tuple[Any, str, Mapping[str, Any]]:
        """DVC's file system, the path of the remote on it, and the remote's settings."""
        from dvc.fs import get_cloud_fs
        from dvc_objects.fs.errors import RemoteMissingDepsError

        with self._explained("opened"):
            try:
                made, settings, path = get_cloud_fs(self._config, name=self.name)
                if settings.get("worktree") or settings.get("version_aware"):
                    raise RemoteFailed(
                        self.name,
                        self.url,
                        "it keeps files under their own names (`version_aware`), and artifacts go by digest",
                        "Add another: `dvc remote add --default NAME URL`",
                    )
                return made(**settings), path, settings
            except (RemoteMissingDepsError, ImportError) as error:
                scheme = self.url.partition("://")[0]
                extra = "runstone[s3]" if scheme == "s3" else f"dvc[{scheme}]"
                raise MissingLibrary(f"dvc-{scheme}", f"use the remote {self.url}", f"'{extra}'") from error

    @property
    def _fs(self) -> Any:
        return self._connection[0]

    @cached_property
    def _odb(self) -> Any:
        from dvc_data.hashfile.db import get_odb

        fs, path, settings = self._connection
        return get_odb(fs, fs.join(path, "files", "md5"), hash_name="md5", **settings)

    @property
    def _is_folder(self) -> bool:
        return bool(self._fs.protocol == "local")

    def _send(self, digests: Sequence[str], cache: Cache, count: "_Counter") -> None:
        from dvc.fs import generic, localfs

        sources = {str(cache.path(digest)): digest for digest in digests}
        failures: list[tuple[str, BaseException]] = []
        with self._explained("written"):
            if self._is_folder:
                # Not `odb.add`: on Linux it tries a reflink first, which empties what another clone has put there by
                # now and, where the disk has no reflinks, removes it, until the copy that follows is done.
                paths = [self._odb.oid_to_path(digest) for digest in digests]
                generic.copy(
                    localfs,
                    list(sources),
                    self._fs,
                    paths,
                    callback=count.callback(),
                    on_error=lambda source, _, error: failures.append((sources[source], error)),
                )
            else:
                self._odb.add(
                    list(sources),
                    localfs,
                    list(digests),
                    check_exists=False,
                    batch_size=self._fs.jobs,
                    callback=count.callback(),
                    on_error=lambda digest, error: failures.append((digest, error)),
                )
            for digest, error in failures:
                raise _Failed(digest) from error
            if self._is_folder:
                for path in paths:
                    self._odb.protect(path)
                # The branch that names these bytes is pushed next; on this disk, they are to be there first.
                Cache(Path(self._connection[1])).sync(digests)

    def _bring(self, digests: Sequence[str], cache: Cache, count: "_Counter") -> int:
        if not digests:
            return 0
        from dvc.fs import generic, localfs

        size = 0
        for start in range(0, len(digests), _BATCH):
            batch = digests[start : start + _BATCH]
            failures: dict[str, BaseException] = {}
            with cache.temporaries(len(batch)) as names, self._explained("read", cache):
                names_of = dict(zip(names, batch, strict=True))
                sources = [self._odb.oid_to_path(digest) for digest in batch]
                generic.transfer(
                    self._fs,
                    sources,
                    localfs,
                    list(names),
                    batch_size=self._fs.jobs,
                    callback=count.callback(),
                    on_error=lambda _, name, error: failures.setdefault(name, error),  # noqa: B023 - called in this turn
                )
                for name, error in failures.items():
                    raise _Failed(names_of[name]) from error
                size += sum(in_parallel(lambda pair: self._adopt(cache, *pair), list(names_of.items())))
        return size

    def _adopt(self, cache: Cache, name: str, digest: str) -> int:
        where = f"The object {self._odb.oid_to_path(digest)} on the remote `{self.name}`"
        step = f"Remove it there, then push it again from a clone that has it: `runstone artifacts push -r {self.name}`"
        return cache.adopt(name, digest, where, step)

    @contextmanager
    def _explained(self, done: str, cache: Cache | None = None) -> Iterator[None]:
        """Turn what DVC and the libraries below it raise into an error that says what to do."""
        try:
            yield
        except RunstoneError:
            raise
        except Exception as raised:
            digest = raised.digest if isinstance(raised, _Failed) else None
            error = raised.__cause__ if isinstance(raised, _Failed) and raised.__cause__ else raised
            raise self._explain(error, digest, done, cache) from error

    def _explain(self, error: BaseException, digest: str | None, done: str, cache: Cache | None) -> RunstoneError:
        text = " ".join(str(error).split()) or type(error).__name__
        words = f"{type(error).__name__} {text}".lower()
        again = (
            f"Then run it again; what was moved stays moved: `runstone artifacts {'pull' if cache else 'push'} --all`"
        )
        if isinstance(error, OSError) and error.errno in _NO_ROOM and (cache is not None or self._is_folder):
            return DiskFull(cache.root if cache is not None else Path(self.url), error.strerror or text)
        if any(word in words for word in _NO_BUCKET_WORDS):
            return self._failed(
                "its bucket does not exist",
                f"Make it, or correct the URL: `dvc remote modify {self.name} url URL`. {again}",
            )
        if isinstance(error, PermissionError) or any(word in words for word in _ACCESS_WORDS):
            hint = "Give it credentials that may do so, in the environment or with `dvc remote modify --local`."
            return self._failed(f"it could not be {done}, access was refused ({text})", f"{hint} {again}")
        if isinstance(error, FileNotFoundError) and digest is not None and cache is not None:
            step = "Push it from a clone that has it: `runstone artifacts push --all`"
            return ArtifactMissing(digest, f"the remote `{self.name}` ({self.url})", step)
        return self._failed(
            f"it could not be {done} ({text})",
            f"See that it can be reached and that its URL is right: `dvc remote list`. {again}",
        )

    def _failed(self, why: str, step: str) -> RemoteFailed:
        return RemoteFailed(self.name, self.url, why, step)


class _Failed(Exception):
    """The transfer of one object failed; the cause says why."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(digest)


class _Counter:
    """Counts objects over several transfers and tells the caller."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, total: int) -> None:
        self._total += total

    def callback(self) -> Any:
        """A callback as fsspec takes them, told of each object."""
        from dvc.fs import Callback

        counter = self

        class Objects(Callback):  # type: ignore[misc]  # fsspec has no types
            def relative_update(self, inc: int = 1) -> None:
                counter._done += inc
                if counter._progress is not None:
                    counter._progress(counter._done, counter._total)

        return Objects()


def _load(place: Place, text: str) -> Mapping[str, Any]:
    """DVC's configuration, all levels merged and checked by DVC."""
    try:
        from dvc.config import Config, ConfigError
    except ImportError as error:
        raise MissingLibrary("dvc", "push and pull artifacts", "'runstone[dvc]'") from error

    local = read_config(place.local_config)
    loaded: Mapping[str, Any]
    try:
        if place.dvc_dir is None:
            loaded = Config(config=shared_config(place, text, local))
        else:
            loaded = Config(dvc_dir=str(place.dvc_dir), local_dvc_dir=str(place.local_config.parent))
    except ConfigError as error:
        where = place.dvc_dir / "config" if place.dvc_dir is not None else place.local_config
        raise RemoteFailed("?", str(where), f"it cannot be used: {error}", "See it: `dvc config --list`") from error
    for name, settings in main_urls(place, text, local).items():
        loaded["remote"][name].update(settings)
    return loaded
