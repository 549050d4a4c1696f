"""A server of MLflow's, over REST. It gives runs ids of its own, so a tag keeps the one that each has here."""

import tempfile
from contextlib import redirect_stdout
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

from runstone.errors import OutputRefused
from runstone.exports.mlflow.target import DIGEST_TAG, ID_TAG, Lost, OutgoingRun

_METRICS, _OTHERS = 500, 50


class Server:
    """A tracking server by its address."""

    def __init__(self, url: str) -> None:
        """Use a server; raises `OutputRefused` where none answers."""
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._url = url
        self._client = MlflowClient(url, url)
        try:
            self._client.search_experiments(max_results=1)
        except MlflowException as error:
            raise OutputRefused(Path(url), str(error).splitlines()[0][:300], "Is it MLflow's server?") from error

    @property
    def uri(self) -> str:
        """As MLflow's clients are given it."""
        return self._url

    def experiment(self, experiment: Any) -> tuple[str, bool]:
        """The id there of an experiment of this name, and whether it had to be made."""
        found = self._client.get_experiment_by_name(experiment.name)
        experiment_id = self._client.create_experiment(experiment.name) if found is None else found.experiment_id
        if found is None or found.lifecycle_stage == "active":
            for key, value in experiment.tags.items():
                self._client.set_experiment_tag(experiment_id, key, value)
        return str(experiment_id), found is None

    def find(self, outgoing: OutgoingRun) -> tuple[str, str | None] | None:
        """The id there of a run that was exported before, and its digest; empty if that was cut short."""
        from mlflow.entities import ViewType

        everywhere = [e.experiment_id for e in self._client.search_experiments(view_type=ViewType.ALL)]
        wanted = f"tags.`{ID_TAG}` = '{outgoing.run.info.run_id}'"
        found = self._client.search_runs(everywhere, wanted, ViewType.ALL, 2)
        active = sorted(found, key=lambda run: run.info.lifecycle_stage != "active")
        return (active[0].info.run_id, active[0].data.tags.get(DIGEST_TAG, "")) if active else None

    def put(self, outgoing: OutgoingRun, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a run, in place of `before`; returns its id there and what was lost."""
        from mlflow.entities import Metric, Param, RunTag

        client, info = self._client, outgoing.run.info
        if before is not None:
            client.set_tag(before, ID_TAG, f"{info.run_id}, replaced")
            client.delete_run(before)
        tags = outgoing.tags
        digest = tags.pop(DIGEST_TAG)
        first = {key: tags.pop(key) for key in (ID_TAG, "mlflow.user") if key in tags}
        run_id = client.create_run(experiment_id, info.start_time, first, info.run_name).info.run_id
        metrics = [Metric(p.key, p.value, p.timestamp, p.step) for p in outgoing.points]
        params = [Param(key, value) for key, value in outgoing.run.data.params.items()]
        labels = [RunTag(key, value) for key, value in tags.items()]
        parts = (_parts(metrics, _METRICS), _parts(params, _OTHERS), _parts(labels, _OTHERS))
        for some_metrics, some_params, some_labels in zip_longest(*parts, fillvalue=()):
            client.log_batch(run_id, some_metrics, some_params, some_labels)
        inputs = outgoing.run.inputs
        if inputs is not None and inputs.dataset_inputs:
            client.log_inputs(run_id, inputs.dataset_inputs)
        with tempfile.TemporaryDirectory(prefix="runstone-export-") as scratch:
            lost = list(outgoing.place_artifacts(Path(scratch)))
            if any(Path(scratch).iterdir()):
                client.log_artifacts(run_id, scratch)
        if info.status != "RUNNING":
            with redirect_stdout(StringIO()):  # MLflow prints where to look at it
                client.set_terminated(run_id, info.status, info.end_time)
        client.set_tag(run_id, DIGEST_TAG, digest)  # last: so a run that was cut short is written anew
        if info.lifecycle_stage == "deleted":
            client.delete_run(run_id)
        return run_id, lost

    def settle(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
