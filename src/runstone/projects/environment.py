"""A virtual environment like the one a run had: its version of Python, its packages, each as it was pinned.

With `uv` where it is on the PATH, else `venv` and pip. Packages are installed without their dependencies: the list is
whole, and a resolver could refuse what did run. Installing runs code of the packages: it is done only when asked for.
Runstone itself is the one that runs this, unless another version was pinned and can be had: no index need offer it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runstone._version import __version__
from runstone.errors import EnvironmentFailed, PythonMissing, RecordInvalid
from runstone.placement import place
from runstone.projects.requirements import Requirements, normal_name, parse_requirements

_OWN = "runstone"
_SHOWN = 8
_VERSION = re.compile(r"([0-9]+\.[0-9]+)(?:\.[0-9]+)?(?:(?:a|b|rc)[0-9]+)?\+?")
_DROPPED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIREMENT")
_NAMED = re.compile(
    r"No matching distribution found for ([A-Za-z0-9][\w.-]*)"
    r"|no version of ([A-Za-z0-9][\w.-]*)"
    r"|[Bb]ecause ([A-Za-z0-9][\w.-]*) (?:was not found|has no )"
    r"|Failed to (?:build|download|fetch|resolve|install)(?: and (?:build|install))?:? `?([A-Za-z0-9][\w.-]*)"
    r"|Failed building (?:wheel|editable) for ([A-Za-z0-9][\w.-]*)"
    r"|projects? \(([A-Za-z0-9][\w.-]*)"
    r"|Could not build wheels for ([A-Za-z0-9][\w.-]*)"
)


def build_environment(
    folder: Path,
    requirements: str,
    python_version: str | None,
    *,
    project: Path | None = None,
    log: Path | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make a virtual environment as a run recorded it.

    Args:
        folder: Where; it must not exist.
        requirements: The text of the run's `requirements.txt`.
        python_version: The run's version of Python, as `3.11.7`; the one that runs this if it is not known.
        project: A checkout of the run's code: installed from there if the run had that package installed in place.
        log: Where to write what the installers say; beside the folder if not given. It stays only if they fail.
        warn: Told what differs from the run: another patch version of Python, packages that nobody else has.

    Returns:
        The environment's Python.

    Writes:
        The folder; removed again if anything fails.

    Raises:
        PythonMissing: There is no Python of that version here.
        RequirementRefused: A line of the requirements is none that Runstone writes; nothing was made.
        RecordInvalid: The version of Python is none; nothing was made.
        EnvironmentFailed: A package cannot be installed; the error names it.
    """
    wanted = parse_requirements(requirements)
    if python_version is not None and not _VERSION.fullmatch(python_version):
        raise RecordInvalid("run.yaml", f"`environment.python` must be a version, but is {python_version[:80]!r}")
    if python_version is None:
        warn("The run did not record its version of Python; the one that runs Runstone is used.")
    builder = _Builder(folder, log or folder.with_name(f"{folder.name}.log"), warn)
    try:
        builder.make(python_version)
        builder.install(wanted)
        builder.install_runstone(wanted)
        builder.install_local(wanted, project)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    builder.log.unlink(missing_ok=True)
    return builder.python


class _Builder:
    """One environment being made."""

    def __init__(self, folder: Path, log: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder.absolute()
        self.log = log.absolute()
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self._warn = warn
        self._uv = shutil.which("uv")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")

    def make(self, version: str | None) -> None:
        """The empty environment, of the very version, or of the same minor one."""
        wanted = version or _version_of(Path(sys.executable)) or ""
        minor = ".".join(wanted.split(".")[:2])
        if self._uv:
            command = [self._uv, "venv", "--quiet", "--no-project", "--python"]
            exact = wanted.rstrip("+")
            if self._call([*command, exact, str(self.folder)]) and self._call([*command, minor, str(self.folder)]):
                raise PythonMissing(wanted)
        else:
            python = _find_python(wanted, minor)
            if python is None:
                raise PythonMissing(wanted)
            if self._call([str(python), "-I", "-m", "venv", str(self.folder)]):
                raise self._failed(None)
        made = _version_of(self.python)
        if version is not None and made != version:
            self._warn(f"The run used Python {version}, and this environment has {made}, the nearest that is here.")

    def install(self, wanted: Requirements) -> None:
        """The packages that can be had from elsewhere."""
        lines = {name: line for name, line in wanted.lines.items() if name != _OWN}
        if lines and self._install(lines):
            raise self._failed(lines)

    def install_runstone(self, wanted: Requirements) -> None:
        """Runstone, if the run had it."""
        line, local = wanted.lines.get(_OWN), wanted.local.get(_OWN)
        if line is None and local is None:
            return
        if line not in (None, f"{_OWN}=={__version__}") and not self._install({_OWN: str(line)}):
            return
        place(self.python)
        recorded = line or f"{_OWN}=={local}"
        if recorded != f"{_OWN}=={__version__}":
            self._warn(f"The run had `{recorded}`; this environment has the Runstone that made it, {__version__}.")

    def install_local(self, wanted: Requirements, project: Path | None) -> None:
        """The packages that lay only on the machine of the run: the project itself can be had."""
        names = {name: version for name, version in wanted.local.items() if name != _OWN}
        own = project_name(project) if project is not None else None
        if own is not None and own in names:
            version = names.pop(own)
            if self._call([*self._installer(), "-e", str(project)]):
                raise self._failed({own: f"{own}=={version}"})
        if names:
            listed = ", ".join(f"{name}=={version}" for name, version in sorted(names.items()))
            self._warn(f"Not installed, since only the machine of the run had them: {listed}.")

    def _install(self, lines: dict[str, str]) -> int:
        """Install checked lines; the installer's exit code."""
        file = self.folder / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in sorted(lines.values(), key=_is_common)), encoding="utf-8")
        return self._call([*self._installer(), "-r", str(file)])

    def _installer(self) -> list[str]:
        if self._uv:
            return [self._uv, "pip", "install", "--quiet", "--no-deps", "--python", str(self.python)]
        options = ["--disable-pip-version-check", "--no-input", "--no-deps", "--progress-bar=off"]
        return [str(self.python), "-I", "-m", "pip", "install", *options]

    def _call(self, command: Sequence[str]) -> int:
        """Run an installer, its words added to the log; its exit code."""
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        with self.log.open("ab") as log:
            return subprocess.run(
                command,
                cwd=self.folder.parent,
                env={**kept, "NO_COLOR": "1", "PYTHONUTF8": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode

    def _failed(self, lines: dict[str, str] | None) -> EnvironmentFailed:
        said = self.log.read_text("utf-8", "replace")
        name = find_package(said, list(lines or ()))
        shown = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("[notice]")]
        return EnvironmentFailed((lines or {}).get(name or "", name), shown[-_SHOWN:], self.log)


def _is_common(line: str) -> bool:
    """Whether a package comes from the index; pip fetches in order, and what does not is the likeliest to be gone."""
    return " @ " not in line and "+" not in line


def find_package(said: str, names: Sequence[str]) -> str | None:
    """The package that an installer's output says has failed, by its normalised name; None if it does not say.

    Args:
        said: What pip or uv printed.
        names: The packages that were asked for, normalised.
    """
    joined = re.sub(r"\s*\n[\s│]*", " ", said)  # uv breaks its sentences to the width of a terminal
    for text in (said, joined):
        for match in _NAMED.finditer(text):
            name = normal_name(next(filter(None, match.groups())).rstrip(".-"))
            if name in names:
                return name
    if "subprocess-exited-with-error" in said:  # pip names no package then, but the one "mentioned above"
        collected = [normal_name(name) for name in re.findall(r"^Collecting ([A-Za-z0-9][\w.-]*)", said, re.MULTILINE)]
        if collected and collected[-1] in names:
            return collected[-1]
    errors = [line for line in said.splitlines() if re.search(r"error|×|failed", line, re.IGNORECASE)]
    words = {normal_name(word) for line in errors for word in re.findall(r"[A-Za-z0-9][\w.-]*", line)}
    return next((name for name in names if name in words), None)


def project_name(folder: Path) -> str | None:
    """The normalised name of the package that a source tree's top says it is; None if it says none."""
    import tomllib

    name: object = None
    try:
        with (folder / "pyproject.toml").open("rb") as file:
            document = tomllib.load(file)
        tool = document.get("tool", {})
        name = document.get("project", {}).get("name") or tool.get("poetry", {}).get("name")
    except (OSError, ValueError, AttributeError):
        pass
    for file_name, pattern in (("setup.cfg", r"^name\s*=\s*(\S+)"), ("setup.py", r"\bname\s*=\s*[\"']([^\"']+)")):
        if name is None:
            try:
                found = re.search(pattern, (folder / file_name).read_text("utf-8", "replace"), re.MULTILINE)
            except OSError:
                continue
            name = found[1] if found else None
    return normal_name(name) if isinstance(name, str) else None


def _find_python(wanted: str, minor: str) -> Path | None:
    """An interpreter of this version, or else of the same minor one."""
    likely = [sys.executable, shutil.which(f"python{minor}"), shutil.which("python3"), shutil.which("python")]
    versions = {Path(path): _version_of(Path(path)) for path in likely if path}
    exact = [path for path, version in versions.items() if version == wanted]
    near = [path for path, version in versions.items() if version and version.split(".")[:2] == minor.split(".")]
    return next(iter(exact + near), None)


def _version_of(python: Path) -> str | None:
    """What an interpreter says its version is; None if it does not start, as a shim of pyenv may not."""
    code = "import sys; print(sys.version.split()[0])"
    try:
        done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
