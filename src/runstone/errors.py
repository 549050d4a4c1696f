"""What can go wrong: one family. Each error says what happened, where, and what to do next.

The class names the case and keeps its parts as fields; the message is built in the class.
`cli` turns `exit_code` into the exit code of the process: 1 expected, 2 usage or undecided, 3 a bug.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path


class RunstoneError(Exception):
    """Any error that Runstone raises on purpose."""

    exit_code = 1


class UsageError(RunstoneError):
    """A call that cannot be understood: arguments that contradict each other or do not exist."""

    exit_code = 2


class InvalidName(UsageError):
    """A name, key or id that cannot be used."""

    def __init__(self, kind: str, name: str, why: str) -> None:
        self.kind, self.name, self.why = kind, name, why
        shown = name if len(name) <= 80 else f"{name[:77]}…"
        super().__init__(f"The {kind} {shown!r} cannot be used: {why}.")


class InvalidUri(UsageError):
    """A URI that is neither `runs:/…` nor `models:/…`."""

    def __init__(self, uri: str, why: str) -> None:
        self.uri, self.why = uri, why
        super().__init__(
            f"The URI {uri!r} cannot be read: {why}. Write `runs:/<run id>/<path>`, `models:/<name>/<version>`, "
            "`models:/<name>@<alias>` or `models:/<name>/latest`."
        )


class InvalidValue(UsageError):
    """A value that a param, metric or tag cannot hold."""


class NotARepository(RunstoneError):
    """No git repository holds this folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} is not in a git repository. Make one there: `git init`; or work in one: `cd DIR`, `--repo DIR`."
        )


class GitFailed(RunstoneError):
    """git refused or could not do what it was asked."""

    def __init__(self, command: Sequence[str], code: int, stderr: str) -> None:
        self.command, self.code, self.stderr = tuple(command), code, stderr.strip()
        super().__init__(f"`git {' '.join(command)}` ended with {code}: {self.stderr or 'it printed nothing'}")


class GitMissing(RunstoneError):
    """There is no git on this machine."""

    def __init__(self) -> None:
        super().__init__("There is no `git` on the PATH. Install git 2.34 or newer, then try again.")


class RefMoved(RunstoneError):
    """A ref was no longer where it was read: another process moved it first."""

    def __init__(self, ref: str, expected: str | None) -> None:
        self.ref, self.expected = ref, expected
        super().__init__(f"`{ref}` is no longer at {expected or 'nothing'}: another process moved it. Try again.")


class RefBlocked(RunstoneError):
    """git refused to write a ref, and trying again would not help."""

    def __init__(self, ref: str, why: str) -> None:
        self.ref, self.why = ref, why
        super().__init__(f"git refused to write `{ref}`: {why}")


class ObjectMissing(RunstoneError):
    """An object that a ref or tree names is not in the repository, or is torn."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"The object {name} is missing or damaged in this repository. See what else is: `runstone doctor`; "
            "in a shallow or partial clone fetch it: `git fetch --unshallow`"
        )


class ReadOnlyRepository(RunstoneError):
    """The repository cannot be written to."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"{path} cannot be written ({why}), so nothing new can be tracked in it; reading works. "
            "Track in a clone: `git clone URL`, or name another repository: `--repo DIR`, RUNSTONE_REPO."
        )


class DiskFull(RunstoneError):
    """No room, or no permission, to write what was to be kept. What was kept before is untouched."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(
            f"{path} could not be written: {why}. Nothing of this call was recorded, and what was recorded before is "
            "safe. Make room, then call again; a run that had ended is committed by `runstone recover`."
        )


class ArtifactMissing(RunstoneError):
    """The bytes of an artifact that a record names are not where they were looked for."""

    def __init__(self, digest: str, where: str, next_step: str) -> None:
        self.digest, self.where = digest, where
        super().__init__(f"The artifact bytes md5:{digest} are not in {where}. {next_step}")


class ArtifactCorrupt(RunstoneError):
    """The bytes of an artifact are not those that its digest was made from, so they were not used."""

    def __init__(self, digest: str, where: str, found: str, next_step: str) -> None:
        self.digest, self.where, self.found = digest, where, found
        super().__init__(
            f"{where} should hold the artifact bytes md5:{digest}, but its content has md5:{found}: it was damaged or "
            f"changed, and was not used. {next_step}"
        )


class RemoteNotConfigured(UsageError):
    """There is no such DVC remote, or none at all, or several and none is the default."""

    def __init__(self, name: str | None, known: Collection[str] = ()) -> None:
        self.name, self.known = name, tuple(known)
        if name is not None:
            what = f"There is no DVC remote `{name}`."
        else:
            what = "No DVC remote is the default." if known else "No DVC remote is configured."
        have = f" There are: {', '.join(known)}." if known else ""
        step = (
            "Choose one: `dvc remote default NAME`"
            if known
            else "Add one: `runstone init --remote URL`, or where DVC is set up `dvc remote add --default NAME URL`"
        )
        super().__init__(f"{what}{have} {step}")


class RemoteFailed(RunstoneError):
    """A DVC remote did not do what it was asked; what had been moved before stays moved."""

    def __init__(self, name: str, url: str, why: str, next_step: str) -> None:
        self.name, self.url, self.why = name, url, why
        super().__init__(f"The DVC remote `{name}` ({url}): {why}. {next_step}")


class ArtifactRefused(RunstoneError):
    """A file or folder that cannot be kept as an artifact."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path} cannot be logged: {why}. Log the files themselves: `log_artifact(FILE)`")


class ArtifactNotFound(RunstoneError):
    """A run has no artifact of this path."""

    def __init__(self, run_id: str, path: str) -> None:
        self.run_id, self.path = run_id, path
        super().__init__(f"Run {run_id} has no artifact {path!r}. List them: `runstone artifacts list {run_id}`")


class CopyRefused(RunstoneError):
    """A place that artifacts cannot be copied to."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"Nothing was copied to {path}: {why}. Make a folder and name it: `mkdir DIR`")


class ExperimentExists(RunstoneError):
    """An experiment has this name already."""

    def __init__(self, name: str, *, deleted: bool) -> None:
        self.name, self.deleted = name, deleted
        state = (
            f"is deleted. Restore it: `runstone experiments restore '{name}'`, or take another name."
            if deleted
            else "exists already. Use it: `runstone.set_experiment`, or take another name."
        )
        super().__init__(f"The experiment {name!r} {state}")


class RunActive(UsageError):
    """A run was to begin while another is active in this thread."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} is already active in this thread. End it first: `runstone.end_run()`, "
            "or begin the new one inside it: `start_run(nested=True)`."
        )


class RunIsLive(RunstoneError):
    """A run was to be changed while another process logs to it."""

    def __init__(self, run_id: str, what: str) -> None:
        self.run_id, self.what = run_id, what
        super().__init__(
            f"Run {run_id} cannot be {what}: a process still logs to it. Let it end; if it hangs or is on a machine "
            f"that is gone: `runstone recover --force {run_id}`"
        )


class RunExists(RunstoneError):
    """A run of this id exists already."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"The run {run_id} exists already. Take another id, or take it up again: `start_run(run_id={run_id!r})`"
        )


class ParamConflict(UsageError):
    """A param was logged again with another value. Params describe what a run was given, so they never change."""

    def __init__(self, run_id: str, key: str, old: object, new: object) -> None:
        self.run_id, self.key, self.old, self.new = run_id, key, old, new
        super().__init__(
            f"The param {key!r} of run {run_id} is {old!r:.80} and cannot become {new!r:.80}. "
            "Log what changes as a metric or a tag, or begin a nested run."
        )


class ModelNotFound(RunstoneError):
    """The registry has no model of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        have = f"It has {_some(known)}." if known else "It has none yet."
        super().__init__(f"The registry has no model {name!r}. {have} List them: `runstone models list`")


class VersionNotFound(RunstoneError):
    """A registered model has no version of this number."""

    def __init__(self, name: str, version: int, known: Sequence[int]) -> None:
        self.name, self.version, self.known = name, version, tuple(known)
        super().__init__(
            f"No model version `{name}/{version}`. The registry has {_some([str(n) for n in known])}. "
            f"List them: `runstone models show {name}`"
        )


class AliasNotFound(RunstoneError):
    """A registered model has no alias of this name."""

    def __init__(self, name: str, alias: str, known: Sequence[str]) -> None:
        self.name, self.alias, self.known = name, alias, tuple(known)
        have = f"It has {_some(known)}." if known else "It has none."
        step = f"Set it: `runstone models alias '{name}' '{alias}' VERSION`"
        super().__init__(f"The model {name!r} has no alias {alias!r}. {have} {step}")


class NotAModel(RunstoneError):
    """What was to be registered is no model folder of its run."""

    def __init__(self, source: str, known: Sequence[str]) -> None:
        self.source, self.known = source, tuple(known)
        have = f"The run logged {_some(known)}." if known else "The run logged no model."
        super().__init__(f"`{source}` is no model. {have} Log one: `runstone.sklearn.log_model(model, 'model')`")


class LocalEdits(RunstoneError):
    """A commit would change files that have edits in a work tree."""

    def __init__(self, work_tree: Path, paths: Sequence[str]) -> None:
        self.work_tree, self.paths = work_tree, tuple(paths)
        super().__init__(
            f"{work_tree} has local edits in {_some(paths)}, which this commit would change. "
            "Commit or stash them, then try again: `git stash`"
        )


class ReviewRequired(RunstoneError):
    """The project reviews such changes, so it was not made."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} was not moved: `promotion: review` in runstone.yaml says that such changes are reviewed. Edit the "
            "file on a branch and open a pull request; `runstone promote` will write it for you in a later version."
        )


class RunNotRecorded(RunstoneError):
    """A run has ended and could not be committed; the message says where its journal is."""

    def __init__(self, run_id: str, text: str) -> None:
        self.run_id = run_id
        super().__init__(text)


class RunEnded(RunstoneError):
    """Something was to be logged to a run that has ended."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} has ended, so nothing more can be logged through this handle. "
            f"Take it up again: `runstone.start_run(run_id={run_id!r})`"
        )


class MissingLibrary(RunstoneError):
    """An optional library that this call needs is not installed."""

    def __init__(self, library: str, purpose: str, install: str) -> None:
        self.library, self.purpose = library, purpose
        super().__init__(
            f"`{library}` is needed to {purpose}, and is not installed. Install it: `pip install {install}`"
        )


class InvalidModelFolder(RunstoneError):
    """A model folder that cannot be read, or cannot be written as asked."""

    def __init__(self, folder: Path, problem: str, *, next_step: str | None = None) -> None:
        self.folder, self.problem = folder, problem
        step = next_step or "Save the model again, or get the folder again from where it was tracked."
        super().__init__(f"The model folder {folder}: {problem}. {step}")


class UnknownFlavor(RunstoneError):
    """A kind of model that this Runstone does not know."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"No flavor `{name}` is known to this Runstone, which knows: {', '.join(known)}. "
            "A newer one may: `pip install --upgrade runstone`"
        )


class UntrustedModel(RunstoneError):
    """A file of a model folder that would run code when loaded, and nobody vouches for it."""

    def __init__(self, folder: Path, file: str) -> None:
        self.folder, self.file = folder, file
        super().__init__(
            f"The model folder {folder}: loading `{file}` runs code that is stored in it, and no digest in git "
            "vouches for it, so it was not loaded. Load it from where it was tracked "
            "(`runs:/<run id>/<path>`, `models:/<name>/<version>`), "
            "or, if you trust whoever made it, say so: `allow_pickle=True`"
        )


class ModelFileChanged(RunstoneError):
    """A file of a model folder that is not the one recorded in git."""

    def __init__(self, folder: Path, file: str, recorded: str | None, found: str) -> None:
        self.folder, self.file, self.recorded, self.found = folder, file, recorded, found
        what = f"has md5 {found}, but {recorded} was recorded" if recorded else "is no recorded file"
        super().__init__(
            f"The model folder {folder}: `{file}` {what}, so the model was not loaded. "
            "Delete the folder and get it again: `runstone artifacts pull`"
        )


class InvalidSignature(UsageError):
    """A model signature that contradicts itself or cannot be read."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"The model signature cannot be used: {why}.")


class InputMismatch(UsageError):
    """Data for a prediction that does not fit the model's signature."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"The data does not fit the model's signature: {why}. See it: `model.metadata.signature`")


class RecordInvalid(RunstoneError):
    """A record that breaks its schema: file, key and what was found there."""

    def __init__(self, where: str, problem: str, *, next_step: str | None = None) -> None:
        self.where, self.problem = where, problem
        found = re.fullmatch(r"(.*)( at [0-9a-f]{7,64})", where, re.DOTALL)  # the file, and the commit it was read at
        path, commit = found.groups() if found else (where, "")
        quoted = path if re.fullmatch(r"[\w./@%+-]+", path) else '"' + path + '"'
        step = next_step or f"Correct it, then: `runstone validate {quoted}`"
        super().__init__(f"`{path}`{commit}: {problem}. {step}")


class NewerFormat(RunstoneError):
    """A record written by a newer Runstone than this one."""

    def __init__(self, where: str, schema: str, known: str) -> None:
        self.where, self.schema, self.known = where, schema, known
        super().__init__(
            f"`{where}` has the format `{schema}`, and this Runstone reads up to `{known}`. "
            "Upgrade: `pip install --upgrade runstone`"
        )


class FilterInvalid(UsageError):
    """A filter or an `order_by` that cannot be understood; the message points at the place."""

    def __init__(self, kind: str, text: str, at: int, problem: str, next_step: str) -> None:
        self.kind, self.text, self.at, self.problem, self.next_step = kind, text, at, problem, next_step
        begin = max(0, at - 60)
        shown = "".join(c if c.isprintable() else " " for c in text[begin : at + 40])
        lead, tail = "…" if begin else "", "…" if len(text) > at + 40 else ""
        pointer = " " * (len(lead) + at - begin) + "^"
        super().__init__(f"The {kind} cannot be read: {problem}.\n  {lead}{shown}{tail}\n  {pointer}\n{next_step}")


class InvalidPageToken(UsageError):
    """A page token that no search gave out."""

    def __init__(self, token: str) -> None:
        self.token = token
        super().__init__(
            f"The page token {token[:80]!r} cannot be read. Pass the `token` of the page before, unchanged, "
            "or none to begin at the first page."
        )


class RunNotFound(RunstoneError):
    """No run has this id, begins with it, or bears this name."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"No run {run_id[:120]!r} in this repository. List them: `runstone runs list`; "
            "fetch those of others: `git fetch origin runs:runs`"
        )


class RunAmbiguous(UsageError):
    """Several runs begin with this id, or bear this name."""

    def __init__(self, text: str, candidates: Sequence[str]) -> None:
        self.text, self.candidates = text, tuple(candidates)
        listed = "".join(f"\n  {candidate}" for candidate in candidates[:10])
        more = f"\n  … and {len(candidates) - 10} more" if len(candidates) > 10 else ""
        super().__init__(f"{text!r} means {len(candidates)} runs. Write more of the id:{listed}{more}")


class ExperimentNotFound(RunstoneError):
    """No experiment has this id or name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"No experiment {name[:120]!r} in this repository. List them: `runstone experiments list`; "
            "make it: `runstone experiments create NAME`"
        )


class RecordsSkipped(UserWarning):
    """Records that a search could not read and left out; nothing of them is lost."""


class EndingFailed(UserWarning):
    """A `with` block ended with an exception, and its run could not be ended as it should; the exception goes on."""


class NotYetRegistered(RunIsLive):
    """A model was to be registered while its run is open: a version is a git tag on the run's commit."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "registered")
        self.args = (
            f"Run {run_id} has not ended, so its model cannot be registered yet: a version is a git tag on the run's "
            "commit. Register after the `with start_run()` block, or leave it to the run's end: "
            "`log_model(…, registered_model_name=NAME)`",
        )


class BranchBehind(RunstoneError):
    """The registry's branch is checked out and older than its remote, so that a commit would hide what came since."""

    def __init__(self, branch: str, work_tree: Path) -> None:
        self.branch, self.work_tree = branch, work_tree
        super().__init__(
            f"`{branch}` is checked out in {work_tree} and is behind `origin/{branch}`, so nothing was changed. "
            "Bring it up to date, then try again: `git pull --ff-only`"
        )


def _some(names: Sequence[str]) -> str:
    """Up to ten names as a sentence holds them."""
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
