"""The repository: git itself, its refs and objects, the disk below them, and work trees."""

from collections.abc import Sequence
from pathlib import Path

from runstone.errors.base import RunstoneError, quoted, some


class NotARepository(RunstoneError):
    """No git repository holds this folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} is not in a git repository. Make one there: `git init`; or work in one: `cd DIR`, `--repo DIR`."
            if path.is_dir()
            else f"{path} {'is no folder' if path.exists() else 'does not exist'}. Name a folder of a git repository: "
            "`cd DIR`, `--repo DIR`."
        )


class RepositoryMoved(RunstoneError):
    """A linked work tree names a repository that is not where it was."""

    def __init__(self, path: Path, named: str) -> None:
        self.path, self.named = path, named
        super().__init__(
            f"{path} is a linked work tree of a repository that is no longer at {named}. If that was moved, tell it "
            f"where this is: `git -C WHERE_IT_IS_NOW worktree repair {quoted(path)}`"
        )


class ReadOnlyRepository(RunstoneError):
    """The repository cannot be written to."""

    error_code = "PERMISSION_DENIED"

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"{path} cannot be written ({why}), so nothing new can be tracked in it; reading works. "
            "Track in a clone: `git clone URL`, or name another repository: `--repo DIR`, RUNSTONE_REPO."
        )


class GitMissing(RunstoneError):
    """There is no git on this machine."""

    def __init__(self) -> None:
        super().__init__("There is no `git` on the PATH. Install git 2.34 or newer, then try again.")


class GitFailed(RunstoneError):
    """git refused or could not do what it was asked."""

    def __init__(self, command: Sequence[str], code: int, stderr: str) -> None:
        self.command, self.code, self.stderr = tuple(command), code, stderr.strip()
        super().__init__(f"`git {' '.join(command)}` ended with {code}: {self.stderr or 'it printed nothing'}")


class SigningFailed(RunstoneError):
    """A commit or git tag that git is set to sign could not be signed, so it was not made."""

    def __init__(self, kind: str, why: str) -> None:
        self.kind, self.why = kind, why
        super().__init__(
            f"The {kind} could not be signed, so it was not made: {why}. See what git is set to: "
            "`git config --get-regexp 'gpg|signingkey'`"
        )


class IndexBusy(RunstoneError):
    """The index of a work tree is locked, or holds a merge that is not finished; nothing was changed."""

    def __init__(self, work_tree: Path, why: str) -> None:
        self.work_tree, self.why = work_tree, why
        super().__init__(f"{work_tree} cannot be brought up to date, so nothing was changed: {why}")


class DiskFull(RunstoneError):
    """No room, or no permission, to write what was to be kept. What was kept before is untouched."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"{path} could not be written: {why}. Nothing of this call was recorded, and what was recorded before is "
            "safe. Make room, then call again; a run that had ended is committed by `runstone recover`."
        )


class RefMoved(RunstoneError):
    """A ref was no longer where it was read: another process moved it first."""

    def __init__(self, ref: str, expected: str | None) -> None:
        self.ref, self.expected = ref, expected
        super().__init__(f"`{ref}` is no longer at {expected or 'nothing'}: another process moved it. Try again.")


class RefBlocked(RunstoneError):
    """git refused to write a ref, and trying again would not help."""

    def __init__(self, ref: str, why: str) -> None:
        self.ref, self.why = ref, why
        super().__init__(f"git refused to write `{ref}`: {why}")


class RefBroken(RunstoneError):
    """A ref that git cannot read, or that leads to nothing, so that nobody knows what it needed."""

    def __init__(self, ref: str, what: str) -> None:
        self.ref, self.what = ref, what
        super().__init__(f"`{ref}` {what}, so nobody knows what it needed. Mend it: `runstone doctor --fix`")


class ObjectMissing(RunstoneError):
    """An object that a ref or tree names is not in the repository, or is torn."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"The object {name} is missing or damaged in this repository. See what else is: `runstone doctor`; "
            "in a shallow or partial clone fetch it: `git fetch --unshallow`"
        )


class HistoryCut(RunstoneError):
    """A shallow clone was asked for what was before its history begins."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"This clone is shallow, and its history does not go back to {what}. "
            "Fetch the rest: `git fetch --unshallow`"
        )


class LocalEdits(RunstoneError):
    """A commit would change files that have edits in a work tree."""

    error_code = "RESOURCE_CONFLICT"

    def __init__(self, work_tree: Path, paths: Sequence[str]) -> None:
        self.work_tree, self.paths = work_tree, tuple(paths)
        super().__init__(
            f"{work_tree} has local edits in {some(paths)}, which this commit would change. "
            "Commit or stash them, then try again: `git stash`"
        )


class CheckoutFailed(RunstoneError):
    """git could not write the files of a work tree; nothing was changed."""

    def __init__(self, work_tree: Path, why: str) -> None:
        self.work_tree, self.why = work_tree, why.strip()
        super().__init__(
            f"git could not write the files in {work_tree}, so nothing was changed. It says: {self.why[:2000]}\n"
            f"See to that, then try again. What stands there: `git -C '{work_tree}' status`"
        )


class WorkTreeDirty(RunstoneError):
    """A run whose code must be a commit, and is none; nothing was recorded."""

    def __init__(self, commit: str | None, paths: Sequence[str] = ()) -> None:
        self.commit, self.paths = commit, tuple(sorted(set(paths)))
        shown = [path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for path in self.paths[:10]]
        lines = ["\n  " + "".join(c if c.isprintable() else "?" for c in path) for path in shown]
        more = f"\n  and {len(self.paths) - 10:,} more" if len(self.paths) > 10 else ""
        what = "The work tree differs from HEAD" if commit else "There is no commit that holds the code"
        super().__init__(
            f"{what}, and `require_clean` refuses such a run. Nothing was recorded.{''.join(lines)}{more}\n"
            "Commit the code: `git add -A && git commit`; or allow runs of edited code: `require_clean: false` in "
            "runstone.yaml, RUNSTONE_REQUIRE_CLEAN=0"
        )


class WorkTreeRefused(RunstoneError):
    """git did not add or remove a linked work tree."""

    def __init__(self, path: Path, verb: str, why: str) -> None:
        self.path, self.verb, self.why = path, verb, why
        step = (
            "Name another folder, or see which there are: `git worktree list`"
            if verb == "add"
            else f"Keep what you need of it, then: `git worktree remove --force '{path}'`"
        )
        what = "be checked out" if verb == "add" else "be removed"
        super().__init__(f"{path} could not {what}: {why.removeprefix('fatal: ').rstrip('.')}. {step}")
