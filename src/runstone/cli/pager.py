"""Long output on a terminal goes through the pager that git would use; anywhere else it is printed as it is."""

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runstone.git.repository import Repository


def is_colored() -> bool:
    """Whether what is printed may have colour: as `--color` says, else on terminals."""
    ctx = click.get_current_context(silent=True)
    return sys.stdout.isatty() if ctx is None or ctx.color is None else ctx.color


def page(repo: "Repository", lines: Iterable[str]) -> None:
    """Print lines of text, on a terminal through git's pager.

    It is GIT_PAGER, `core.pager`, PAGER or git's own choice, as `git var GIT_PAGER` says, with git's own settings of
    `less` and `lv` unless the user has others. `cat`, or none, is no pager. Once the pager is left, no more is read.

    Args:
        repo: Whose configuration is asked.
        lines: What to print, each without its line feed; colours go where there may be none.
    """
    program = _pager(repo) if sys.stdout.isatty() else None
    if program is None:
        for line in lines:
            click.echo(line)
        return
    sys.stdout.flush()
    env = {"LESS": "FRX", "LV": "-c", **os.environ}
    process = subprocess.Popen(program, shell=True, stdin=subprocess.PIPE, env=env, text=True, errors="replace")
    assert process.stdin is not None
    keeps_color = is_colored()
    try:
        for line in lines:
            process.stdin.write(f"{line if keeps_color else click.unstyle(line)}\n")
    except BrokenPipeError:
        pass  # the reader has seen enough
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        _wait(process)


def _pager(repo: "Repository") -> str | None:
    code, out = repo.git("var", "GIT_PAGER", allowed=(0, 1, 128))
    program = out.decode(errors="replace").strip() if code == 0 else ""
    return None if program in ("", "cat") else program


def _wait(process: "subprocess.Popen[str]") -> None:
    """Wait until the pager ends; Ctrl-C is for it, as in git."""
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue
