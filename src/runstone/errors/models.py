"""Models: their folders and signatures, and the registry's models, versions, aliases and stages."""

from collections.abc import Sequence
from pathlib import Path

from runstone.errors.base import RunstoneError, UsageError, some
from runstone.errors.runs import RunIsLive


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


class NotAModel(RunstoneError):
    """What was to be registered is no model folder of its run."""

    def __init__(self, source: str, known: Sequence[str]) -> None:
        self.source, self.known = source, tuple(known)
        have = f"The run logged {some(known)}." if known else "The run logged no model."
        super().__init__(f"`{source}` is no model. {have} Log one: `runstone.sklearn.log_model(model, 'model')`")


class ModelNotFound(RunstoneError):
    """The registry has no model of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        have = f"It has {some(known)}." if known else "It has none yet."
        super().__init__(f"The registry has no model {name!r}. {have} List them: `runstone models list`")


class VersionNotFound(RunstoneError):
    """A registered model has no version of this number."""

    def __init__(self, name: str, version: int, known: Sequence[int]) -> None:
        self.name, self.version, self.known = name, version, tuple(known)
        super().__init__(
            f"No model version `{name}/{version}`. The registry has {some([str(n) for n in known])}. "
            f"List them: `runstone models show {name}`"
        )


class AliasNotFound(RunstoneError):
    """A registered model has no alias of this name."""

    def __init__(self, name: str, alias: str, known: Sequence[str]) -> None:
        self.name, self.alias, self.known = name, alias, tuple(known)
        have = f"It has {some(known)}." if known else "It has none."
        step = f"Set it: `runstone models alias '{name}' '{alias}' VERSION`"
        super().__init__(f"The model {name!r} has no alias {alias!r}. {have} {step}")


class StageNotFound(RunstoneError):
    """A registered model has no version in this stage."""

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
    """The project reviews such changes, so it was not made."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} was not moved: `promotion: review` in runstone.yaml says that such changes are reviewed. Edit the "
            "file on a branch and open a pull request; `runstone promote` will write it for you in a later version."
        )


class BranchBehind(RunstoneError):
    """The registry's branch is checked out and older than its remote, so that a commit would hide what came since."""

    def __init__(self, branch: str, work_tree: Path) -> None:
        self.branch, self.work_tree = branch, work_tree
        super().__init__(
            f"`{branch}` is checked out in {work_tree} and is behind `origin/{branch}`, so nothing was changed. "
            "Bring it up to date, then try again: `git pull --ff-only`"
        )
