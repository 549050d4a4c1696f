"""A registry of gto's: its git tags become models, versions with the files of their commits, stages and aliases."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runstone.errors import GitFailed, InvalidName, ObjectMissing, RemoteUnreachable, RunstoneError
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.git.stream import hide_credentials
from runstone.imports.dvc_files import Named
from runstone.imports.dvc_outputs import DvcBytes
from runstone.imports.foreign import derived_id
from runstone.imports.gto_content import FOLDER, Content, find_content
from runstone.imports.gto_models import Wanted, carry_model
from runstone.imports.gto_tags import Artifact, Event, read_artifacts
from runstone.imports.incoming import NO_DIGEST, IncomingRun
from runstone.imports.intake import Intake
from runstone.records.experiment import Experiment
from runstone.records.model import ModelReference
from runstone.records.run import Run, Source
from runstone.tracking.shown import counted
from runstone.tracking.source import remote_url

ORIGIN = "gto"


def bring(
    intake: Intake, source: str | Path, *, experiment: str | None = None, stages: Mapping[str, str] | None = None
) -> None:
    """Take in what gto registered.

    Versions are numbered 1, 2, 3 … in the order in which they were registered, and keep gto's as the tag `gto.version`.
    Each gets a run whose code is the commit of gto's tag, and whose files are what the artifact's path holds there.

    Args:
        intake: Where to.
        source: A repository: a folder, or a URL, which is cloned to a scratch place.
        experiment: The name of the experiment of the runs; `gto` if not given.
        stages: gto's stage → the stage here. One that is not named goes to the stage of the policy that has its name,
            written large or small; where there is none, it becomes an alias.

    Raises:
        NotARepository, RemoteUnreachable: The repository cannot be had.
        RunstoneError: It has no tag of gto's.
    """
    with _opened(source) as repo:
        artifacts = read_artifacts(repo)
        if not artifacts:
            raise RunstoneError(
                f"{hide_credentials(str(source))} has no git tags of gto's, such as `churn@v1.0.0`. If they are on a "
                "remote, fetch them first: `git fetch --tags`"
            )
        intake.total = sum(len(artifact.versions) for artifact in artifacts)
        into = intake.experiment(experiment or ORIGIN, origin=ORIGIN)
        data = DvcBytes(intake.workspace, repo, _dvc_config(repo), may_pull=not intake.report.is_dry)
        wanted = {each.name: list(_bring_versions(intake, repo, data, each, into)) for each in artifacts}
        described = {each.name: _entry(repo, data, each) for each in artifacts}
    intake.flush()
    for artifact in artifacts:
        try:
            carry_model(intake, artifact, described[artifact.name], wanted[artifact.name], stages or {})
        except RunstoneError as error:
            lost = f" Not here with it: {counted(len(artifact.versions), 'version')}"
            why = f"{error}{lost if isinstance(error, InvalidName) else ''}"  # any other may come after some of them
            intake.not_carried("registered model", artifact.name, why)


@contextmanager
def _opened(source: str | Path) -> Iterator[Repository]:
    text = str(source)
    if Path(text).is_dir() or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/:]+:(?!\\)", text):
        repo = Repository.open(text)
        yield repo
        return
    with tempfile.TemporaryDirectory(prefix="runstone-") as scratch:
        target = Path(scratch, "source.git")
        try:
            run_git(
                ["clone", "--quiet", "--bare", "--", text, str(target)],
                cwd=Path(scratch),
                env={"GIT_TERMINAL_PROMPT": "0"},
            )
        except GitFailed as failure:
            raise RemoteUnreachable("gto", hide_credentials(text), hide_credentials(failure.stderr)) from failure
        repo = Repository.open(target)
        try:
            yield repo
        finally:
            repo.close()


def _dvc_config(repo: Repository) -> str | None:
    found = repo.objects.find("HEAD:.dvc/config")
    return found[2].decode("utf-8", "replace") if found is not None and found[1] == "blob" else None


def _bring_versions(
    intake: Intake, repo: Repository, data: DvcBytes, artifact: Artifact, into: Experiment
) -> Iterator[Wanted]:
    """Take in the runs of an artifact's versions; gives them in their order."""
    for version, event in artifact.versions.items():
        told = f"{artifact.name} {version}"
        try:
            content = find_content(repo, data, event.commit, artifact.name)
        except ObjectMissing as error:
            intake.not_carried("version", told, f"its commit is not in the repository: {error}")
            continue
        run = _run(intake, repo, artifact, version, event, content, into)
        refuse = intake.report.refusal("artifact", told)
        outcome = intake.run(IncomingRun(run=run, origin=ORIGIN, artifacts=content.files(refuse)))
        yield Wanted(version, outcome.run_id, event, not content.missing and not intake.without_files)
    for version in artifact.removed:
        why = "its registration was taken back there (`gto deregister`)"
        intake.not_carried("version", f"{artifact.name} {version}", why, is_loss=False)


def _entry(repo: Repository, data: DvcBytes, artifact: Artifact) -> Named | None:
    """What is said of an artifact now: at HEAD, or else at its newest version."""
    newest = [event.commit for event in artifact.versions.values()][-1:]
    for revision in ("HEAD", *newest):
        commit = repo.objects.resolve(revision)
        entry = find_content(repo, data, commit, artifact.name).entry if commit is not None else None
        if entry is not None:
            return entry
    return None


def _run(
    intake: Intake,
    repo: Repository,
    artifact: Artifact,
    version: str,
    event: Event,
    content: Content,
    into: Experiment,
) -> Run:
    entry = content.entry
    known = {
        "gto.artifact": artifact.name,
        "gto.version": version,
        "gto.type": entry.type if entry is not None else "",
        "gto.path": entry.path if entry is not None else "",
    }
    return Run(
        id=derived_id(ORIGIN, artifact.name, version, event.commit),
        name=f"{artifact.name} {version}",
        experiment=into.name,
        experiment_id=into.experiment_id,
        status="FINISHED",
        user=event.author,
        started=event.time,
        ended=event.time,
        source=Source(commit=event.commit, remote=remote_url(repo.git_config, intake.workspace.redactor)),
        tags={key: value for key, value in known.items() if value},
        models=(ModelReference(FOLDER, (), NO_DIGEST, 0),),
    )
