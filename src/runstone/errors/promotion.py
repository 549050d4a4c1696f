"""Promotions: what the policy does not allow, proposals that cannot be opened, found or merged."""

from collections.abc import Sequence

from runstone.errors.base import RunstoneError, UsageError, in_quotes, indented, quoted, some
from runstone.errors.sharing import RemoteUnreachable


class UnknownStage(UsageError):
    """The policy has no stage of this name."""

    def __init__(self, stage: str, known: Sequence[str]) -> None:
        self.stage, self.known = stage, tuple(known)
        super().__init__(
            f"The policy has no stage {stage!r}. It has {some(known)}; a file registry/policy.yaml may name others."
        )


class TransitionRefused(RunstoneError):
    """The policy does not let a version enter a stage from where it is."""

    error_code = "PERMISSION_DENIED"

    def __init__(
        self, model: str, version: int, before: str, after: str, way: Sequence[str], sources: Sequence[str]
    ) -> None:
        self.model, self.version, self.before, self.after, self.way = model, version, before, after, tuple(way)
        self.sources = tuple(sources)
        where = "no stage" if before == "None" else before
        allowed = some(["no stage" if name == "None" else name for name in sources]) or "nowhere"
        step = (
            f"First: `runstone promote {in_quotes(model)} {version} --stage {quoted(way[0])}`"
            if way
            else "No way leads there: see `from` in registry/policy.yaml."
        )
        super().__init__(
            f"{model} v{version} is in {where}, and the policy lets a version enter {after} from {allowed} only. {step}"
        )


class TooManyHolders(RunstoneError):
    """More versions were to be in a stage at once than it may hold."""

    def __init__(self, model: str, stage: str, count: int, holders: int) -> None:
        self.model, self.stage, self.count, self.holders = model, stage, count, holders
        super().__init__(
            f"{stage} of {model} may hold {holders} at once (`holders` in registry/policy.yaml), and {count} were to "
            f"be in it. Name the one: `runstone rollback {in_quotes(model)} --stage {quoted(stage)} --to VERSION`"
        )


class VersionRetired(RunstoneError):
    """A version that was retired was to be used."""

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(
            f"{model} v{version} is retired, so it enters no stage and no alias points at it. "
            f"See what there is: `runstone models versions {in_quotes(model)}`"
        )


class NotProposed(RemoteUnreachable):
    """The git remote is away, so nothing could be proposed there."""

    def __init__(self, remote: str, url: str, why: str) -> None:
        self.remote, self.url, self.why = remote, url, why
        RunstoneError.__init__(
            self,
            f"The git remote `{remote}` ({url}) could not be asked, so nothing was proposed:\n{indented(why)}\n"
            "Try again when it can be reached, or keep the proposal here meanwhile: `--no-push`",
        )


class NoFormerHolder(RunstoneError):
    """A stage or an alias was to be rolled back, and nothing else ever stood there."""

    def __init__(self, model: str, place: str, *, shallow: bool = False) -> None:
        self.model, self.place, self.shallow = model, place, shallow
        step = (
            "The history is cut short here: `git fetch --unshallow`; or name the version: `--to VERSION`"
            if shallow
            else "Name the version: `--to VERSION`"
        )
        super().__init__(f"Nothing else ever stood in {place} of {model}, so there is nothing to go back to. {step}")


class GatesNotPassed(RunstoneError):
    """A change was to be made at once that the policy's gates do not let through, or that they could not judge."""

    error_code = "PERMISSION_DENIED"

    def __init__(self, what: str, failures: Sequence[str], *, undecided: bool = False, may_bypass: bool = True) -> None:
        self.what, self.failures, self.undecided, self.may_bypass = what, tuple(failures), undecided, may_bypass
        self.exit_code = 2 if undecided else 1
        lines = "".join(f"\n  {failure}" for failure in failures)
        verb = "could not be judged" if undecided else "does not pass"
        super().__init__(
            f"{what}: {verb}, so nothing was changed.{lines}\n"
            + (
                "Whom the policy lets set gates aside says why: `--bypass REASON`"
                if may_bypass
                else "The policy lets nobody set gates aside (`bypass` in registry/policy.yaml). Promote a version "
                "that passes, or propose a policy that lets it through: `runstone proposals open FILE`"
            )
        )


class ProposalNotFound(RunstoneError):
    """No open proposal has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        have = f"There are {some(known)}." if known else "There is none."
        super().__init__(f"No open proposal is called {name!r}. {have} List them: `runstone proposals list`")


class ProposalAmbiguous(UsageError):
    """A name that several open proposals answer to."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"{name!r} means several proposals: {some(known)}. Write the whole name of one.")


class ProposalUnclear(RunstoneError):
    """A branch named like a proposal whose commit does not say what it proposes."""

    def __init__(self, branch: str, why: str) -> None:
        self.branch, self.why = branch, why
        super().__init__(
            f"`{branch}` cannot be made anew: {why}. See what it changes: "
            f"`runstone proposals diff --text {in_quotes(branch)}`; close it: "
            f"`runstone proposals close {in_quotes(branch)}`"
        )


class BranchTaken(RunstoneError):
    """The branch of a proposal holds something else."""

    def __init__(self, branch: str, why: str) -> None:
        self.branch, self.why = branch, why
        super().__init__(
            f"The branch `{branch}` is there and {why}, so nothing was changed. Look at it: "
            f"`runstone proposals show {in_quotes(branch)}`; close it: `runstone proposals close {in_quotes(branch)}`"
        )


class ProposalConflict(RunstoneError):
    """A proposal changes what the default branch has changed since."""

    def __init__(self, branch: str, target: str, conflicts: Sequence[str]) -> None:
        self.branch, self.target, self.conflicts = branch, target, tuple(conflicts)
        lines = "".join(f"\n  {conflict}" for conflict in conflicts)
        super().__init__(
            f"`{branch}` conflicts with what `{target}` holds now, so it was not merged:{lines}\n"
            f"Make it anew on the present `{target}`: `runstone proposals refresh {in_quotes(branch)}`"
        )


class ProposalRefused(RunstoneError):
    """A proposal that the policy does not let through was to be merged, or was to be approved by who may not."""

    def __init__(self, branch: str, reasons: Sequence[str], *, undecided: bool = False, deed: str = "merged") -> None:
        self.branch, self.reasons = branch, tuple(reasons)
        self.exit_code = 2 if undecided else 1
        lines = "".join(f"\n  {reason}" for reason in reasons)
        super().__init__(
            f"`{branch}` may not be {deed}:{lines}\nSee the whole report: `runstone proposals show {in_quotes(branch)}`"
        )


class NotApproved(RunstoneError):
    """A reviewer's note is here, and the git remote did not take it."""

    def __init__(self, branch: str, remote: str, why: str) -> None:
        self.branch, self.remote, self.why = branch, remote, why
        super().__init__(
            f"Your approval of `{branch}` is noted here alone, since `{remote}` did not take it:\n{indented(why)}\n"
            f"Try again, or ask whoever runs the remote: `runstone proposals approve {in_quotes(branch)}`"
        )


class CannotDecide(RunstoneError):
    """Neither yes nor no: something that is needed to tell is not here."""

    exit_code = 2


class RegistrationRefused(RunstoneError):
    """A registration request on the default branch that cannot be met."""

    def __init__(self, file: str, why: str, step: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"`{file}` was not met: {why}. {step}")


class BranchRefused(RunstoneError):
    """A git remote does not take a branch, or does not let go of one, so nothing was changed."""

    def __init__(self, remote: str, ref: str, why: str, *, is_removal: bool = False) -> None:
        self.remote, self.ref, self.why, self.is_removal = remote, ref, why, is_removal
        name = ref.removeprefix("refs/heads/")
        if is_removal:
            super().__init__(
                f"The git remote `{remote}` refused to remove `{name}`, so it stays there:\n{indented(why)}\n"
                "Ask whoever runs the remote to remove it, or for the right to remove branches. Then: "
                f"`runstone proposals close {in_quotes(name)}`"
            )
            return
        is_proposal = name.startswith(("promote/", "demote/", "rollback/", "register/", "rename/", "remove/", "edit/"))
        step = (
            "or propose from a fork of your own"
            if is_proposal
            else "or have it merged by somebody who may, or on the forge"
        )
        super().__init__(
            f"The git remote `{remote}` refused `{name}`, so nothing was changed:\n{indented(why)}\n"
            f"Ask whoever runs the remote for the right to push it, {step}."
        )
