"""Workers side by side: those that can run here, each in a place of its own, taking turns."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.benchmarks.measure import Report, interleave
from tests.benchmarks.setting import Setting
from tests.benchmarks.worker import Unavailable, Worker

OWN = ("runstone", "plugin", "write")
"""The kinds that are no peers."""


class Team:
    """The workers of one benchmark; a peer that cannot run is noted in the report and left out."""

    def __init__(self, setting: Setting, report: Report) -> None:
        self.setting = setting
        self.report = report
        self.workers: dict[str, Worker] = {}
        self._stack = ExitStack()

    def add(self, who: str, kind: str, folder: Path | None = None) -> Worker | None:
        """Start a worker; None if it cannot run here, or is a peer and none are asked for."""
        if not self.setting.peers and kind not in OWN:
            return None
        try:
            worker = Worker(self.setting, kind, folder or self.setting.new_folder(kind))
        except Unavailable as error:
            self.report.skipped[who] = str(error)
            return None
        self.workers[who] = self._stack.enter_context(worker)
        return worker

    def take_turns(
        self,
        requests: Mapping[str, tuple[object, ...]],
        rounds: int,
        *,
        unit: str = "ms",
        label: str = "{}",
    ) -> None:
        """Let workers do something in turn, and keep their samples.

        Args:
            requests: Who → the verb and its arguments.
            rounds: How often each has its turn.
            unit: How samples are shown.
            label: What they are called in the report, of a worker's name.

        The first of those that are present is what the others are compared with.
        """

        def ask(worker: Worker, request: tuple[object, ...]) -> Callable[[], list[float]]:
            return lambda: worker(str(request[0]), *request[1:])

        present: Iterable[tuple[str, tuple[object, ...]]] = [i for i in requests.items() if i[0] in self.workers]
        contenders = {who: ask(self.workers[who], request) for who, request in present}
        for who, samples in interleave(contenders, rounds).items():
            self.report.add(label.format(who), samples, unit, against=label.format(next(iter(contenders))))

    def __enter__(self) -> "Team":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
