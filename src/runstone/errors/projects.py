"""Past runs made again: their code, checkouts, environments and commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from runstone.errors.base import RunstoneError, some


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
    """Checkouts hold work of the user's own, so they were not removed; others that were meant may be gone.

    Args:
        work: What each holds, by its folder.
        branches: The branch that each is on; None where HEAD is detached.
        removed: The folders that are gone.
    """

    def __init__(
        self, work: Mapping[Path, Sequence[str]], branches: Mapping[Path, str | None], removed: Sequence[Path] = ()
    ) -> None:
        self.work, self.removed = {path: tuple(found) for path, found in work.items()}, tuple(removed)
        super().__init__("\n".join(self._sentence(path, branches.get(path)) for path in self.work))

    def _sentence(self, path: Path, branch: str | None) -> str:
        step = (
            "Commit it to a branch (`git switch -c NAME`)" if branch is None else f"Commit it to {branch}, its branch"
        )
        return (
            f"{path} was not removed, since it holds what is nowhere else: {some(self.work[path])}. {step}, or remove "
            f"it all the same: `runstone checkout --clean --force '{path}'`"
        )


class PythonMissing(RunstoneError):
    """This machine has no Python of the version that a run used."""

    def __init__(self, version: str) -> None:
        self.version = version
        minor = ".".join(version.split(".")[:2])
        super().__init__(
            f"The run used Python {version}, and there is no Python {minor} here. Install one, and have "
            f"`python{minor}` on the PATH: with uv (`uv python install {minor}`), pyenv (`pyenv install {minor}`) or "
            "conda"
        )


class RequirementRefused(RunstoneError):
    """A line of a run's requirements that is none Runstone writes, so no installer was handed it."""

    def __init__(self, line: int, text: str) -> None:
        self.line, self.text = line, text
        super().__init__(
            f"requirements.txt of the run, line {line}: {text[:120]!r} is neither `name==version` nor `name @ URL`, "
            "and was not handed to an installer. In a checkout of the run, install what you trust by hand."
        )


class EnvironmentFailed(RunstoneError):
    """The packages of a run cannot be installed any more; the message names the one that failed."""

    def __init__(self, package: str | None, output: Sequence[str], log: Path) -> None:
        self.package, self.output, self.log = package, tuple(output), log
        what = f"the package `{package}` cannot be installed" if package else "its packages cannot be installed"
        said = "".join(f"\n  {line[:300]}" for line in output)
        super().__init__(
            f"The environment of the run cannot be built: {what}.{said}\nAll that was said: {log}\n"
            "In a checkout of the run, change that line in a copy of .runstone/requirements.txt, and install the copy: "
            "`python -m venv VENV && VENV/bin/pip install --no-deps -r FILE`"
        )


class EnvironmentNotBuilt(RunstoneError):
    """A run was checked out, and its environment could not be built; `cause` says why."""

    def __init__(self, path: Path, cause: RunstoneError) -> None:
        self.path, self.cause = path, cause
        super().__init__(
            f"{cause}\nAll but the environment is in {path}; remove it: `runstone checkout --clean '{path}'`"
        )


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
                f"{some(candidates)}. Compare one: `runstone diff {run_id} {first}`"
            )
        else:
            message = (
                f"The command ended with {code} and made no run, so there is nothing to compare with {run_id}. "
                "See what it printed; a command that does not use Runstone itself is recorded by `runstone run`"
            )
        if code == 130:  # Ctrl-C
            self.exit_code = code
        super().__init__(message)
