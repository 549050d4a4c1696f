"""Artifacts: their bytes, the places they are copied to, and the DVC remotes that keep them."""

from collections.abc import Collection, Sequence
from pathlib import Path

from runstone.errors.base import RunstoneError, UsageError, some


class ArtifactMissing(RunstoneError):
    """The bytes of an artifact that a record names are not where they were looked for."""

    def __init__(self, digest: str, where: str, next_step: str) -> None:
        self.digest, self.where = digest, where
        super().__init__(f"The artifact bytes md5:{digest} are not in {where}. {next_step}")


class ArtifactCorrupt(RunstoneError):
    """The bytes of an artifact are not those that its digest was made from, so they were not used."""

    def __init__(self, digest: str, where: str, found: str, next_step: str) -> None:
        self.digest, self.where, self.found = digest, where, found
        super().__init__(
            f"{where} should hold the artifact bytes md5:{digest}, but its content has md5:{found}: it was damaged or "
            f"changed, and was not used. {next_step}"
        )


class ArtifactRefused(RunstoneError):
    """A file or folder that cannot be kept as an artifact."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path} cannot be logged: {why}. Log the files themselves: `log_artifact(FILE)`")


class ArtifactNotFound(RunstoneError):
    """A run has no artifact of this path."""

    error_code = "RESOURCE_DOES_NOT_EXIST"

    def __init__(self, run_id: str, path: str) -> None:
        self.run_id, self.path = run_id, path
        super().__init__(f"Run {run_id} has no artifact {path!r}. List them: `runstone artifacts list {run_id}`")


class CopyRefused(RunstoneError):
    """A place that artifacts cannot be copied to."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"Nothing was copied to {path}: {why}. Make a folder and name it: `mkdir DIR`")


class FilesInTheWay(RunstoneError):
    """Files that artifacts were to be copied to have other content."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        super().__init__(
            f"Nothing was copied, since files there have other content: {some([str(path) for path in paths])}. "
            "Name another folder, or replace them: `runstone artifacts get RUN PATH DIR --force`"
        )


class RemoteNotConfigured(UsageError):
    """There is no such DVC remote, or none at all, or several and none is the default."""

    def __init__(self, name: str | None, known: Collection[str] = ()) -> None:
        self.name, self.known = name, tuple(known)
        if name is not None:
            what = f"There is no DVC remote `{name}`."
        else:
            what = "No DVC remote is the default." if known else "No DVC remote is configured."
        have = f" There are: {', '.join(known)}." if known else ""
        step = (
            "Choose one: `dvc remote default NAME`"
            if known
            else "Add one: `runstone init --remote URL`, or where DVC is set up `dvc remote add --default NAME URL`"
        )
        super().__init__(f"{what}{have} {step}")


class RemoteFailed(RunstoneError):
    """A DVC remote did not do what it was asked; what had been moved before stays moved."""

    def __init__(self, name: str, url: str, why: str, next_step: str, *, relative: str | None = None) -> None:
        self.name, self.url, self.why = name, url, why
        self.relative = relative  # the URL in git, if it is a missing folder meant relative to a clone
        super().__init__(f"The DVC remote `{name}` ({url}): {why}. {next_step}")
