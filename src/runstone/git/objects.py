"""Read and write git objects in process.

Writing: loose objects, straight from Python, because a run is ten small ones and a git process each would
cost ten times as much. Reading: one long-lived `git cat-file --batch`, which knows packs, alternates and
replacements. Both were measured against the native libraries before this was chosen: as fast when warm, four
times faster cold.
"""

import re
import subprocess
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from runstone.errors import GitFailed, ObjectMissing
from runstone.git import forks
from runstone.git.files import freshen, sync_file, write_object_file
from runstone.git.process import Conversation, clean_environment

FILE = "100644"
DIRECTORY = "40000"
_LARGE = 256 * 1024
_KEPT = 64
"""Commits that are remembered."""

_match_id = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}").fullmatch


class TreeEntry(NamedTuple):  # a tuple, as are most values of git: they are made by the thousand
    """One name in a tree: git's mode, and the object it names."""

    mode: str
    oid: str

    @property
    def is_tree(self) -> bool:
        """Whether the entry is a folder."""
        return self.mode == DIRECTORY

    @property
    def is_file(self) -> bool:
        """Whether it is neither a folder nor a link nor a submodule, whose object is elsewhere."""
        return self.mode.startswith("100")


class Commit(NamedTuple):
    """What Runstone reads of a commit."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    message: str


def is_object_id(text: str) -> bool:
    """Whether a text is spelled as a full object id, of either hash: then git takes it for nothing else."""
    return _match_id(text) is not None


class Objects:
    """The object database of one repository."""

    def __init__(self, git_dir: Path, objects_dir: Path, algorithm: str, *, shared: int = 0) -> None:
        """Use `Repository.objects`.

        Args:
            git_dir: The git directory to ask git about.
            objects_dir: Where loose objects lie.
            algorithm: `sha1` or `sha256`.
            shared: Permission bits that all files must have (`core.sharedRepository`); 0 leaves it to the umask.
        """
        self._dir = objects_dir
        self._shared = shared
        self._algorithm = algorithm
        self._raw_length = 32 if algorithm == "sha256" else 20
        self._git_dir = git_dir
        self._reader = Conversation([f"--git-dir={git_dir}", "cat-file", "--batch"], cwd=git_dir)
        self._trees: dict[str, Mapping[str, TreeEntry]] = {}
        self._lock = threading.Lock()
        self._unsynced: dict[str, bytes] = {}
        self._logged: set[str] = set()
        self._commits: dict[str, Commit] = {}
        self.zero = "0" * (2 * self._raw_length)
        forks.watch(self)

    def is_id(self, text: str) -> bool:
        """Whether a text is spelled as a full id of this repository's hash."""
        return len(text) == len(self.zero) and is_object_id(text)

    # --- reading

    def read(self, name: str) -> tuple[str, str, bytes]:
        """An object by id or any revision: its id, kind (`blob`, `tree`, `commit`, `tag`) and content.

        Raises:
            ObjectMissing: There is no such object.
        """
        found = self._ask(name)
        if found is None:
            raise ObjectMissing(name)
        return found

    def find(self, name: str) -> tuple[str, str, bytes] | None:
        """As `read`, or None when there is no such object."""
        return self._ask(name)

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision leads to, or None."""
        found = self._ask(f"{revision}^{{commit}}")
        if found is None:
            return None
        self._keep(found[0], found[2])
        return found[0]

    def knows_commit(self, oid: str) -> bool:
        """Whether an object is remembered as a commit, so that git need not be asked."""
        return oid in self._commits

    def blob(self, oid: str) -> bytes:
        """The content of a blob."""
        return self.read(oid)[2]

    def commit(self, name: str) -> Commit:
        """A commit by id or revision."""
        kept = self._commits.get(name)  # a tip is resolved, and then read, by several who need it
        if kept is not None:
            return kept
        oid, _, data = self.read(f"{name}^{{commit}}")
        return self._keep(oid, data)

    def tree(self, oid: str) -> Mapping[str, TreeEntry]:
        """The entries of a tree by name; cached, so not to be changed."""
        entries = self._trees.get(oid)
        if entries is None:
            _, kind, data = self.read(oid)
            if kind != "tree":
                raise ObjectMissing(f"{oid} (a {kind} where a tree must be)")
            entries = self._parse_tree(data)
            self._remember(oid, entries)
        return entries

    def entry(self, tree: str, path: str) -> TreeEntry | None:
        """What `path` names below a tree, or None."""
        entry = TreeEntry(DIRECTORY, tree)
        for part in path.split("/"):
            if not entry.is_tree:
                return None
            found = self.tree(entry.oid).get(part)
            if found is None:
                return None
            entry = found
        return entry

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The contents of many objects, in order, through one git process of its own.

        Raises:
            ObjectMissing: One of them is not there.
        """
        wanted = list(oids)
        if not wanted:
            return
        command = ["git", f"--git-dir={self._git_dir}", "cat-file", "--batch", "--buffer"]
        process = subprocess.Popen(
            command,
            cwd=self._git_dir,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        feeder = threading.Thread(target=_feed, args=(process.stdin, wanted), daemon=True)
        feeder.start()
        try:
            for oid in wanted:
                answer = _read_answer(process.stdout)
                if answer is None:
                    raise ObjectMissing(oid)
                yield oid, answer[2]
        finally:
            process.stdout.close()
            feeder.join()
            process.wait()

    def _keep(self, oid: str, data: bytes) -> Commit:
        if len(self._commits) >= _KEPT:
            self._commits = {}
        commit = self._commits[oid] = parse_commit(oid, data)
        return commit

    def _ask(self, name: str) -> tuple[str, str, bytes] | None:
        if not name or "\n" in name or "\0" in name:
            return None
        try:
            answer = self._reader.ask(name.encode("utf-8", "surrogateescape") + b"\n", _missing)
        except GitFailed as failure:
            # A torn object makes git give up.
            raise ObjectMissing(f"{name} ({failure.stderr})") from failure
        at = answer.index(b"\n") + 1
        found = _parse_header(answer[:at])
        return None if found is None else (found[0], found[1], bytes(answer[at:-1]))

    def _parse_tree(self, data: bytes) -> dict[str, TreeEntry]:
        entries = {}
        at = 0
        while at < len(data):
            space = data.index(b" ", at)
            end = data.index(b"\0", space)
            oid = data[end + 1 : end + 1 + self._raw_length].hex()
            name = data[space + 1 : end].decode("utf-8", "surrogateescape")
            entries[name] = TreeEntry(data[at:space].decode(), oid)
            at = end + 1 + self._raw_length
        return entries

    def _remember(self, oid: str, entries: Mapping[str, TreeEntry]) -> None:
        with self._lock:
            if len(self._trees) > 2048:
                for old in list(self._trees)[:1024]:
                    self._trees.pop(old, None)
            self._trees[oid] = entries

    # --- writing

    def write(self, kind: str, data: bytes) -> str:
        """Write an object unless it is there; returns its id.

        Writes:
            `objects/xx/…` of the repository. Small ones are not synced yet: `ObjectLog.write` does that for all of them
            at once, before a ref names them.

        Raises:
            DiskFull: There is no room.
            ReadOnlyRepository: The repository cannot be written.
        """
        import hashlib  # here: whoever only reads, which has to be quick, does not wait for OpenSSL

        content = f"{kind} {len(data)}\0".encode() + data
        oid = hashlib.new(self._algorithm, content, usedforsecurity=False).hexdigest()
        path = f"{self._dir}/{oid[:2]}/{oid[2:]}"
        is_there = freshen(path)
        if is_there and oid in self._logged:
            return oid
        packed = zlib.compress(content, 1)
        is_large = len(packed) > _LARGE
        if not is_there:
            write_object_file(path, packed, shared=self._shared, sync=is_large)
        elif is_large:
            sync_file(path)
        if not is_large:
            with self._lock:
                self._unsynced[oid] = packed
        return oid

    def unsynced(self) -> dict[str, bytes]:
        """The objects written, or found, that are in no log yet: id → compressed content."""
        with self._lock:
            return dict(self._unsynced)

    def note_logged(self, oids: Iterable[str]) -> None:
        """A synced log holds these objects now."""
        with self._lock:
            for oid in oids:
                self._unsynced.pop(oid, None)
                self._logged.add(oid)
            if len(self._logged) > 20_000:
                self._logged.clear()

    def restore(self, oid: str, packed: bytes) -> bool:
        """Put an object back as a log holds it, unless it is there whole; returns whether it was not."""
        path = self.path(oid)
        try:
            if path.read_bytes() == packed:
                return False
        except FileNotFoundError:
            if self._is_readable(oid):
                return False  # packed meanwhile
        write_object_file(str(path), packed, shared=self._shared, sync=True)
        return True

    def _is_readable(self, oid: str) -> bool:
        try:
            return self._ask(oid) is not None
        except ObjectMissing:
            return False

    def write_tree(self, entries: Mapping[str, TreeEntry]) -> str:
        """Write a tree from its entries, in git's order."""
        rows = []
        for name, entry in entries.items():
            raw = name.encode("utf-8", "surrogateescape")
            rows.append((raw + b"/" if entry.is_tree else raw, entry.mode.encode(), raw, bytes.fromhex(entry.oid)))
        rows.sort()
        oid = self.write("tree", b"".join(b"%s %s\0%s" % row[1:] for row in rows))
        self._remember(oid, entries)
        return oid

    def update_tree(self, tree: str | None, changes: Mapping[str, TreeEntry | None]) -> str | None:
        """A tree with some paths put or removed; folders are made and, when empty, dropped.

        Args:
            tree: The tree to begin from; None for an empty one.
            changes: Path to entry; None removes.

        Returns:
            The new tree's id; None when nothing is left in it.
        """
        entries = dict(self.tree(tree)) if tree else {}
        below: dict[str, dict[str, TreeEntry | None]] = {}
        for path, entry in changes.items():
            head, _, rest = path.partition("/")
            if rest:
                below.setdefault(head, {})[rest] = entry
            elif entry is None:
                entries.pop(head, None)
            else:
                entries[head] = entry
        for head, inner in below.items():
            old = entries.get(head)
            new = self.update_tree(old.oid if old is not None and old.is_tree else None, inner)
            if new is None:
                entries.pop(head, None)
            else:
                entries[head] = TreeEntry(DIRECTORY, new)
        return self.write_tree(entries) if entries else None

    def write_commit(self, tree: str, parents: Iterable[str], author: str, committer: str, message: str) -> str:
        """Write a commit. `author` and `committer` are `Name <mail> seconds +zone`."""
        lines = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {author}", f"committer {committer}"]
        text = "\n".join(lines) + "\n\n" + message.rstrip("\n") + "\n"
        return self.write("commit", text.encode("utf-8", "surrogateescape"))

    def write_tag(self, target: str, name: str, tagger: str, message: str) -> str:
        """Write an annotated tag object for a commit."""
        text = f"object {target}\ntype commit\ntag {name}\ntagger {tagger}\n\n" + message.rstrip("\n") + "\n"
        return self.write("tag", text.encode("utf-8", "surrogateescape"))

    def path(self, oid: str) -> Path:
        """Where an object lies when it is loose."""
        return self._dir / oid[:2] / oid[2:]

    def close(self) -> None:
        """End the reading process; it may be used again."""
        self._reader.close()

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


def parse_commit(oid: str, data: bytes) -> Commit:
    """The parts of a commit object."""
    head, _, message = data.decode("utf-8", "surrogateescape").partition("\n\n")
    fields: dict[str, str] = {}
    parents = []
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        if key == "parent":
            parents.append(value)
        else:
            fields.setdefault(key, value)
    return Commit(oid, fields["tree"], tuple(parents), fields.get("author", ""), fields.get("committer", ""), message)


def _feed(stdin: IO[bytes], names: list[str]) -> None:
    try:
        stdin.write("".join(f"{name}\n" for name in names).encode())
        stdin.close()
    except BrokenPipeError:
        return  # the reader stopped early and closed its end


def _read_answer(stdout: IO[bytes]) -> tuple[str, str, bytes] | None:
    header = stdout.readline()
    found = _parse_header(header) if header.endswith(b"\n") else None
    if found is None:
        return None
    data = stdout.read(found[2] + 1)
    return (found[0], found[1], data[:-1]) if len(data) == found[2] + 1 else None


def _missing(answer: bytearray) -> int:
    end = answer.find(b"\n")
    if end < 0:
        return 1
    found = _parse_header(answer[: end + 1])
    return 0 if found is None else end + 1 + found[2] + 1 - len(answer)


def _parse_header(line: bytes | bytearray) -> tuple[str, str, int] | None:
    """Id, kind and size by the first line of an answer; None if it says that there is no such object."""
    parts = line[:-1].split(b" ")
    if len(parts) != 3 or not parts[2].isdigit():
        return None  # `<name> missing`, `<name> ambiguous`
    return parts[0].decode(), parts[1].decode(), int(parts[2])
