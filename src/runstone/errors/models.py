"""Models: their folders and signatures, and the registry's models, versions, aliases and stages."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from runstone.errors.base import RunstoneError, UsageError, in_quotes, indented, quoted, some
from runstone.errors.runs import RunIsLive


class InvalidModelFolder(RunstoneError):
    """A model folder that cannot be read, or cannot be written as asked."""

    def __init__(self, folder: Path, problem: str, *, next_step: str | None = None) -> None:
        self.folder, self.problem = folder, problem
        step = next_step or "Save the model again, or get the folder again from where it was tracked."
        super().__init__(f"The model folder {folder}: {problem}. {step}")

    @classmethod
    def not_there(cls, uri: str) -> "InvalidModelFolder":
        """For what was given as a model, and is none of what names one."""
        step = "Name a folder, or `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/PATH`."
        return cls(Path(uri), "it is neither a folder nor a `runs:/…` or `models:/…` URI", next_step=step)


class UnknownFlavor(RunstoneError):
    """A kind of model that this Runstone does not know."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"No flavor `{name}` is known to this Runstone, which knows: {', '.join(known)}. "
            "A newer one may: `pip install --upgrade runstone`"
        )


class BrokenFlavor(RunstoneError):
    """A flavor of another distribution that cannot be used."""

    def __init__(self, name: str, source: str, problem: str) -> None:
        self.name, self.source, self.problem = name, source, problem
        step = f"Update or remove it: `pip uninstall {source.partition(' ')[0]}`"
        super().__init__(f"The flavor `{name}` of {source} cannot be used: {problem}. {step}")


class UntrustedModel(RunstoneError):
    """A file of a model folder that would run code when loaded, and nobody vouches for it."""

    def __init__(self, folder: Path, file: str) -> None:
        self.folder, self.file = folder, file
        super().__init__(
            f"The model folder {folder}: loading `{file}` runs code that is stored in it, and no digest in git "
            "vouches for it, so it was not loaded. Load it from where it was tracked "
            "(`runs:/<run id>/<path>`, `models:/<name>/<version>`), "
            "or, if you trust whoever made it, say so: `allow_pickle=True`, on the command line `--allow-pickle`"
        )


class ModelFileChanged(RunstoneError):
    """A file of a model folder that is not the one recorded in git."""

    def __init__(self, folder: Path, file: str, recorded: str | None, found: str) -> None:
        self.folder, self.file, self.recorded, self.found = folder, file, recorded, found
        what = f"has md5 {found}, but {recorded} was recorded" if recorded else "is no recorded file"
        super().__init__(
            f"The model folder {folder}: `{file}` {what}, so the model was not loaded. "
            "Delete the folder and get it again: `runstone artifacts pull --all`"
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


class NotAModel(RunstoneError):
    """What was to be registered is no model folder of its run."""

    error_code = "INVALID_PARAMETER_VALUE"

    def __init__(self, source: str, known: Sequence[str]) -> None:
        self.source, self.known = source, tuple(known)
        have = f"The run logged {some(known)}." if known else "The run logged no model."
        super().__init__(f"`{source}` is no model. {have} Log one: `runstone.sklearn.log_model(model, 'model')`")


class ModelExists(RunstoneError):
    """The registry has a model of this name, or keeps the name for one that had it first."""

    error_code = "RESOURCE_ALREADY_EXISTS"

    def __init__(self, name: str, why: str = "the registry has one already") -> None:
        self.name, self.why = name, why
        super().__init__(
            f"The model {name!r} cannot be made: {why}. Choose another name, or see what there is: "
            "`runstone models list`"
        )


class ModelNotFound(RunstoneError):
    """The registry has no model of this name."""

    error_code = "RESOURCE_DOES_NOT_EXIST"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        have = f"It has {some(known)}." if known else "It has none yet."
        super().__init__(f"The registry has no model {name!r}. {have} List them: `runstone models list`")


class ModelEmpty(ModelNotFound):
    """The registry knows the model, and it has no version."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [])
        step = f"Register one: `runstone register {quoted(name)} --run RUN`"
        self.args = (f"{name} has no version yet, so there is none to point at. {step}",)


class ModelRenamed(ModelNotFound):
    """The model that had this name has another one now."""

    def __init__(self, name: str, present: str) -> None:
        super().__init__(name, [present])
        self.present = present
        self.args = (
            f"The model {name!r} is called {present!r} now. Use that name: `runstone models show {quoted(present)}`",
        )


class ModelNameShared(RunstoneError):
    """Several models are called so, and nobody can tell quickly which of them had the name first."""

    error_code = "INVALID_STATE"

    def __init__(self, name: str, folders: Sequence[str]) -> None:
        self.name, self.folders = name, tuple(folders)
        which = " and ".join(f"`{folder}`" for folder in self.folders)
        step = f"Take it from who had it last: `git log --name-status -- {quoted(self.folders[0])}`"
        super().__init__(f"The name {name!r} is that of several models: {which}. {step}")


class ModelHasNoVersion(ModelNotFound):
    """The model is in the registry, by its files alone: nothing was registered yet, or all of it is retired."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [name])
        self.args = (f"The model {name!r} has no version. Register one: `runstone register {quoted(name)} RUN/PATH`",)


class VersionNotFound(RunstoneError):
    """A registered model has no version of this number."""

    error_code = "RESOURCE_DOES_NOT_EXIST"

    def __init__(self, name: str, version: int, known: Sequence[int], *, is_retired: bool = False) -> None:
        self.name, self.version, self.known, self.is_retired = name, version, tuple(known), is_retired
        why = ": it is retired" if is_retired else ""
        have = some([str(n) for n in known]) if known else "no other one"
        super().__init__(
            f"No model version `{name}/{version}`{why}. The registry has {have}. "
            f"List them: `runstone models show {quoted(name)}`"
        )


class AliasNotFound(RunstoneError):
    """A registered model has no alias of this name."""

    error_code = "INVALID_PARAMETER_VALUE"

    def __init__(self, name: str, alias: str, known: Sequence[str]) -> None:
        self.name, self.alias, self.known = name, alias, tuple(known)
        have = f"It has {some(known)}." if known else "It has none."
        step = f"Set it: `runstone models alias {in_quotes(name)} {in_quotes(alias)} VERSION`"
        super().__init__(f"The model {name!r} has no alias {alias!r}. {have} {step}")


class StageNotFound(RunstoneError):
    """A registered model has no version in this stage."""

    error_code = "RESOURCE_DOES_NOT_EXIST"

    def __init__(self, name: str, stage: str, known: Sequence[str]) -> None:
        self.name, self.stage, self.known = name, stage, tuple(known)
        have = f"It has versions in {some(known)}." if known else "No version of it is in a stage."
        super().__init__(
            f"The model {name!r} has no version in the stage {stage!r}. {have} See: `runstone models list`"
        )


class NotYetRegistered(RunIsLive):
    """A model was to be registered while its run is open: a version is a git tag on the run's commit."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id, "registered")
        self.args = (
            f"Run {run_id} has not ended, so its model cannot be registered yet: a version is a git tag on the run's "
            "commit. Register after the `with start_run()` block, or leave it to the run's end: "
            "`log_model(…, registered_model_name=NAME)`",
        )


class ReviewRequired(RunstoneError):
    """The project reviews such changes, so it was not made at once: a proposal was opened, where one could be.

    Attributes:
        what: What was to be changed.
        proposal: The branch of the proposal that was opened; None if none was.
        url: The request's address on the forge, where there is one.
        deed: What was to become of it: moved, renamed, deleted.
    """

    error_code = "PERMISSION_DENIED"

    def __init__(
        self,
        what: str,
        proposal: str | None = None,
        url: str | None = None,
        *,
        deed: str = "moved",
        by_policy: bool = False,
    ) -> None:
        self.what, self.proposal, self.url, self.deed = what, proposal, url, deed
        who = "registry/policy.yaml" if by_policy else "`promotion: review` in runstone.yaml"
        rule = f"{what} was not {deed}: {who} says that such changes are reviewed."
        if proposal is None:
            steps = {"renamed": "`runstone models rename MODEL NAME`", "deleted": "`runstone models delete MODEL`"}
            step = steps.get(deed, "`runstone promote MODEL VERSION --stage STAGE` or `--alias ALIAS`")
            super().__init__(f"{rule} Propose it: {step}")
            return
        where = f"{url} (`{proposal}`)" if url else f"`{proposal}`"
        super().__init__(
            f"{rule} It is proposed: {where}. Have somebody look at it: "
            f"`runstone proposals show {in_quotes(proposal)}`; and merge it: "
            f"`runstone proposals merge {in_quotes(proposal)}`"
        )


class BranchBehind(RunstoneError):
    """The registry's branch is checked out and older than its remote, so that a commit would hide what came since."""

    error_code = "RESOURCE_CONFLICT"

    def __init__(self, branch: str, work_tree: Path) -> None:
        self.branch, self.work_tree = branch, work_tree
        super().__init__(
            f"`{branch}` is checked out in {work_tree} and is behind `origin/{branch}`, so nothing was changed. "
            f"Bring it up to date, then try again: `git pull --ff-only origin {shlex.quote(branch)}`"
        )


class BranchDiverged(RunstoneError):
    """The registry's branch and its remote each have commits that the other lacks, so that one would lose its own."""

    error_code = "RESOURCE_CONFLICT"

    def __init__(self, branch: str) -> None:
        self.branch = branch
        super().__init__(
            f"`{branch}` and `origin/{branch}` have diverged, so nothing was changed. Bring them together, then try "
            f"again: `git switch {branch} && git rebase origin/{branch}`"
        )


class VersionNotAllotted(RunstoneError):
    """The shared git remote, which gives model versions their numbers, gave none; nothing was changed.

    Attributes:
        model: The model.
        remote: The git remote.
        why: What git or the remote said.
        is_refused: Whether the remote was asked, and does not take such git tags from this user.
        retiring: The version that was to be retired; None where one was to be made.
    """

    error_code = "RESOURCE_CONFLICT"

    def __init__(self, model: str, remote: str, why: str, *, is_refused: bool, retiring: int | None = None) -> None:
        self.model, self.remote, self.why = model, remote, why
        self.is_refused, self.retiring = is_refused, retiring
        what = f"No version of {model!r} was made" if retiring is None else f"{model} v{retiring} was not retired"
        problem = "does not take its git tag" if is_refused else "could not be asked"
        step = "" if is_refused else "Try again when it can be reached. "
        if retiring is not None:
            step += "Or let somebody retire it who may push git tags there." if is_refused else ""
        else:
            later = "" if is_refused else " --no-push"  # which can be made while the remote is away, too
            step += (
                "Ask for the version by a request that is reviewed: "
                f"`runstone register {in_quotes(model)} --run RUN --propose{later}`; or give numbers in each clone, "
                "and send the versions with a later sync: `versions: local` in runstone.yaml"
            )
        super().__init__(
            f"{what}: the git remote `{remote}`, which gives the numbers, {problem}:\n{indented(why)}\n"
            f"Nothing was changed. {step.rstrip()}"
        )


class VersionInUse(RunstoneError):
    """A version was to be retired that reviewed files name."""

    error_code = "PERMISSION_DENIED"

    def __init__(self, name: str, version: int, used: Sequence[str], step: str) -> None:
        self.name, self.version, self.used = name, version, tuple(used)
        super().__init__(
            f"{name} v{version} was not retired: it is {some(used)}, and such changes are reviewed here. "
            f"Propose that first: `{step}`"
        )


class EvaluationFailed(RunstoneError):
    """A model that does not reach what was asked of its evaluation, which is recorded all the same."""

    def __init__(self, run_id: str | None, problems: Sequence[str]) -> None:
        self.run_id, self.problems = run_id, tuple(problems)
        step = f" See what was measured: `runstone runs show {run_id}`" if run_id is not None else ""
        super().__init__(f"The model does not pass: {' '.join(problems)}{step}")
