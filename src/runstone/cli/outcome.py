"""The one place that turns what happened into an exit code and a message.

0 done; 1 an expected error; 2 a wrong call; 3 a bug, with a log file that holds the versions and the traceback;
130 interrupted. A reader that went away (`| head`) is no error.
"""

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from runstone.errors import RunstoneError

COMPLETE_VARIABLE = "_RUNSTONE_COMPLETE"
INTERRUPTED = 130
BUG = 3

_NOT_BUGS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE}
_NOT_BUGS |= {errno.ENAMETOOLONG, errno.ELOOP}  # of a folder that somebody named


def run(command: click.Command, arguments: Sequence[str] | None, extra: Mapping[str, Any]) -> NoReturn:
    """Run a command line and end the process.

    Args:
        command: The group at the top.
        arguments: What stands after the program's name; the process's own if None.
        extra: Further arguments of the context, as click's test runner passes them.

    Writes:
        After a bug, a log file; see `_keep_log`.
    """
    _open_standard_streams()
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(command, {}, "runstone", COMPLETE_VARIABLE, instruction))
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _Shower()
        sys.exit(_outcome(command, given, extra))


def _open_standard_streams() -> None:
    """Have the descriptors 0 to 2 be taken, if only by nothing at all.

    Where one is closed, as under some daemons, the next file that is opened, such as a journal, would get its number,
    and what is printed would be written into it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # for good


def _outcome(command: click.Command, arguments: list[str], extra: Mapping[str, Any]) -> int:
    context: click.Context | None = None
    try:
        with command.make_context("runstone", list(arguments), **extra) as context:
            command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return _flushed(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()  # its message is the whole help
        return error.exit_code
    except click.UsageError as error:
        _say_usage(error)
        return error.exit_code
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _leave_pipe()
        return 0
    except RunstoneError as error:
        _say(_advised(error, context))
        return error.exit_code
    except OSError as error:
        if error.errno not in _NOT_BUGS:
            return _bug(error, arguments)
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror}")
        return 1
    except Exception as error:
        return _bug(error, arguments)
    return 0


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
    return code


def _advised(error: RunstoneError, context: click.Context | None) -> str:
    """What an error says, with what the repository can add to it."""
    from runstone.cli.advice import advise
    from runstone.cli.session import Session

    try:
        return advise(error, context.obj) if context is not None and isinstance(context.obj, Session) else str(error)
    except Exception:  # whatever is wrong with the repository, too: this error is the one to tell
        return str(error)


def _say_usage(error: click.UsageError) -> None:
    """As click does, and the error itself as every other."""
    if error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        if error.ctx.help_option_names:
            click.echo(f"Try '{error.ctx.command_path} {error.ctx.help_option_names[0]}' for help.\n", err=True)
    _say(error.format_message().replace("\n\t", " "))  # click lists choices so


def _say(error: object) -> None:
    from runstone.cli.output import clean

    click.secho("error: ", fg="red", nl=False, err=True)
    click.echo(clean(str(error), keep="\n"), err=True)


def _leave_pipe() -> None:
    """Send what is still buffered to nowhere, or the interpreter would complain of the closed pipe at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Shower:
    """Shows warnings on standard error, each text once: what several readers stumble over is one trouble."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        from runstone.cli.output import clean

        text = clean(str(message), keep="\n")
        if text not in self._shown:
            self._shown.add(text)
            click.secho("warning: ", fg="yellow", nl=False, err=True)
            click.echo(text, err=True)


def _bug(error: Exception, arguments: Sequence[str]) -> int:
    summary = f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        where = f"The log is {_keep_log(error, arguments)}"
    except OSError as failure:
        import traceback

        where = (
            f"No log could be written ({failure}); it would have said:\n{''.join(traceback.format_exception(error))}"
        )
    _say(f"This is a bug in Runstone, sorry: {summary}\n{where}\nReport it with that log, please.")
    return BUG


def _keep_log(error: Exception, arguments: Sequence[str]) -> Path:
    """Write the versions and the traceback; of the command line only its words up to the first option or value.

    Writes:
        `bug-<time>.log` in RUNSTONE_CACHE_DIR or the user's cache folder.
    """
    import platform
    import shutil
    import subprocess
    import time
    import traceback

    from runstone._version import __version__

    git = shutil.which("git")
    git_version = (
        subprocess.run([git, "--version"], capture_output=True, text=True, check=False).stdout if git else "none"
    )
    verbs = [word for word in arguments[:2] if word.isalpha()]
    text = (
        f"runstone {__version__}\npython {platform.python_version()} ({sys.executable})\n"
        f"click {_version_of('click')}\ngit: {git_version.strip()}\nplatform: {platform.platform()}\n"
        f"command: runstone {' '.join(verbs)} …\n\n{''.join(traceback.format_exception(error))}"
    )
    named = os.environ.get("RUNSTONE_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "runstone"
    folder = Path(named) if named else base
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"bug-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    log.write_text(text, encoding="utf-8", errors="replace")
    return log


def _version_of(library: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return "unknown"
