"""MLflow's tracking server, asked over REST: 3.x and 2.x, and 1.x, which lacks some of the calls."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from runstone.imports.incoming import IncomingFile, Refusal, Unavailable
from runstone.imports.mlflow.artifacts import distant_files, local_path, walk
from runstone.imports.mlflow.http import Server, ServerFailed, quoted
from runstone.imports.mlflow.reader import in_order
from runstone.imports.mlflow.source import (
    SourceDataset,
    SourceExperiment,
    SourceModel,
    SourceRegistered,
    SourceRun,
    SourceVersion,
    origin_of,
    time_of,
)
from runstone.records.metric import Metric
from runstone.records.model_metric import ModelPoint

_API, _PROXY = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
_AJAX = "/ajax-api/2.0/mlflow"
_ABSENT = (404, 405, 501)
"""What a server answers that does not know a call."""
_GARBAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What is raised by looking into an answer that is none."""
_AT_ONCE = 8
Answer = dict[str, Any]


class _Entry(NamedTuple):
    path: str
    is_dir: bool
    file_size: int | None


Listing = Callable[[str | None], Iterable[_Entry]]


class RestSource:
    """A tracking server.

    Args:
        uri: Its address.

    Raises:
        ServerFailed: It cannot be reached, or is none.
    """

    def __init__(self, uri: str) -> None:
        self._server = Server(uri)
        self.shown = self._server.shown
        self._runs: dict[str, list[Answer]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self.experiments()  # so that what is no server is said at once

    @cached_property
    def origin(self) -> str:
        """See `Source`."""
        return origin_of(self._experiments)

    # --- tracking

    def experiments(self) -> Sequence[SourceExperiment]:
        """See `Source`."""
        return self._experiments

    @cached_property
    def _experiments(self) -> list[SourceExperiment]:
        try:
            options = {"view_type": "ALL", "max_results": 1000}
            found = list(self._server.pages("post", f"{_API}/experiments/search", "experiments", **options))
        except ServerFailed as error:
            if error.status not in _ABSENT:
                raise
            found = list(self._server.pages("get", f"{_API}/experiments/list", "experiments", view_type="ALL"))
        try:
            experiments = [self._experiment(each) for each in found]
        except _GARBAGE as error:
            raise ServerFailed(self.shown, f"what it says of its experiments cannot be read: {error!r}") from error
        known = {each.id: each for each in experiments}
        return sorted(known.values(), key=lambda each: (len(each.id), each.id))

    def _experiment(self, answer: Answer) -> SourceExperiment:
        return SourceExperiment(
            id=str(answer["experiment_id"]),
            name=str(answer.get("name") or answer["experiment_id"]),
            tags=_pairs(answer.get("tags")),
            created=time_of(answer.get("creation_time")),
            is_deleted=answer.get("lifecycle_stage") == "deleted",
            location=str(answer.get("artifact_location") or ""),
        )

    def count_runs(self, experiments: Sequence[SourceExperiment]) -> int:
        """See `Source`."""
        for each in experiments:
            if each.id not in self._runs:
                options = {"experiment_ids": [each.id], "run_view_type": "ALL", "max_results": 1000}
                found = self._server.pages("post", f"{_API}/runs/search", "runs", **options)
                # a run that begins while pages are asked for moves the others on, so that one is told twice
                self._runs[each.id] = list({_id_of(answer): answer for answer in found}.values())
        return sum(len(self._runs[each.id]) for each in experiments)

    def runs(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceRun]:
        """See `Source`."""
        self.count_runs(experiments)
        found = [(each, run) for each in experiments for run in self._runs[each.id]]
        for experiment, answer in sorted(found, key=lambda each: time_of(_info(each[1]).get("start_time")) or 0):
            try:
                yield self._run(experiment, answer, refuse)
            except _GARBAGE as error:
                refuse(_id_of(answer), f"the server's answer cannot be read: {error!r}")

    def _run(self, experiment: SourceExperiment, answer: Answer, refuse: Refusal) -> SourceRun:
        info, data = _info(answer), answer.get("data") or {}
        run_id = str(info.get("run_id") or info["run_uuid"])
        keys = [str(each["key"]) for each in data.get("metrics") or ()]
        inputs, outputs = answer.get("inputs") or {}, answer.get("outputs") or {}
        return SourceRun(
            id=run_id,
            experiment_id=experiment.id,
            name=info.get("run_name") or info.get("name") or None,
            user=info.get("user_id") or None,
            status=str(info.get("status") or "FINISHED"),
            started=time_of(info.get("start_time")),
            ended=time_of(info.get("end_time")) or None,
            is_deleted=info.get("lifecycle_stage") == "deleted" or experiment.is_deleted,
            artifact_uri=str(info.get("artifact_uri") or ""),
            params=_pairs(data.get("params")),
            tags=_pairs(data.get("tags")),
            points=self._points(run_id, keys, refuse),
            datasets=[_dataset(each) for each in inputs.get("dataset_inputs") or ()],
            model_inputs=[str(each["model_id"]) for each in inputs.get("model_inputs") or ()],
            outputs=[
                (str(each["model_id"]), int(each.get("step") or 0)) for each in outputs.get("model_outputs") or ()
            ],
        )

    def _points(self, run_id: str, keys: Sequence[str], refuse: Refusal) -> Iterator[Metric]:
        for points in self._pool.map(lambda key: self._history(run_id, key, refuse), sorted(keys)):
            yield from points

    def _history(self, run_id: str, key: str, refuse: Refusal) -> list[Metric]:
        options = {"run_id": run_id, "run_uuid": run_id, "metric_key": key, "max_results": 25_000}
        found = self._server.pages("get", f"{_API}/metrics/get-history", "metrics", **options)
        points = []
        for each in found:
            try:
                at, step = _whole(each.get("timestamp")) or 0, _whole(each.get("step")) or 0
                points.append(Metric(key, float(each.get("value", "nan")), at, step))
            except _GARBAGE as error:
                refuse(f"{run_id}: {key}", f"a point of it cannot be read: {error!r}")
        return in_order(points)

    # --- logged models

    def models(self, experiments: Sequence[SourceExperiment], refuse: Refusal) -> Iterable[SourceModel]:
        """See `Source`. Deleted ones are not told by a server."""
        for experiment in experiments:
            options = {"experiment_ids": [experiment.id], "max_results": 50}
            try:
                found = list(self._server.pages("post", f"{_API}/logged-models/search", "models", **options))
            except ServerFailed as error:
                if error.status in _ABSENT:
                    return  # before MLflow 3
                refuse(f"those of experiment {experiment.name}", str(error))
                continue
            models: dict[str, SourceModel] = {}
            for answer in found:
                try:
                    model = _model(experiment, answer)
                except _GARBAGE as error:
                    refuse(str(_info(answer).get("model_id")), f"the server's answer cannot be read: {error!r}")
                else:
                    models[model.id] = model
            yield from models.values()

    # --- the registry

    def registered(self, refuse: Refusal) -> Sequence[SourceRegistered]:
        """See `Source`. Deleted versions are not told by a server."""
        key = "registered_models"
        try:
            models = list(self._server.pages("get", f"{_API}/registered-models/search", key, max_results=1000))
        except ServerFailed as error:
            if error.status not in _ABSENT:
                refuse("all", str(error))
                return []
            try:
                models = list(self._server.pages("get", f"{_API}/registered-models/list", key))
            except ServerFailed:
                return []  # a file store before MLflow 2 has none
        found: dict[str, SourceRegistered] = {}
        for answer in models:
            name = str(answer.get("name"))
            try:
                found[name] = self._registered(answer, refuse)
            except ServerFailed as error:
                refuse(name, str(error))
            except _GARBAGE as error:
                refuse(name, f"the server's answer cannot be read: {error!r}")
        return list(found.values())

    def _registered(self, answer: Answer, refuse: Refusal) -> SourceRegistered:
        name = str(answer["name"])
        mark = '"' if "'" in name else "'"
        found = self._server.pages(
            "get", f"{_API}/model-versions/search", "model_versions", filter=f"name={mark}{name}{mark}"
        )
        versions: dict[int, SourceVersion] = {}
        for each in found:
            try:
                version = _version(each)
            except _GARBAGE as error:
                refuse(f"{name} version {each.get('version')}", f"the server's answer cannot be read: {error!r}")
            else:
                versions[version.number] = version
        return SourceRegistered(
            name=name,
            description=answer.get("description") or None,
            created=time_of(answer.get("creation_timestamp")),
            tags=_pairs(answer.get("tags")),
            aliases={str(each["alias"]): int(each["version"]) for each in answer.get("aliases") or ()},
            versions=[versions[number] for number in sorted(versions)],
        )

    # --- files

    def run_files(self, run: SourceRun, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        ids = {"run_id": run.id, "run_uuid": run.id}
        listing = self._listing(f"{_API}/artifacts/list", "path", ids)
        return self._files(listing, "/get-artifact", "path", ids, refuse)

    def model_files(self, model: SourceModel, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        own = f"/logged-models/{quoted(model.id)}/artifacts"
        listing = self._listing(f"{_API}{own}/directories", "artifact_directory_path", {})
        return self._files(listing, f"{_AJAX}{own}/files", "artifact_file_path", {}, refuse)

    def place_files(self, uri: str, refuse: Refusal) -> Iterable[IncomingFile]:
        """See `Source`."""
        if local_path(uri) is not None:
            raise Unavailable(f"{uri} is a folder of the server's machine, and in no run")
        if urlsplit(uri).scheme in ("http", "https"):
            raise Unavailable(f"{uri} is an address in the web, and in no run")
        if urlsplit(uri).scheme != "mlflow-artifacts":
            yield from distant_files(uri, refuse)
            return
        root = unquote(urlsplit(uri).path).strip("/")

        def listing(folder: str | None) -> Iterable[_Entry]:
            above = f"{folder}/" if folder else ""
            found = self._server.get(_PROXY, path=f"{root}/{folder}" if folder else root)
            return [each._replace(path=above + each.path) for each in map(_entry, found.get("files") or ())]

        for entry in self._walk(listing, refuse):
            whole = f"{_PROXY}/{quote(f'{root}/{entry.path}')}"
            yield IncomingFile(entry.path, self._fetcher(whole, {}), entry.file_size)

    def _files(
        self,
        listing: Listing,
        path: str,
        key: str,
        ids: dict[str, str],
        refuse: Refusal,
    ) -> Iterator[IncomingFile]:
        for entry in self._walk(listing, refuse):
            yield IncomingFile(entry.path, self._fetcher(path, {key: entry.path, **ids}), entry.file_size)

    def _listing(self, path: str, key: str, ids: dict[str, str]) -> Listing:
        return lambda folder: map(_entry, self._server.pages("get", path, "files", **ids, **{key: folder}))

    def _walk(self, listing: Listing, refuse: Refusal) -> list[_Entry]:
        try:
            return [_Entry(path, False, size) for path, size in walk(listing, refuse)]
        except ServerFailed as error:
            raise Unavailable(str(error)) from error
        except _GARBAGE as error:
            raise Unavailable(f"the server's list of files cannot be read: {error!r}") from error

    def _fetcher(self, path: str, values: dict[str, str]) -> Callable[[Path], None]:
        def fetch(target: Path) -> None:
            try:
                self._server.fetch(path, target, **values)
            except ServerFailed as error:
                raise Unavailable(str(error)) from error

        return fetch

    def left_out(self) -> Iterable[tuple[str, int]]:
        """See `Source`: only whether there are any can be told."""
        places = [
            {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": each.id}}
            for each in self._experiments
            if not each.is_deleted
        ]
        try:
            found = self._server.post("/api/3.0/mlflow/traces/search", locations=places[:100], max_results=100)
            yield "traces", len(found.get("traces") or ())
        except ServerFailed:
            return  # before MLflow 3

    def close(self) -> None:
        """See `Source`."""
        self._pool.shutdown(cancel_futures=True)


def _info(answer: Answer) -> Answer:
    found = answer.get("info")
    return found if isinstance(found, dict) else {}


def _id_of(answer: Answer) -> str:
    info = _info(answer)
    return str(info.get("run_id") or info.get("run_uuid"))


def _entry(answer: Answer) -> _Entry:
    return _Entry(str(answer.get("path") or ""), bool(answer.get("is_dir")), _whole(answer.get("file_size")))


def _pairs(items: Any) -> dict[str, str]:
    return {str(each["key"]): str(each.get("value") or "") for each in items or ()}


def _whole(value: Any) -> int | None:
    """A whole number, which JSON of 64 bits comes as text."""
    return None if value is None or value == "" else int(value)


def _dataset(answer: Answer) -> SourceDataset:
    told = answer.get("dataset") or {}
    return SourceDataset(
        name=str(told.get("name") or "dataset"),
        digest=str(told.get("digest") or ""),
        source_type=told.get("source_type"),
        source=told.get("source"),
        schema=told.get("schema"),
        profile=told.get("profile"),
        tags=_pairs(answer.get("tags")),
    )


def _model(experiment: SourceExperiment, answer: Answer) -> SourceModel:
    info, data = _info(answer), answer.get("data") or {}
    model_id = str(info["model_id"])
    return SourceModel(
        id=model_id,
        experiment_id=experiment.id,
        name=str(info.get("name") or "model"),
        artifact_uri=str(info.get("artifact_uri") or ""),
        created=time_of(info.get("creation_timestamp_ms")) or 0,
        updated=time_of(info.get("last_updated_timestamp_ms")) or 0,
        status=str(info.get("status") or "READY").removeprefix("LOGGED_MODEL_").removeprefix("UPLOAD_"),
        type=info.get("model_type") or None,
        run_id=info.get("source_run_id") or None,
        tags=_pairs(info.get("tags")),
        params=_pairs(data.get("params")),
        points=[_model_point(model_id, each) for each in data.get("metrics") or ()],
    )


def _model_point(model_id: str, answer: Answer) -> tuple[str | None, ModelPoint]:
    at, step = _whole(answer.get("timestamp")) or 0, _whole(answer.get("step")) or 0
    value = float(answer.get("value", "nan"))
    dataset, digest = answer.get("dataset_name") or None, answer.get("dataset_digest") or None
    return answer.get("run_id") or None, ModelPoint(model_id, str(answer["key"]), step, at, value, dataset, digest)


def _version(answer: Answer) -> SourceVersion:
    return SourceVersion(
        number=int(answer["version"]),
        created=time_of(answer.get("creation_timestamp")),
        user=answer.get("user_id") or None,
        description=answer.get("description") or None,
        stage=str(answer.get("current_stage") or "None"),
        source=str(answer.get("source") or ""),
        run_id=answer.get("run_id") or None,
        run_link=answer.get("run_link") or None,
        model_id=answer.get("model_id") or None,
        tags=_pairs(answer.get("tags")),
    )
