"""Sharing runs through git remotes: `runstone sync`, `pull` and `push`."""

from collections.abc import Sequence

from runstone.errors.base import RunstoneError, indented, some


class RemoteUnreachable(RunstoneError):
    """A git remote could not be asked, or the connection broke; nothing that was here is lost."""

    def __init__(self, remote: str, url: str, why: str) -> None:
        self.remote, self.url, self.why = remote, url, why
        super().__init__(
            f"The git remote `{remote}` ({url}) could not be used:\n{indented(why)}\n"
            "Nothing is lost: what it does not have yet stays here. See that it can be reached and that its URL is "
            "right: `git remote -v`; then: `runstone sync`"
        )


class RemoteBusy(RunstoneError):
    """Others pushed to a git remote all the time, so that no push of ours came through."""

    def __init__(self, remote: str, ref: str, attempts: int, why: str) -> None:
        self.remote, self.ref, self.attempts, self.why = remote, ref, attempts, why
        super().__init__(
            f"`{ref}` could not be pushed to `{remote}` in {attempts} attempts:\n{indented(why)}\n"
            "Nothing is lost. Try again: `runstone sync`"
        )


class PushRefused(RunstoneError):
    """A git remote does not take what was pushed; it stays here, whole."""

    def __init__(self, remote: str, ref: str, why: str) -> None:
        self.remote, self.ref, self.why = remote, ref, why
        kind, _, name = ref.removeprefix("refs/").partition("/")
        step = (
            "or keep the runs on a branch that you may push: `branch: NAME` in runstone.yaml"
            if kind == "heads"
            else "or let somebody who has it sync: the runs have been sent"
        )
        super().__init__(
            f"The git remote `{remote}` refused `{name}`:\n{indented(why)}\n"
            "It stays here, and the next `runstone sync` tries again. Ask whoever runs the remote for the right to "
            f"push it, {step}"
        )


class NothingToSyncWith(RunstoneError):
    """A repository with neither a git remote nor a DVC remote."""

    def __init__(self) -> None:
        super().__init__(
            "This repository has neither a git remote nor a DVC remote, so there is nothing to sync with. Add one for "
            "the runs: `git remote add origin URL`; and one for their artifacts: `runstone init --remote URL`"
        )


class ArtifactsNotShared(RunstoneError):
    """Runs were to be pushed whose artifacts the DVC remote would lack, so they were not."""

    def __init__(self, run_ids: Sequence[str], why: str) -> None:
        self.run_ids, self.why = tuple(run_ids), why
        kept = f"{len(run_ids)} runs with artifacts" if len(run_ids) != 1 else f"Run {run_ids[0]}"
        super().__init__(
            f"{kept} cannot be shared yet: {why} What git names would not be there for the others. Share the records "
            "alone all the same: `runstone sync --no-artifacts`"
        )


class UnseenRefs(RunstoneError):
    """A git remote has what this repository has not seen, so nobody here knows which bytes it needs."""

    def __init__(self, remote: str, refs: Sequence[str]) -> None:
        self.remote, self.refs = remote, tuple(refs)
        super().__init__(
            f"`{remote}` has {some(self.refs)}, which this repository has not seen and which may need the bytes, so "
            f"nothing is removed from the DVC remote. Get them, then try again: `runstone sync` and "
            f"`git fetch --tags {remote}`"
        )
