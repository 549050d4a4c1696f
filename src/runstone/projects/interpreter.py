"""The Python that a command runs with, where it is not this process's own: its version and packages.

Runstone may be installed apart from a project, and what a run ran on is what its command ran on.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from runstone.projects.arguments import is_python
from runstone.projects.child import find_program
from runstone.tracking.environment import format_requirements

_TIMEOUT_S = 30
_QUESTION = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json, re
from importlib import metadata
found = []
for each in metadata.distributions():
    try:
        head = (each.read_text("METADATA") or each.read_text("PKG-INFO") or "").split("\\n\\n")[0]
        fields = dict(reversed(re.findall(r"(?m)^(Name|Version):[ \\t]*(\\S+)[ \\t]*\\r?$", head)))
        found.append([fields["Name"], fields["Version"], each.read_text("direct_url.json")])
    except Exception:
        pass
print(json.dumps([sys.version.split()[0], found]))
"""


class Interpreter(NamedTuple):
    """A Python: its version, and its packages as a requirements file."""

    python: str
    requirements: str


def ask_interpreter(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Interpreter | None:
    """What a command's Python is; None where it has none that its first word tells, or this process's own.

    Args:
        command: The command; its first word is Python, or a script whose first line names one.
        cwd: Where it runs.
        env: Its environment.

    Raises:
        CommandNotFound, CommandNotExecutable: There is no such program.
        OSError, ValueError, subprocess.SubprocessError: The interpreter could not be asked.
    """
    program = find_program(command[0], cwd=cwd, path=env.get("PATH"))
    found = program if is_python(command[0]) else _of_script(Path(program), cwd, env.get("PATH"))
    if found is None or Path(found).parent == Path(sys.executable).parent:
        return None
    done = subprocess.run(
        [found, "-c", _QUESTION],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    version, packages = json.loads(done.stdout)
    return Interpreter(str(version), format_requirements((n, v, u) for n, v, u in packages if n and v))


def _of_script(program: Path, cwd: Path, path: str | None) -> str | None:
    try:
        with program.open("rb") as file:
            first = file.readline(512)
    except OSError:
        return None
    words = re.fullmatch(rb"#!\s*(\S+)(?:\s+(?:-S\s+)?(\S+).*)?\s*", first, re.DOTALL)
    if words is None:
        return None
    named = os.fsdecode(words[1])
    if Path(named).name == "env" and words[2]:
        named = os.fsdecode(words[2])
    return find_program(named, cwd=cwd, path=path) if is_python(named) else None
