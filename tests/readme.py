"""Keeps the generated parts of README.md in step: `python -m tests.readme`, also a hook of .pre-commit-config.yaml.

A line `<!-- output of: runstone … -->` says that the fenced block behind it is what this command prints.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).parent.parent
_PART = re.compile(
    r"(?P<mark><!-- output of: (?P<command>runstone [^\n]+) -->\n+```\w*\n)(?P<output>.*?)(?P<end>^```$)", re.M | re.S
)
_MAIN = "import sys; sys.argv[0] = 'runstone'; from runstone.cli import main; sys.exit(main())"


def regenerate(text: str) -> str:
    """The README with each generated part as the commands print it now.

    Raises:
        RuntimeError: A mark is not followed by a fenced block, or a command failed.
    """
    marks = text.count("<!-- output of:")
    if marks != len(_PART.findall(text)):
        raise RuntimeError("Each line `<!-- output of: runstone … -->` must be followed by a fenced block.")
    return _PART.sub(lambda part: f"{part['mark']}{_output(part['command'])}{part['end']}", text)


def _output(command: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _MAIN, *shlex.split(command)[1:]],
            cwd=folder,
            env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"`{command}` ended with {done.returncode}: {done.stderr.strip()}")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.strip("\n").split("\n"))


def main() -> int:
    """Rewrite README.md where it is out of step; 1 if it was."""
    readme = TOP / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = regenerate(before)
    if after == before:
        return 0
    readme.write_text(after, encoding="utf-8")
    print("README.md was out of step with what the commands print; it has been rewritten: `git diff README.md`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
