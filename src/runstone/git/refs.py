"""Refs: read, list, and move by compare-and-swap.

git itself writes them (`update-ref --stdin`), so packed refs, reftable, hooks and the reflog stay git's business.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from runstone.errors import DiskFull, GitFailed, ReadOnlyRepository, RefBlocked, RefMoved
from runstone.git.objectlog import ObjectLog, disown
from runstone.git.objects import Objects
from runstone.git.process import Conversation, run_git


class RefUpdate(NamedTuple):
    """One ref to move: from `old` (None: it must not exist) to `new` (None: remove it)."""

    ref: str
    new: str | None
    old: str | None


class Refs:
    """The refs of one repository."""

    def __init__(self, git_dir: Path, common_dir: Path, objects: Objects, log: ObjectLog) -> None:
        self._git_dir = git_dir
        self._common_dir = common_dir
        self._objects = objects
        self._log = log
        command = [f"--git-dir={git_dir}", "update-ref", "-m", "runstone"]
        # A branch's past can be found again, in a bare repository too. But `git gc` stumbles over the log of a tag.
        self._branches = Conversation([*command, "--create-reflog", "--stdin"], cwd=git_dir)
        self._others = Conversation([*command, "--stdin"], cwd=git_dir)
        self._packed = self._look_of_packed()

    def read(self, ref: str) -> str | None:
        """The commit a ref leads to, or None. `ref` is full: `refs/heads/runs`."""
        oid = self._loose(ref)
        if oid is not None and self._objects.knows_commit(oid):
            return oid
        self._notice_packing()
        return self._objects.resolve(ref)

    def _loose(self, ref: str) -> str | None:
        """What a ref's own file names, where it has one: a tip is asked for again and again, and has mostly not moved.

        None for what only git can tell: a packed ref, a symbolic one, one of this work tree alone, a reftable's.
        """
        if not ref.startswith(("refs/heads/", "refs/remotes/")) or ".." in ref:
            return None
        try:
            with open(f"{self._common_dir}/{ref}", "rb") as file:  # noqa: PTH123  # a Path costs more than the call
                text = file.read(66)
        except (OSError, ValueError):
            return None
        return text[:-1].decode("ascii", "replace") if text[-1:] == b"\n" else None

    def list(self, prefix: str) -> dict[str, str]:
        """Full names below a prefix such as `refs/tags/` → the object each names (a tag object for annotated tags)."""
        _, out = run_git(
            [f"--git-dir={self._git_dir}", "for-each-ref", "--format=%(refname) %(objectname)", prefix],
            cwd=self._git_dir,
        )
        rows = (line.rpartition(" ") for line in out.decode("utf-8", "surrogateescape").split("\n")[:-1])
        return {name: oid for name, _, oid in rows}

    def update(self, updates: Sequence[RefUpdate], *, journals: Sequence[str] = ()) -> None:
        """Move refs, all of them or none, each only if it still is where it was read.

        Args:
            updates: The moves.
            journals: The journals that they record, for the log of objects.

        Writes:
            The log of objects, synced: what the refs lead to survives power loss. Then the refs, and their reflogs.

        Raises:
            RefMoved: One was elsewhere, or locked by another process: read again and try again.
            RefBlocked: git refuses: a name in the way, a hook that vetoes, a broken ref.
            ReadOnlyRepository: The repository cannot be written.
            DiskFull: There is no room.
        """
        for update in updates:
            if re.search(r"[\x00-\x20\x7f]", update.ref):
                raise RefBlocked(update.ref, "the name of a ref holds no spaces and no control characters")
        self._notice_packing()
        logged = self._log.write([(u.ref, u.new, u.old) for u in updates], journals)
        zero = self._objects.zero
        lines = [f"update {u.ref} {u.new or zero} {u.old or zero}\n" for u in updates]
        command = "start\n" + "".join(lines) + "commit\n"
        try:
            is_branch = all(update.ref.startswith("refs/heads/") for update in updates)
            writer = self._branches if is_branch else self._others
            answer = writer.ask(command.encode("utf-8", "surrogateescape"), _missing)
        except GitFailed as failure:
            if logged is not None:
                disown(logged)
            raise self._explain(updates[0], failure) from None
        if answer != _DONE:
            raise RefBlocked(updates[0].ref, answer.decode(errors="replace"))

    def close(self) -> None:
        """End the writing processes."""
        self._branches.close()
        self._others.close()

    def _notice_packing(self) -> None:
        """Have git read the packed refs anew, if they were written since.

        A git that runs on keeps what it read of them, and tells a new file from that by its seconds, size and inode
        (`stat_validity_check`). Where refs are packed twice in a second, all of these may be the same: then it would
        move a ref from where it was before, and what others had recorded since would be lost.
        """
        packed = self._look_of_packed()
        if packed != self._packed:
            self._packed = packed
            self.close()
            self._objects.close()

    def _look_of_packed(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(f"{self._common_dir}/packed-refs")  # noqa: PTH116  # a Path costs more than the call
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

    def _explain(self, update: RefUpdate, failure: GitFailed) -> Exception:
        text = failure.stderr or f"git ended with {failure.code} without a word"
        if "aborted by hook" in text:
            return RefBlocked(update.ref, f"{text}. The repository's reference-transaction hook says so")
        if re.search(r"Read-only file system|Permission denied", text):
            return ReadOnlyRepository(self._git_dir, text.splitlines()[-1])
        if failure.code == -_SIGXFSZ or re.search(r"No space left on device|File too large|quota exceeded", text):
            return DiskFull(self._git_dir / update.ref, text)
        blocked = re.search(r"'([^']+)' exists; cannot create", text)
        if blocked:
            return RefBlocked(
                update.ref,
                f"`{blocked[1]}` stands in its way. Rename that branch (`git branch -m`), or keep runs on another one: "
                "`branch: runstone-runs` in runstone.yaml",
            )
        if "broken" in text:
            return RefBlocked(update.ref, f"{text}. Mend it: `runstone doctor --fix`")
        if re.search(r"but expected|reference already exists|File exists|unable to resolve reference", text):
            return RefMoved(update.ref, update.old)
        return RefBlocked(update.ref, text)


_DONE = b"start: ok\ncommit: ok\n"
_SIGXFSZ = 25


def _missing(answer: bytearray) -> int:
    return 1 if answer.count(b"\n") < 2 else 0
