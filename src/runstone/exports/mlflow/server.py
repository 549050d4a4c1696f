"""A server of MLflow's, over REST. It gives runs ids of its own, so a tag keeps the one that each has here."""

import tempfile
from contextlib import redirect_stdout
from functools import cached_property
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

from runstone.errors import OutputRefused
from runstone.exports.mlflow.target import DIGEST_TAG, ID_TAG, MODEL_ID_TAG, Lost, OutgoingModel, OutgoingRun

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

    @cached_property
    def takes_models(self) -> bool:
        """Whether it answers when it is asked for them."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.search_logged_models(["0"], max_results=1)
        except (AttributeError, MlflowException):  # of an MLflow before 3: this one, or the server's
            return False
        return True

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

    def find_model(self, outgoing: OutgoingModel) -> tuple[str, str | None] | None:
        """The id there of a logged model that was exported before, and its digest; empty if that was cut short."""
        everywhere = [e.experiment_id for e in self._client.search_experiments()]
        found = self._client.search_logged_models(everywhere, f"tags.`{MODEL_ID_TAG}` = '{outgoing.model.model_id}'")
        return (found[0].model_id, (found[0].tags or {}).get(DIGEST_TAG, "")) if found else None

    def put_model(self, outgoing: OutgoingModel, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a logged model, in place of `before`; returns its id there and what was lost."""
        from mlflow.entities import Metric

        client, model = self._client, outgoing.model
        if before is not None:
            client.set_logged_model_tags(before, {MODEL_ID_TAG: f"{model.model_id}, replaced"})
            client.delete_logged_model(before)
        tags = outgoing.tags
        digest = tags.pop(DIGEST_TAG)
        model_id = client.create_logged_model(
            experiment_id, model.name, outgoing.source_run_id, tags, model.params or {}, model.model_type
        ).model_id
        of_runs: dict[str, list[Any]] = {}
        for p in outgoing.points:
            point = Metric(p.key, p.value, p.timestamp, p.step, model_id, p.dataset_name, p.dataset_digest)
            of_runs.setdefault(p.run_id, []).append(point)
        lost: list[Lost] = []
        for run_id, points in of_runs.items():
            if client.get_run(run_id).info.lifecycle_stage != "active":
                lost.append(Lost("metrics", str(len(points)), f"MLflow takes none for the deleted run {run_id}"))
                continue
            for part in _parts(points, _METRICS):
                client.log_batch(run_id, part)
        with tempfile.TemporaryDirectory(prefix="runstone-export-") as scratch:
            lost += outgoing.place_files(Path(scratch))
            if any(Path(scratch).iterdir()):
                client.log_model_artifacts(model_id, scratch)
        if model.status.value != "PENDING":
            client.finalize_logged_model(model_id, model.status)
        client.set_logged_model_tags(model_id, {DIGEST_TAG: digest})  # last: one that was cut short is written anew
        return model_id, lost

    def model_uri(self, experiment_id: str, model_id: str) -> str:
        """Where the files of a logged model are."""
        return str(self._client.get_logged_model(model_id).artifact_location)

    def set_created(self, name: str, version: int | None, time: int) -> None:
        """Nothing: a server gives times of its own."""

    def settle(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
