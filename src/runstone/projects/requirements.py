"""The packages of a run, read from its `requirements.txt`: only the lines that Runstone itself writes.

The text comes from other people's pushes. Installers take options (`--index-url`, `-r`, `-e`) and variables
(`${TOKEN}` in a URL) out of such a file, so each line is checked, and they are handed a file written anew.
"""

import re
from dataclasses import dataclass

from runstone.errors import RequirementRefused

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"[A-Za-z0-9][A-Za-z0-9.!+_-]*"
_HOST = r"(?:[A-Za-z0-9_.~-]+@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
_PATH = r"/[A-Za-z0-9._~%!&()*+,=:@/-]*"
_PART = r"(?:subdirectory=(?!/)(?!(?:[^&]*/)?\.\.(?:/|&|$))[A-Za-z0-9._/-]+|[a-z0-9]+=[0-9A-Fa-f]+)"
_PINNED = re.compile(rf"({_NAME})==({_VERSION})")
_URL = re.compile(
    rf"({_NAME}) @ (?:(?:git|hg|svn|bzr)\+(?:https?|ssh|git|svn)://{_HOST}{_PATH}@[A-Za-z0-9][A-Za-z0-9]*"
    rf"|https?://{_HOST}{_PATH})(?:#{_PART}(?:&{_PART})*)?"
)
_LOCAL = re.compile(rf"# ({_NAME})==({_VERSION}) \((?:editable|local) install(?: at [0-9A-Za-z]+)?\)")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What to install.

    Attributes:
        lines: Checked lines, by the package's normalised name.
        local: Packages that lay only on the machine of the run (editable and local installs): name → version.
    """

    lines: dict[str, str]
    local: dict[str, str]


def parse_requirements(text: str) -> Requirements:
    """Read the `requirements.txt` of a run.

    Raises:
        RequirementRefused: A line is neither `name==version`, nor `name @ URL` with a plain URL, nor a comment.
    """
    lines, local = {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            if match := _LOCAL.fullmatch(line):
                local[normal_name(match[1])] = match[2]
            continue
        match = _PINNED.fullmatch(line) or _URL.fullmatch(line)
        if match is None:
            raise RequirementRefused(number, line)
        lines[normal_name(match[1])] = line
    return Requirements(lines, local)


def normal_name(name: str) -> str:
    """The name of a package as all its spellings have it.

    Source: PyPA, "Names and normalization".
    """
    return re.sub(r"[-_.]+", "-", name).lower()
