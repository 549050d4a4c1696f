"""MLflow's file store: a folder with a file a param, a metric and a tag. A run appears in it whole, by a rename."""

import errno
import hashlib
import os
import shutil
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runstone.errors import OutputRefused, RecordInvalid
from runstone.exports.mlflow.target import DIGEST_TAG, ID_TAG, Lost, OutgoingModel, OutgoingRun
from runstone.records import yaml

_STATUSES = {"RUNNING": 1, "SCHEDULED": 2, "FINISHED": 3, "FAILED": 4, "KILLED": 5}
_TRASH = ".trash"
_MODELS = "models"
_IN_FILES = ("metrics", "params", "tags")


class Folder:
    """A folder as `mlruns`."""

    def __init__(self, root: Path) -> None:
        """Use a folder, made if it is not there; raises `OutputRefused`."""
        try:
            (root / _TRASH).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputRefused(root, error.strerror or str(error), "Name a folder.") from error
        self._root = root
        self._experiments = {name: where for where in self._folders() if (name := _name_of(where)) is not None}

    @property
    def uri(self) -> str:
        """As MLflow's clients are given it."""
        return _uri(self._root)

    @property
    def takes_models(self) -> bool:
        """Whether this MLflow keeps them in folders."""
        from mlflow.store.tracking.file_store import FileStore

        return hasattr(FileStore, "create_logged_model")

    def experiment(self, experiment: Any) -> tuple[str, bool]:
        """The id there of an experiment of this name, and whether it had to be made."""
        found = self._experiments.get(experiment.name)
        is_new = found is None
        if found is None:
            experiment_id = "0" if experiment.name == "Default" else _number(experiment.name)
            deleted = experiment.lifecycle_stage == "deleted"
            found = self._root / _TRASH / experiment_id if deleted else self._root / experiment_id
            found.mkdir(exist_ok=True)
            for key, value in experiment.tags.items():
                _put(found / "tags" / _name(key), value)
            meta = {
                "artifact_location": _uri(self._root / experiment_id),
                "creation_time": experiment.creation_time,
                "experiment_id": experiment_id,
                "last_update_time": experiment.last_update_time,
                "lifecycle_stage": experiment.lifecycle_stage,
                "name": experiment.name,
            }
            _put(found / "meta.yaml", yaml.dump(meta))
            self._experiments[experiment.name] = found
        return found.name, is_new

    def find(self, outgoing: OutgoingRun) -> tuple[str, str | None] | None:
        """The id there of a run that was exported before, and its digest; None for the digest if it was not."""
        for experiment in self._folders():
            folder = experiment / outgoing.id_there
            if (folder / "meta.yaml").is_file():
                tags = folder / "tags"
                if (tags / DIGEST_TAG).is_file():
                    return outgoing.id_there, (tags / DIGEST_TAG).read_text(encoding="utf-8")
                return outgoing.id_there, "" if (tags / ID_TAG).is_file() else None
        return None

    def put(self, outgoing: OutgoingRun, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a run, in place of `before`; returns its id there and what was lost."""
        parent = next(each for each in self._folders() if each.name == experiment_id)
        run_id = outgoing.id_there
        scratch = self._root / _TRASH / f".{run_id}.{os.getpid()}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            lost = self._fill(scratch, outgoing, parent.name)
            if before is not None:
                for experiment in self._folders():
                    shutil.rmtree(experiment / before, ignore_errors=True)
            scratch.rename(parent / run_id)
            lost += self._log_inputs(outgoing, run_id)
            _put(parent / run_id / "tags" / DIGEST_TAG, outgoing.digest)  # last: one cut short is written anew
        except OSError as error:
            raise OutputRefused(parent / run_id, error.strerror or str(error), "Call again when it can be.") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return run_id, lost

    def find_model(self, outgoing: OutgoingModel) -> tuple[str, str | None] | None:
        """The id there of a logged model that was exported before, and its digest; None for it if it was not."""
        for experiment in self._folders():
            folder = experiment / _MODELS / outgoing.id_there
            if (folder / "meta.yaml").is_file():
                tag = folder / "tags" / DIGEST_TAG
                return outgoing.id_there, tag.read_text(encoding="utf-8") if tag.is_file() else None
        return None

    def put_model(self, outgoing: OutgoingModel, experiment_id: str, before: str | None) -> tuple[str, list[Lost]]:
        """Write a logged model, in place of `before`; returns its id there and what was lost."""
        parent = next(each for each in self._folders() if each.name == experiment_id)
        model_id, model = outgoing.id_there, outgoing.model
        scratch = self._root / _TRASH / f".{model_id}.{os.getpid()}.part"
        shutil.rmtree(scratch, ignore_errors=True)
        meta = model.to_dictionary() | {
            "artifact_location": self.model_uri(experiment_id, model_id),
            "experiment_id": experiment_id,
            "lifecycle_stage": "deleted" if outgoing.is_deleted else "active",
            "model_id": model_id,
            "source_run_id": outgoing.source_run_id,
        }
        try:
            lost = _put_texts(scratch, {"params": model.params or {}, "tags": outgoing.tags})
            lost += _put_texts(scratch, {"metrics": _measured(outgoing.points)})
            lost += outgoing.place_files(scratch / "artifacts")
            _put(scratch / "meta.yaml", yaml.dump({k: v for k, v in meta.items() if k not in _IN_FILES}))
            (parent / _MODELS).mkdir(exist_ok=True)
            if before is not None:
                for experiment in self._folders():
                    shutil.rmtree(experiment / _MODELS / before, ignore_errors=True)
            scratch.rename(parent / _MODELS / model_id)
        except OSError as error:
            where = parent / _MODELS / model_id
            raise OutputRefused(where, error.strerror or str(error), "Call again when it can be.") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return model_id, lost

    def model_uri(self, experiment_id: str, model_id: str) -> str:
        """Where the files of a logged model are."""
        return _uri(self._root / experiment_id / _MODELS / model_id / "artifacts")

    def set_created(self, name: str, version: int | None, time: int) -> None:
        """Say when a registered model, or a version of it, was made."""
        folder = self._root / _MODELS / name
        path = (folder if version is None else folder / f"version-{version}") / "meta.yaml"
        document = yaml.load(path.read_bytes(), str(path))
        _put(path, yaml.dump({**document, "creation_timestamp": time}))

    def settle(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def _log_inputs(self, outgoing: OutgoingRun, run_id: str) -> list[Lost]:
        from mlflow.store.tracking.file_store import FileStore

        inputs, info = outgoing.run.inputs, outgoing.run.info
        if inputs is None or not inputs.dataset_inputs:
            return []
        if info.lifecycle_stage != "active":
            return [Lost("datasets", str(len(inputs.dataset_inputs)), "MLflow takes none for a deleted run")]
        FileStore(str(self._root)).log_inputs(run_id, inputs.dataset_inputs)
        return []

    def _fill(self, folder: Path, outgoing: OutgoingRun, experiment_id: str) -> list[Lost]:
        info, data = outgoing.run.info, outgoing.run.data
        for name in ("metrics", "params", "tags", "artifacts", "inputs", "outputs"):
            (folder / name).mkdir(parents=True)
        lines: dict[str, list[str]] = {}
        for point in outgoing.points:
            lines.setdefault(point.key, []).append(f"{point.timestamp} {point.value!r} {point.step}\n")
        metrics = {key: "".join(text) for key, text in lines.items()}
        tags = {key: text for key, text in outgoing.tags.items() if key != DIGEST_TAG}
        lost = _put_texts(folder, {"metrics": metrics, "params": data.params, "tags": tags})
        lost += outgoing.place_artifacts(folder / "artifacts")
        _put(folder / "meta.yaml", yaml.dump(self._meta(info, outgoing.id_there, experiment_id)))
        return lost

    def _meta(self, info: Any, run_id: str, experiment_id: str) -> Mapping[str, Any]:
        return {
            "artifact_uri": _uri(self._root / experiment_id / run_id / "artifacts"),
            "deleted_time": info.end_time if info.lifecycle_stage == "deleted" else None,
            "end_time": info.end_time,
            "entry_point_name": "",
            "experiment_id": experiment_id,
            "lifecycle_stage": info.lifecycle_stage,
            "run_id": run_id,
            "run_name": info.run_name,
            "run_uuid": run_id,
            "source_name": "",
            "source_type": 4,
            "source_version": "",
            "start_time": info.start_time,
            "status": _STATUSES[info.status],
            "tags": [],
            "user_id": info.user_id,
        }

    def _folders(self) -> list[Path]:
        return [
            path
            for above in (self._root, self._root / _TRASH)
            for path in sorted(above.iterdir())
            if (path / "meta.yaml").is_file() and not path.name.startswith(".")
        ]


def _name_of(folder: Path) -> str | None:
    """The name of an experiment; None where the folder is something else, as the registry is."""
    try:
        document = yaml.load((folder / "meta.yaml").read_bytes(), "meta.yaml")
    except RecordInvalid:
        return None
    name = document.get("name") if isinstance(document, dict) and "experiment_id" in document else None
    return str(name) if name is not None else None


def _put_texts(folder: Path, texts: Mapping[str, Mapping[str, str]]) -> list[Lost]:
    """Write a file for each key of each kind; returns the keys that no file can be named after."""
    lost: list[Lost] = []
    for kind, values in texts.items():
        for key, text in values.items():
            try:
                _put(folder / kind / _name(key), text)
            except (ValueError, IsADirectoryError, NotADirectoryError, FileExistsError):
                lost.append(Lost(kind[:-1], key, "MLflow's folders cannot hold a key of this name beside the others"))
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                lost.append(Lost(kind[:-1], key, "its name is too long for a file's in MLflow's folders"))
    return lost


def _measured(metrics: Iterable[Any]) -> dict[str, str]:
    """The points that were measured of a logged model, as the lines of a file for each metric."""
    lines: dict[str, str] = {}
    for point in metrics:
        words = [point.timestamp, repr(point.value), point.step, point.run_id]
        named = [point.dataset_name, point.dataset_digest]
        if all(name and not set(name) & set(string.whitespace) for name in named):  # as MLflow tells words apart
            words += named
        lines[point.key] = lines.get(point.key, "") + " ".join(map(str, words)) + "\n"
    return lines


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def _name(key: str) -> Path:
    """A key as a file's name: MLflow takes slashes for folders, and refuses what would lead out of its own."""
    path = Path(key)
    if path.is_absolute() or ".." in path.parts or str(path) != key or key == ".":
        raise ValueError(f"the key {key!r} is no file's name")
    return path


def _number(name: str) -> str:
    """An id as MLflow makes them, 18 digits, the same for a name each time."""
    return str(10**17 + int(hashlib.sha256(name.encode()).hexdigest(), 16) % (9 * 10**17))


def _uri(path: Path) -> str:
    return f"file://{quote(str(path))}"
