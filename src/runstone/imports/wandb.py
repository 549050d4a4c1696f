"""Runs that W&B left in folders, as it does offline: `wandb/offline-run-…`, each with a log and its files."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runstone.errors import MissingLibrary, RunstoneError
from runstone.git.objects import is_object_id
from runstone.imports.foreign import MAX_FILE, derived_id, file_time, flatten, part
from runstone.imports.incoming import IncomingRun, unlisted
from runstone.imports.intake import Intake
from runstone.imports.wandb_files import logged_files, run_files
from runstone.imports.wandb_log import Log
from runstone.imports.wandb_run import Gathered
from runstone.records.experiment import Experiment
from runstone.records.run import Environment, Run, Source

ORIGIN = "wandb"
_REQUIREMENTS = "requirements.txt"


def bring(
    intake: Intake,
    path: Path,
    *,
    experiment: str | None = None,
    system_metrics: bool = False,
    follow_links: bool = False,
) -> None:
    """Take in the runs that W&B left below a folder.

    The id of a run is made of its project and of its id at W&B. A run that was resumed has several folders, and is one.

    Args:
        intake: Where to.
        path: A folder with folders of runs in it at any depth, as `wandb`; one of them; or a log.
        experiment: The name of the experiment that all go to; else each goes to that of its project's name.
        system_metrics: Whether what W&B measured of the machine comes, too, as metrics `system/…`.
        follow_links: Whether files that `wandb.save` linked come, too. A folder that others made may have links to any
            file of this machine, so only for folders of one's own.

    Raises:
        MissingLibrary: wandb is not installed.
        RunstoneError: There is no run of W&B below the folder.
    """
    record_type, decode_error = _library()
    groups: dict[str, list[Path]] = {}
    for log in _find(intake, path):
        groups.setdefault(log.name, []).append(log)
    if not groups:
        raise RunstoneError(
            f"There is no run of W&B in {path}: a folder `offline-run-…` with a file `run-….wandb` in it. "
            "Name the folder that W&B wrote to: `runstone import wandb DIR`"
        )
    intake.total = len(groups)
    experiments: dict[str, Experiment] = {}
    for logs in groups.values():
        for found, folders in _read(intake, logs, record_type, decode_error):
            name = experiment or found.project or ORIGIN
            if name not in experiments:
                experiments[name] = intake.experiment(name, origin=ORIGIN)
            intake.run(_incoming(intake, found, folders, experiments[name], system_metrics, follow_links))


def _library() -> tuple[Any, type[Exception]]:
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto.wandb_internal_pb2 import Record
    except ImportError as error:
        raise MissingLibrary("wandb", "read the folders of W&B", "'runstone[wandb]'") from error
    return Record, DecodeError


def _find(intake: Intake, path: Path) -> Iterator[Path]:
    """The logs below a folder, oldest first, each content once; links are not followed."""
    if path.is_file():
        yield path
        return
    logs = []
    for folder, folders, files in os.walk(path, onerror=lambda e: intake.not_carried("folder", *unlisted(e, path))):
        folders[:] = [each for each in folders if each not in ("files", "logs", "tmp")]
        logs += [Path(folder, name) for name in files if name.startswith("run-") and name.endswith(".wandb")]
    seen: set[bytes] = set()
    for log in sorted(logs, key=lambda log: (log.parent.name.rpartition("run-")[2], str(log))):
        if log.is_symlink() or not log.is_file() or not os.access(log, os.R_OK):
            intake.not_carried("run", log.name, "its log is a link, no file, or may not be read")
            continue
        with log.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        if digest not in seen:
            seen.add(digest)
            yield log


def _read(
    intake: Intake, logs: list[Path], record_type: Any, decode_error: type[Exception]
) -> Iterator[tuple[Gathered, list[Path]]]:
    """The runs of logs of one name: mostly one, and more where projects gave one id."""
    found: dict[tuple[str, str], tuple[Gathered, list[Path]]] = {}
    for path in logs:
        log, told = Log(path), f"{path.parent.name}/{path.name}"
        target: Gathered | None = None
        early: list[Any] = []
        try:
            for record in _decoded(log, record_type, decode_error):
                if target is None:
                    early.append(record)
                    if record.WhichOneof("record_type") == "run" and record.run.run_id:
                        key = (record.run.entity, record.run.project)
                        target, folders = found.setdefault(key, (Gathered(), []))
                        target.exit_code = None  # resumed: how it ended is for the last log to say
                        folders.append(path.parent)
                        for each in early:
                            target.add(each)
                else:
                    target.add(record)
        except RunstoneError as error:
            intake.not_carried("run", told, str(error))
            continue
        if log.lost:
            why = f"{log.lost} bytes of its log are torn or damaged; what is whole was carried"
            intake.not_carried("log", told, why)
        if target is None:
            intake.not_carried("run", told, "its log does not say which run it is of")
    yield from found.values()


def _decoded(log: Log, record_type: Any, decode_error: type[Exception]) -> Iterator[Any]:
    for data in log.records():
        try:
            yield record_type.FromString(data)
        except decode_error:
            log.lost += len(data)


def _incoming(
    intake: Intake,
    found: Gathered,
    folders: list[Path],
    experiment: Experiment,
    system_metrics: bool,
    follow_links: bool,
) -> IncomingRun:
    told = f"run {found.name or found.run_id}"
    _tell(intake, found, told, system_metrics=system_metrics)
    started = found.started if found.started is not None else file_time(folders[0])
    if found.exit_code is None:
        why = "its log does not say how it ended; recorded as FAILED. If it still runs, import it again afterwards"
        intake.not_carried("end", told, why, is_loss=False)
    redactor = intake.workspace.redactor
    run = Run(
        id=derived_id(ORIGIN, found.entity, found.project, found.run_id),
        name=found.name or found.run_id,
        experiment=experiment.name,
        experiment_id=experiment.experiment_id,
        status="FINISHED" if found.exit_code == 0 else "FAILED",
        user=found.user,
        started=started,
        ended=max(found.last, started),
        source=Source(
            command=redactor.command(["python", found.program, *found.arguments]) if found.program else (),
            commit=found.commit if is_object_id(found.commit) else None,
            remote=found.remote or None,
        ),
        environment=Environment(python=found.python or None, platform=found.platform or None),
        params={key: value for key, value in flatten(found.config) if key and key.partition(".")[0] != "_wandb"},
        tags=_tags(found),
    )
    refuse = intake.report.refusal("artifact", told)
    files = {f.path: f for folder in folders for f in run_files(folder, refuse, follow_links=follow_links)}
    texts = [files.pop(_REQUIREMENTS).file] if _REQUIREMENTS in files else []
    requirements = [text for text in texts if isinstance(text, Path) and text.stat().st_size <= MAX_FILE]
    return IncomingRun(
        run=run,
        origin=ORIGIN,
        points=[*found.metrics, *(found.system if system_metrics else ())],
        artifacts=[*files.values(), *logged_files(found.artifacts, refuse)],
        notes=found.notes or None,
        requirements=requirements[0].read_text("utf-8", "replace") if requirements else None,
    )


def _tags(found: Gathered) -> dict[str, str]:
    known = {
        "run_id": found.run_id,
        "entity": found.entity,
        "project": found.project,
        "group": found.group,
        "job_type": found.job_type,
        "sweep": found.sweep,
        **{f"tag.{tag}": "true" for tag in found.tags},
        **{f"summary.{key}": text for key, text in found.summary_texts.items()},
        **{f"artifact.{part(each.name)}": each.type for each in found.artifacts},
    }
    return {f"wandb.{key}": value for key, value in known.items() if value}


def _tell(intake: Intake, found: Gathered, told: str, *, system_metrics: bool) -> None:
    for (kind, what), count in found.passed.items():
        if kind.startswith("damaged "):
            intake.not_carried(kind.removeprefix("damaged "), f"{told}: {what}", "it is no JSON", number=count)
        elif kind == "TensorBoard folder":
            why = "it is TensorBoard's. Import it: `runstone import tensorboard DIR`"
            intake.not_carried(kind, f"{told}: {what}", why, is_loss=False)
        elif kind == "used artifact":
            intake.not_carried(kind, f"{told}: {what}", "what a run used is on W&B's servers", is_loss=False)
        else:
            why = "a step of a run holds numbers here, and has no place for it"
            intake.not_carried(kind, f"{told}: {what}", why, is_loss=False, number=count)
    if found.system and not system_metrics:
        why = "they are of the machine. To have them: `--system-metrics`"
        intake.not_carried("system metrics", told, why, is_loss=False, number=len(found.system))
