"""Scoring a folder of tables on a Ray cluster, by Ray Data: a file is a task, and the result that of one machine.

Ray schedules; Runstone does not. The cluster's machines see the folders under the same paths (a shared disk), and have
Runstone and the model's library installed.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runstone.artifacts.descriptor import Descriptor
from runstone.errors import DataRefused, RunstoneError, ScoringFailed, UsageError
from runstone.flavors.saving import library
from runstone.scoring import output as places
from runstone.scoring.batch import InputDigest, Meter, Plan, Progress, Scored, folder_digest, score_into
from runstone.scoring.packed import Packed

_REACH_S = 10.0


class FileScorer:
    """An actor of the cluster: it holds the model, and scores one file after another."""

    def __init__(self, packed: Any, planned: Plan, folder: str) -> None:
        import ray

        model: Packed = ray.get(packed)
        self._model, self._plan, self._folder = model.load(), planned, Path(folder)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Score one file; errors of ours are told as values, so that the driver can raise them as they are."""
        path = str(row["path"])
        meter = Meter(self._model, self._plan)
        nothing = {"path": path, "rows": 0, "columns": "", "md5": "", "size": 0, "error": ""}
        try:
            written = score_into(meter, path, str(row["format"]), self._folder)
        except RunstoneError as error:
            return nothing | {"error": f"{type(error).__name__}\0{error}"}
        if written is None:
            return nothing
        columns = "\0".join(meter.columns)
        return nothing | {
            "path": written.path, "rows": meter.rows, "columns": columns, "md5": written.md5, "size": written.size
        }  # fmt: skip


class FailedThere(RunstoneError):
    """What failed on a machine of the cluster, in its own words."""


def score(packed: Packed, planned: Plan, *, address: str | None, progress: Progress | None = None) -> Scored:
    """Score a folder on a cluster.

    Args:
        packed: The model.
        planned: What `plan` made of the job: a folder into a folder.
        address: The cluster's address, `auto` for the one that RAY_ADDRESS or this machine tells; None starts a local
            one for this call.
        progress: Told of each file.

    Writes:
        The output folder, whole or not at all.

    Raises:
        MissingLibrary: Ray is not installed.
        UsageError: It is no folder into a folder, or there is no cluster at the address.
        FailedThere: A file could not be scored.
    """
    if not planned.is_folder:
        raise UsageError("`--engine ray` scores a folder into a folder: `-i FOLDER -o FOLDER`")
    ray = library("ray", "score on a cluster", "'runstone[ray]'")
    library("ray.data", "score on a cluster", "'runstone[ray]'")
    job = planned.job
    here = Plan(
        job=_absolute(planned),
        files=tuple((str(Path(path).resolve()), format) for path, format in planned.files),
        format=planned.format,
        is_folder=True,
    )
    is_ours = not ray.is_initialized()
    if is_ours:
        try:
            _try(address)
            local = {"include_dashboard": False} if address is None else {}
            ray.init(address=address, log_to_driver=False, configure_logging=False, **local)
        except (OSError, OverflowError, ValueError, RuntimeError) as error:
            why = f"There is no Ray cluster at {address!r}: {error}"
            raise UsageError(f"{why}. Start one: `ray start --head`") from None
    try:
        with InputDigest(planned) as inputs, places.new_folder(Path(job.output), force=job.force) as folder:
            rows = _score_files(ray, packed, here, folder, progress)
            files = [Descriptor(row["path"], row["size"], row["md5"]) for row in rows if row["rows"]]
            total = sum(row["rows"] for row in rows)
            if not total:
                raise DataRefused(job.input, "it has no rows", "Name what is to be scored: `-i PATH`")
            given = inputs.result()
            columns = next(row["columns"] for row in rows if row["rows"]).split("\0")
        return Scored(int(total), tuple(columns), given, folder_digest(files))
    finally:
        if is_ours:
            ray.shutdown()


def _try(address: str | None) -> None:
    """Raise where nothing listens at `HOST:PORT`: Ray itself would go on trying for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()


def _absolute(planned: Plan) -> Any:
    from dataclasses import replace

    job = planned.job
    return replace(job, input=str(Path(job.input).resolve()), output=str(Path(job.output).resolve()))


def _score_files(
    ray: Any, packed: Packed, planned: Plan, folder: Path, progress: Progress | None
) -> list[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = [{"path": path, "format": format} for path, format in planned.files]
    workers = max(1, min(len(items), int(ray.cluster_resources().get("CPU", 1))))
    tasks = ray.data.from_items(items, override_num_blocks=len(items)).map(
        FileScorer,
        fn_constructor_args=(ray.put(packed), planned, str(folder.resolve())),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        num_cpus=1,
    )
    rows: list[dict[str, Any]] = []
    try:
        for row in tasks.iter_rows():
            if row["error"]:
                raise FailedThere(row["error"].partition("\0")[2])
            rows.append(row)
            if progress is not None:
                progress(len(rows), len(items))
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())[-500:]
        raise ScoringFailed(planned.job.input, 1, 0, text) from error
    return rows
