"""Those who are compared, ours and the peers: each with the same few verbs, to be used in a process of its own.

A verb returns the seconds of each sample. What a verb does is deterministic: run 7 has the same params everywhere.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import perf_counter
from typing import Any

FILTER = "metrics.metric_0 < 50 AND params.param_2 = 'a' AND tags.tag_0 = 'red'"
ORDER = ["metrics.metric_1 ASC"]
LIMIT = 10
BLOCK = 100
"""Calls timed together: a clock is no small part of one call of some microseconds."""


class Contender:
    """What is measured. The process's current folder is its place."""

    def __init__(self) -> None:
        self.number = 0
        self.dice = random.Random(0)

    def blocks(self, call: Callable[[int], object], blocks: int, block: int) -> list[float]:
        """Time blocks of calls, each call with a number of its own: seconds a call, one sample a block."""
        samples = []
        for number in range(blocks):
            steps = range(number * block, (number + 1) * block)
            begun = perf_counter()
            for step in steps:
                call(step)
            samples.append((perf_counter() - begun) / block)
        return samples


class Tracker(Contender, ABC):
    """A tracker, ours or another."""

    @abstractmethod
    def log(self, blocks: int, block: int = BLOCK) -> list[float]:
        """Log a metric in one run, over and over; see `blocks`."""

    @abstractmethod
    def track_one(self, params: dict[str, Any], metrics: list[dict[str, float]], tags: dict[str, str]) -> None:
        """Track one whole run, a dictionary of metrics a step."""

    def track_singly(self, params: dict[str, Any], metrics: list[dict[str, float]], tags: dict[str, str]) -> None:
        """As `track_one`, one call a param, metric and tag."""
        self.track_one(params, metrics, tags)

    def track(self, runs: int, steps: int = 1, singly: bool = False) -> list[float]:
        """Track whole runs with 10 params, 10 metrics and 3 tags; seconds a run.

        Args:
            runs: How many.
            steps: Values of each metric.
            singly: One call a param, metric and tag, where the tracker has calls for several.
        """
        track_one = self.track_singly if singly else self.track_one
        samples = []
        for _ in range(runs):
            self.number += 1
            params: dict[str, Any] = {f"param_{i}": self.dice.randrange(1000) for i in range(10)}
            metrics = [{f"metric_{i}": self.dice.random() for i in range(10)} for _ in range(steps)]
            tags = {f"tag_{i}": self.dice.choice(("red", "green", "blue")) for i in range(3)}
            begun = perf_counter()
            track_one(params, metrics, tags)
            samples.append(perf_counter() - begun)
        return samples


def times(rounds: int, work: Callable[[], object]) -> list[float]:
    """Do something over and over; seconds each time."""
    samples = []
    for _ in range(rounds):
        begun = perf_counter()
        work()
        samples.append(perf_counter() - begun)
    return samples


def shape_of(frame: Any) -> list[int]:
    """The rows of a table of runs, and its columns of params, metrics and tags of the user."""
    own = [name for name in frame.columns if name.startswith(("params.", "metrics.", "tags.tag_"))]
    return [len(frame), len(own)]
