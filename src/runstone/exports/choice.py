"""Which runs are exported, and how they are walked: a page at a time, so that their number does not matter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runstone.git.repository import Repository
from runstone.index.experiments import find_experiment
from runstone.index.search import search_runs
from runstone.records.run import Run

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """Some runs of a repository.

    Attributes:
        experiments: Names or ids; all if None.
        filter_string: As `search_runs` takes it.
        with_deleted: Whether deleted runs, and those of deleted experiments, are among them.
    """

    experiments: Sequence[str] | None = None
    filter_string: str = ""
    with_deleted: bool = False

    def walk(self, repo: Repository) -> Iterator[Run]:
        """The runs, oldest first.

        Raises:
            ExperimentNotFound: One that is named is not there.
            FilterInvalid: The filter cannot be understood.
        """
        ids = None if self.experiments is None else [find_experiment(repo, e).experiment_id for e in self.experiments]
        token = None
        while True:
            page = search_runs(
                repo,
                ids,
                self.filter_string,
                "ALL" if self.with_deleted else "ACTIVE_ONLY",
                _PAGE,
                ["start_time ASC"],
                token,
            )
            yield from page
            token = page.token
            if token is None:
                return
