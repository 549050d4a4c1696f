"""The command line of a run, as a person would have typed it, and without absolute paths."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

_DRIVE = r"[A-Za-z]:[\\/]+|" if os.name == "nt" else ""
# A path inside a longer argument, as in `-c "open('/data/x')"`, `--data=/data/x`, `-I/usr/include`, `file:///data/x`
# or `/a:/b`; a slash behind a word, a bracket or another slash belongs to what stands before it. `models:/…`
# and `runs:/…` are no paths, and `rerun` needs them whole.
_URI = r"(?:(?<!\bmodels:)(?<!\bruns:)|(?<=/models:)|(?<=/runs:))"
_ABSOLUTE = re.compile(
    rf"(?:(?<=^-[A-Za-z])|(?<=://)|(?<=:){_URI}(?!//)|(?<![\w.:/~*\])}}-]))(?:{_DRIVE}/+(?=[\w.@~+-]))[^\s'\"`<>|;,:()]*"
)
_WHOLE = re.compile(r"/+[^/]|[A-Za-z]:[\\/]|\\\\[\w.$-]+\\")
_DEVICE = re.compile(r"/dev/(?:null|zero|full|u?random|tty|std(?:in|out|err)|fd/[0-9]+)")
_BREAK = re.compile(r"[\s:;,'\"`<>|()]")


def process_command() -> list[str]:
    """The command of this process.

    A notebook is named where Jupyter or VS Code tells its name; a worker of `multiprocessing` has the
    command of its parent; an installed command such as `pytest` stands without its interpreter.
    """
    argv = list(sys.orig_argv) or [sys.executable or "python", *sys.argv]
    if _is_kernel(argv):
        notebook = _notebook()
        return ["jupyter", "notebook", notebook] if notebook else ["python", "-m", "ipykernel_launcher"]
    if "--multiprocessing-fork" in argv:
        argv = [argv[0], *sys.argv]
    if len(argv) > 1 and _is_installed(Path(argv[1])):
        return [Path(argv[1]).name, *argv[2:]]
    return [Path(argv[0]).name.removesuffix(".exe") or "python", *argv[1:]]


def _is_installed(script: Path) -> bool:
    return script.is_absolute() and script.parent == Path(sys.executable).parent


def process_notebook() -> str | None:
    """The notebook whose kernel this process is, as Jupyter or VS Code names it; None in any other process."""
    argv = list(sys.orig_argv) or [sys.executable or "python", *sys.argv]
    return _notebook() if _is_kernel(argv) else None


def _is_kernel(argv: Sequence[str]) -> bool:
    """Whether this process runs cells; what a notebook starts inherits its environment, but is no kernel."""
    return "ipykernel" in sys.modules and any("ipykernel" in part for part in (*argv[:3], *sys.argv[:1]))


def _notebook() -> str | None:
    name = os.environ.get("JPY_SESSION_NAME")
    if not name and (ipython := sys.modules.get("IPython")) is not None:
        shell = ipython.get_ipython()
        name = getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__")
    return name if name and name.endswith(".ipynb") else None


class Place:
    """Where a command ran, and how paths read from there.

    A path in the work tree becomes relative to the working directory, so that `cd DIRECTORY && COMMAND`
    runs it again; one elsewhere is cut to its last name.

    Args:
        cwd: The working directory; None if it has been removed.
        work_tree: The top of the work tree; None if the code is in none.
    """

    def __init__(self, cwd: Path | None, work_tree: Path | None) -> None:
        self._cwd = None if cwd is None else os.path.realpath(cwd)
        self._top = None if work_tree is None else os.path.realpath(work_tree)
        self._tops = (
            set() if work_tree is None else {os.path.realpath(work_tree), os.path.normpath(work_tree.absolute())}
        )
        self._is_inside = self._cwd is not None and self._top is not None and _is_in(self._cwd, self._top)

    def directory(self) -> str | None:
        """The working directory relative to the work tree's top; None outside it."""
        if not self._is_inside or self._cwd is None:
            return None
        return printable(Path(os.path.relpath(self._cwd, self._top)).as_posix())

    def inside(self, path: str) -> str | None:
        """A file's path relative to the work tree's top; None if it is not there.

        Jupyter may tell a path from where its server was started: then its name is looked for where the kernel runs,
        which is beside the notebook.
        """
        if self._top is None:
            return None
        for candidate in (Path(self._cwd or "/", path), Path(self._cwd or "/", Path(path).name)):
            real = os.path.realpath(candidate)
            if candidate.is_file() and _is_in(real, self._top):
                return printable(Path(os.path.relpath(real, self._top)).as_posix())
        return None

    def shorten_command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """A command line without absolute paths, in valid Unicode."""
        return tuple(printable(self.shorten(argument)) for argument in argv)

    def shorten(self, argument: str) -> str:
        """One argument without absolute paths."""
        if _is_path(argument):
            return self._relative(argument)
        name, equals, value = argument.partition("=")
        if equals and _is_path(value) and re.fullmatch(r"[\w.+~-]+", name):
            return f"{name}={self._relative(value)}"
        return _ABSOLUTE.sub(lambda match: self._relative(match[0]), argument)

    def _relative(self, path: str) -> str:
        if _DEVICE.fullmatch(path):
            return path  # the same on every machine; `2>/dev/null` must not become `2>null`
        for form in (os.path.normpath(path), os.path.realpath(path)):
            for top in self._tops:
                if self._top is not None and _is_in(form, top):
                    inner = Path(self._top, os.path.relpath(form, top))
                    return Path(os.path.relpath(inner, self._cwd if self._is_inside else self._top)).as_posix()
        return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def printable(text: str) -> str:
    """Text in valid Unicode: the system may hand over bytes that are none."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_path(text: str) -> bool:
    """Whether the whole text is one absolute path, spaces and all, and not several or a line of code."""
    if not _WHOLE.match(text):
        return False
    return not _BREAK.search(text, 2) or os.path.exists(text)  # noqa: PTH110  # Path.exists raises on a text too long


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
