"""What Prometheus is told of a server: requests and how long they took, what waits, what hangs, which model it is."""

import os
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from runstone.serving.resolve import Identity

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where the workers of one server keep their numbers, so that each can tell those of all."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The numbers of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        if FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "runstone_requests", "Requests that were answered.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "runstone_request_seconds",
            "From a request's headers to its answer.",
            ["route"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._inside = self._gauge("runstone_predictions_inside", "Predictions that run or wait.")
        self._stuck = self._gauge("runstone_predictions_stuck", "Predictions that did not end in time and still run.")
        self._swaps = Counter(
            "runstone_model_swaps", "Models taken up while serving, and failures.", ["outcome"], registry=self._registry
        )
        self._model = Gauge(
            "runstone_model_info",
            "The model that is served.",
            ["model", "version", "run", "digest"],
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._shown: Gauge | None = None
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request was answered; the route is one of a fixed few."""
        found = self._known.get((route, status))
        if found is None:
            found = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._known[route, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def show_model(self, identity: "Identity") -> None:
        """This model is served from now on."""
        if FOLDER not in os.environ:
            self._model.clear()
        elif self._shown is not None:
            self._shown.set(0)  # what other workers read cannot be taken back
        words = (identity.name, identity.version or "", identity.run or "", identity.digest or "")
        self._shown = self._model.labels(*map(str, words))
        self._shown.set(1)

    def count_swap(self, outcome: str) -> None:
        """A model was taken up (`loaded`), or could not be (`failed`)."""
        self._swaps.labels(outcome).inc()

    def show_load(self, inside: int, stuck: int) -> None:
        """So many predictions run or wait, and so many hang."""
        self._inside.set(inside)
        self._stuck.set(stuck)

    def text(self) -> bytes:
        """All numbers, of all workers, in Prometheus' text format."""
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types there
        return generate_latest(registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self._registry, multiprocess_mode="livesum")
