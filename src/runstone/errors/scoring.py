"""Scoring tables in batch: data that cannot be scored, models that fail on it, outputs that are in the way."""

import shlex
from pathlib import Path

from runstone.errors.base import RunstoneError


class DataRefused(RunstoneError):
    """A file of data that cannot be read, or that the model cannot take."""

    def __init__(self, where: str, why: str, next_step: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where}: {why}. Nothing was written. {next_step}")


class ScoringFailed(RunstoneError):
    """The model raised, or gave something else than one prediction a row."""

    def __init__(self, where: str, first: int, last: int, why: str) -> None:
        self.where, self.first, self.last, self.why = where, first, last, why
        super().__init__(
            f"{where}, rows {first} to {last}: the model failed: {why}. Nothing was written. "
            "Narrow it down with smaller chunks: `--chunk-rows 100`"
        )


class OutputRefused(RunstoneError):
    """Where the predictions were to go, something is in the way."""

    def __init__(self, path: Path, why: str, next_step: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"Nothing was written to {path}: {why}. {next_step}")


class RemoteModelFailed(RunstoneError):
    """A repository at a URL that could not be read."""

    def __init__(self, url: str, why: str) -> None:
        self.url, self.why = url, why
        super().__init__(
            f"The repository {url} could not be read: {why}. See what git says: `git ls-remote -- {shlex.quote(url)}`"
        )
