"""What can go wrong: one family. Each error says what happened, where, and what to do next.

The class names the case and keeps its parts as fields; the message is built in the class.
`cli` turns `exit_code` into the exit code of the process: 1 expected, 2 usage or undecided, 3 a bug.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from shlex import quote


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


class RepositoryMoved(RunstoneError):
    """A linked work tree names a repository that is not where it was."""

    def __init__(self, path: Path, named: str) -> None:
        self.path, self.named = path, named
        super().__init__(
            f"{path} is a linked work tree of a repository that is no longer at {named}. If that was moved, tell it "
            f"where this is: `git -C WHERE_IT_IS_NOW worktree repair {quote(str(path))}`"
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


class RefBroken(RunstoneError):
    """A ref that git cannot read, or that leads to nothing, so that nobody knows what it needed."""

    def __init__(self, ref: str, what: str) -> None:
        self.ref, self.what = ref, what
        super().__init__(f"`{ref}` {what}, so nobody knows what it needed. Mend it: `runstone doctor --fix`")


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


class RunNotDeleted(UsageError):
    """A run was to be removed for good that is not deleted."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"Run {run_id} is not deleted, so it is not removed. Delete it first: `runstone runs rm {run_id}`"
        )


class UnseenRefs(RunstoneError):
    """A git remote has what this repository has not seen, so nobody here knows which bytes it needs."""

    def __init__(self, remote: str, refs: Sequence[str]) -> None:
        self.remote, self.refs = remote, tuple(refs)
        super().__init__(
            f"`{remote}` has {_some(self.refs)}, which this repository has not seen and which may need the bytes, so "
            f"nothing is removed from the DVC remote. Get them, then try again: `runstone sync` and "
            f"`git fetch --tags {remote}`"
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


class WorkTreeDirty(RunstoneError):
    """A run whose code must be a commit, and is none; nothing was recorded."""

    def __init__(self, commit: str | None, paths: Sequence[str] = ()) -> None:
        self.commit, self.paths = commit, tuple(sorted(set(paths)))
        shown = [path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for path in self.paths[:10]]
        lines = ["\n  " + "".join(c if c.isprintable() else "?" for c in path) for path in shown]
        more = f"\n  and {len(self.paths) - 10:,} more" if len(self.paths) > 10 else ""
        what = "The work tree differs from HEAD" if commit else "There is no commit that holds the code"
        super().__init__(
            f"{what}, and `require_clean` refuses such a run. Nothing was recorded.{''.join(lines)}{more}\n"
            "Commit the code: `git add -A && git commit`; or allow runs of edited code: `require_clean: false` in "
            "runstone.yaml, RUNSTONE_REQUIRE_CLEAN=0"
        )


class WorkTreeRefused(RunstoneError):
    """git did not add or remove a linked work tree."""

    def __init__(self, path: Path, verb: str, why: str) -> None:
        self.path, self.verb, self.why = path, verb, why
        step = (
            "Name another folder, or see which there are: `git worktree list`"
            if verb == "add"
            else f"Keep what you need of it, then: `git worktree remove --force '{path}'`"
        )
        what = "be checked out" if verb == "add" else "be removed"
        super().__init__(f"{path} could not {what}: {why.removeprefix('fatal: ').rstrip('.')}. {step}")


class RemoteUnreachable(RunstoneError):
    """A git remote could not be asked, or the connection broke; nothing that was here is lost."""

    def __init__(self, remote: str, url: str, why: str) -> None:
        self.remote, self.url, self.why = remote, url, why
        super().__init__(
            f"The git remote `{remote}` ({url}) could not be used:\n{_indented(why)}\n"
            "Nothing is lost: what it does not have yet stays here. See that it can be reached and that its URL is "
            "right: `git remote -v`; then: `runstone sync`"
        )


class PushRefused(RunstoneError):
    """A git remote does not take what was pushed; it stays here, whole."""

    def __init__(self, remote: str, ref: str, why: str) -> None:
        self.remote, self.ref, self.why = remote, ref, why
        kind, _, name = ref.removeprefix("refs/").partition("/")
        step = (
            "or keep the runs on a branch that you may push: `branch: NAME` in runstone.yaml"
            if kind == "heads"
            else "or let somebody who has it sync: the runs have been sent"
        )
        super().__init__(
            f"The git remote `{remote}` refused `{name}`:\n{_indented(why)}\n"
            "It stays here, and the next `runstone sync` tries again. Ask whoever runs the remote for the right to push "
            f"it, {step}"
        )


class RemoteBusy(RunstoneError):
    """Others pushed to a git remote all the time, so that no push of ours came through."""

    def __init__(self, remote: str, ref: str, attempts: int, why: str) -> None:
        self.remote, self.ref, self.attempts, self.why = remote, ref, attempts, why
        super().__init__(
            f"`{ref}` could not be pushed to `{remote}` in {attempts} attempts:\n{_indented(why)}\n"
            "Nothing is lost. Try again: `runstone sync`"
        )


class NothingToSyncWith(RunstoneError):
    """A repository with neither a git remote nor a DVC remote."""

    def __init__(self) -> None:
        super().__init__(
            "This repository has neither a git remote nor a DVC remote, so there is nothing to sync with. Add one for "
            "the runs: `git remote add origin URL`; and one for their artifacts: `runstone init --remote URL`"
        )


class ArtifactsNotShared(RunstoneError):
    """Runs were to be pushed whose artifacts the DVC remote would lack, so they were not."""

    def __init__(self, run_ids: Sequence[str], why: str) -> None:
        self.run_ids, self.why = tuple(run_ids), why
        kept = f"{len(run_ids)} runs with artifacts" if len(run_ids) != 1 else f"Run {run_ids[0]}"
        super().__init__(
            f"{kept} cannot be shared yet: {why} What git names would not be there for the others. Share the records "
            "alone all the same: `runstone sync --no-artifacts`"
        )


class StageNotFound(RunstoneError):
    """A registered model has no version in this stage."""

    def __init__(self, name: str, stage: str, known: Sequence[str]) -> None:
        self.name, self.stage, self.known = name, stage, tuple(known)
        have = f"It has versions in {_some(known)}." if known else "No version of it is in a stage."
        super().__init__(
            f"The model {name!r} has no version in the stage {stage!r}. {have} See: `runstone models list`"
        )


class CodeMissing(RunstoneError):
    """The code of a run is not in this repository, or is not known."""

    def __init__(self, run_id: str, commit: str | None, why: str, next_step: str) -> None:
        self.run_id, self.commit = run_id, commit
        what = f"The code of run {run_id} (commit {commit[:12]})" if commit else f"The code of run {run_id}"
        super().__init__(f"{what} cannot be checked out: {why}. {next_step}")


class CodeNotHere(RunstoneError):
    """The code of two runs cannot be compared: a commit of it is not in this repository, or not known."""

    def __init__(self, missing: Sequence[str], next_step: str) -> None:
        self.missing = tuple(missing)
        what = (
            f"{', '.join(each[:12] for each in missing)} {'is' if len(missing) == 1 else 'are'} not in this repository"
            if missing
            else "the commit of one of them is not known"
        )
        super().__init__(f"The code of the two runs cannot be compared: {what}. {next_step}")


class CheckoutRefused(RunstoneError):
    """A folder or a branch that a run cannot be checked out to."""

    def __init__(self, where: str, why: str, next_step: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"Nothing was checked out to {where}: {why}. {next_step}")


class CheckoutIncomplete(RunstoneError):
    """Bytes that belong to a checkout could not be placed, so it was removed again."""

    def __init__(self, what: str, why: str, next_step: str) -> None:
        self.what, self.why = what, why
        super().__init__(f"Nothing was checked out, since {what} cannot be had: {why} {next_step}")


class CheckoutNotFound(RunstoneError):
    """No checkout that Runstone made lies there, or is of this run."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"Runstone made no checkout {what[:200]!r}. List those there are: `runstone checkout --list`")


class CheckoutInUse(RunstoneError):
    """A checkout holds work of the user's own, so it was not removed."""

    def __init__(self, path: Path, work: Sequence[str]) -> None:
        self.path, self.work = path, tuple(work)
        super().__init__(
            f"{path} was not removed, since it holds what is nowhere else: {_some(work)}. Commit it to a branch "
            f"(`git switch -c NAME`), or remove it all the same: `runstone checkout --clean --force '{path}'`"
        )


class PythonMissing(RunstoneError):
    """This machine has no Python of the version that a run used."""

    def __init__(self, version: str) -> None:
        self.version = version
        minor = ".".join(version.split(".")[:2])
        super().__init__(
            f"The run used Python {version}, and there is no Python {minor} here. Install one, and have `python{minor}` "
            f"on the PATH: with uv (`uv python install {minor}`), pyenv (`pyenv install {minor}`) or conda"
        )


class RequirementRefused(RunstoneError):
    """A line of a run's requirements that is none Runstone writes, so no installer was handed it."""

    def __init__(self, line: int, text: str) -> None:
        self.line, self.text = line, text
        super().__init__(
            f"requirements.txt of the run, line {line}: {text[:120]!r} is neither `name==version` nor `name @ URL`, and "
            "was not handed to an installer. Check the run out without `--env`, and install what you trust by hand."
        )


class EnvironmentFailed(RunstoneError):
    """The packages of a run cannot be installed any more; the message names the one that failed."""

    def __init__(self, package: str | None, output: Sequence[str], log: Path) -> None:
        self.package, self.output, self.log = package, tuple(output), log
        what = f"the package `{package}` cannot be installed" if package else "its packages cannot be installed"
        said = "".join(f"\n  {line[:300]}" for line in output)
        super().__init__(
            f"The environment of the run cannot be built: {what}.{said}\nAll that was said: {log}\n"
            "Check the run out without `--env`; then change that line in a copy of .runstone/requirements.txt and "
            "install the copy: `python -m venv VENV && VENV/bin/pip install --no-deps -r FILE`"
        )


def _indented(text: str) -> str:
    """Other programs' words, up to ten lines of them, as a message holds them."""
    lines = [f"  {line}" for line in text.splitlines()]
    return "\n".join([*lines[:10], "  …"] if len(lines) > 10 else lines)


class CommandNotFound(RunstoneError):
    """There is no such program to run."""

    exit_code = 127

    def __init__(self, program: str, *, is_here: bool = False) -> None:
        self.program = program
        step = (
            f"It is a file of this folder, so name it as one: `./{program}`, or name what runs it: `python {program}`"
            if is_here
            else "Look at its name, and at PATH. A line of shell needs one: `runstone run sh -c 'LINE'`"
        )
        super().__init__(f"There is no program {program[:200]!r}, so nothing was run and no run was recorded. {step}")


class CommandNotExecutable(RunstoneError):
    """The system cannot execute what was to be run."""

    exit_code = 126

    def __init__(self, program: str, *, is_folder: bool = False, why: str | None = None) -> None:
        self.program = program
        what = "is a folder" if is_folder else "cannot be executed" + (f" ({why})" if why else "")
        super().__init__(
            f"{program[:200]!r} {what}, so nothing was run and no run was recorded. "
            f"Name what runs it: `python {program[:200]}`; or let it be executed: `chmod +x {program[:200]}`"
        )


class RerunRefused(RunstoneError):
    """A recorded run cannot be run again as it is recorded."""

    def __init__(self, run_id: str, why: str) -> None:
        self.run_id, self.why = run_id, why
        super().__init__(
            f"Run {run_id} cannot be run again as it is recorded: {why}. "
            f"Say what to run in its place: `runstone rerun {run_id} -- COMMAND`"
        )


class RerunNotFound(RunstoneError):
    """A command ran again, and the run that it should have made cannot be told."""

    def __init__(self, run_id: str, candidates: Sequence[str], code: int) -> None:
        self.run_id, self.candidates, self.code = run_id, tuple(candidates), code
        if candidates:
            first = candidates[0]
            message = (
                f"The command made {len(candidates)} runs, and which of them repeats {run_id} cannot be told: "
                f"{_some(candidates)}. Compare one: `runstone diff {run_id} {first}`"
            )
        else:
            message = (
                f"The command ended with {code} and made no run, so there is nothing to compare with {run_id}. "
                "See what it printed; a command that does not use Runstone itself is recorded by `runstone run`"
            )
        super().__init__(message)


def _some(names: Sequence[str]) -> str:
    """Up to ten names as a sentence holds them."""
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
