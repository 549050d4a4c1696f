"""What a run ran on: Python, platform, the exact packages, the user.

The packages are read from their metadata files as text: the parser of `importlib.metadata` costs five
times as much. They are read once a process, and again only when a folder of `sys.path` has changed.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from runstone.records.run import Environment
from runstone.tracking.background import Background
from runstone.tracking.secrets import Redactor

if TYPE_CHECKING:
    from importlib.metadata import Distribution

REQUIREMENTS_FILE = "requirements.txt"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*\r?$", re.MULTILINE)
_known: tuple[object, str] | None = None
"""The state of `sys.path` and the packages it held then."""


class CapturedEnvironment(NamedTuple):
    """The environment of a run: its part of the record, and the text of `requirements.txt`."""

    environment: Environment
    requirements: str


class EnvironmentCapture:
    """The environment as it is now, read in the background unless this process knows it already."""

    def __init__(self) -> None:
        self._state = _path_state()
        known = _known
        self._requirements = known[1] if known is not None and known[0] == self._state else None
        self._background = Background(self._read) if self._requirements is None else None

    def result(self) -> CapturedEnvironment:
        """The environment; waits until it is read."""
        if self._requirements is None:
            assert self._background is not None
            self._requirements = self._background.result()
        environment = Environment(python=python_version(), platform=platform(), requirements=REQUIREMENTS_FILE)
        return CapturedEnvironment(environment, self._requirements)

    def _read(self) -> str:
        global _known
        text = requirements()
        _known = (self._state, text)
        return text


def python_version() -> str:
    """Such as `3.11.7`."""
    return sys.version.split(maxsplit=1)[0]


def platform() -> str:
    """System, version and processor, such as `Linux-6.1-x86_64`; the host is not named."""
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        return f"Windows-{version.major}.{version.minor}-{os.environ.get('PROCESSOR_ARCHITECTURE', 'unknown')}"
    system = os.uname()
    release = re.match(r"\d+(?:\.\d+)?", system.release)
    return f"{system.sysname}-{release[0] if release else system.release}-{system.machine}"


def capture_user() -> str:
    """The login name; `uid-1000` where the system has none for this user, as in many containers."""
    import getpass

    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        name = ""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
    return name or (f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown")


def requirements() -> str:
    """The installed packages as a requirements file: one exact line a package, sorted by normalised name.

    Of a name that is installed twice the one first on `sys.path` counts, as it does for `import`. What came
    from a repository or a URL is written as `name @ url`, without credentials; what lies only on this machine
    (an editable or local install) as a comment, without its path. A package whose metadata cannot be read is left out.
    """
    return format_requirements(_distributions())


def format_requirements(found: Iterable[tuple[str, str, str | None]]) -> str:
    """Packages as a requirements file.

    Args:
        found: Name, version, and the text of `direct_url.json` if there is one; of equal names the first counts.
    """
    redactor = Redactor()
    lines: dict[str, str] = {}
    for name, version, origin in found:
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name not in lines and _NAME.fullmatch(name) and version and not re.search(r"\s", version):
            lines[name] = _line(name, version, origin, redactor)
    return "".join(f"{lines[name]}\n" for name in sorted(lines))


def _distributions() -> Iterator[tuple[str, str, str | None]]:
    from importlib.metadata import distributions

    for distribution in distributions():
        try:
            found = _name_and_version(distribution)
            if found is not None:
                yield *found, distribution.read_text("direct_url.json")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # broken, or being replaced by an installer at this moment; the run matters more


def _name_and_version(distribution: "Distribution") -> tuple[str, str] | None:
    folder = getattr(distribution, "_path", None)
    if folder is not None and folder.name.startswith(("~", "-")):
        return None  # what pip leaves of a package that it could not remove
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if text is not None:
        fields = dict(reversed(_FIELD.findall(text.split("\n\n", 1)[0])))
        name, version = fields.get("Name"), fields.get("Version")
    else:
        name, version = distribution.metadata["Name"], distribution.version
    return (name, version) if name and version else None


def _line(name: str, version: str, origin: str | None, redactor: Redactor) -> str:
    if not origin:
        return f"{name}=={version}"
    import json

    try:
        return _origin_line(json.loads(origin), name, version, redactor)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{name}=={version}"  # of a file that breaks its specification only the version is believed


def _origin_line(origin: Any, name: str, version: str, redactor: Redactor) -> str:
    """Source: PyPA, "Recording the Direct URL Origin of installed distributions"."""
    url, vcs = origin["url"], origin.get("vcs_info")
    commit = f" at {vcs['commit_id']}" if vcs else ""
    if url.startswith("file:"):
        kind = "editable" if origin.get("dir_info", {}).get("editable") else "local"
        return f"# {name}=={version} ({kind} install{commit})"
    url = redactor.url(url)
    if vcs:
        return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{_fragment(subdirectory=origin.get('subdirectory'))}"
    archive = origin.get("archive_info", {})
    algorithm, _, digest = str(archive.get("hash", "")).partition("=")
    return f"{name} @ {url}{_fragment(subdirectory=origin.get('subdirectory'), **{algorithm: digest})}"


def _fragment(**parts: Any) -> str:
    given = [f"{key}={value}" for key, value in parts.items() if key and value]
    return f"#{'&'.join(given)}" if given else ""


def _path_state() -> object:
    """Changes whenever an installer adds or removes a package, so that a notebook's `%pip install` is seen."""
    state = []
    for entry in sys.path:
        try:
            state.append((entry, os.stat(entry or ".").st_mtime_ns))  # noqa: PTH116  # sys.path holds texts; no Path a folder and run
        except OSError:
            state.append((entry, 0))
    return tuple(state)
