"""The script that a command runs, where it lies outside the repository: then no snapshot holds its code."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

OUTSIDE = "the script lies outside the repository; its code is not kept"
"""Why such a script is among what a run's snapshot leaves out."""

_RUNNER = re.compile(
    r"(?:python|pypy)w?[0-9.]*t?|(?:ba|da|k|z)?sh|accelerate|deepspeed|ipython|julia|node|perl|rscript|ruby|torchrun|uv",
    re.IGNORECASE,
)
_SCRIPT = re.compile(r"[^-].*\.(?:py|pyz|ipynb|sh|bash|r|jl|js|pl|rb)", re.IGNORECASE | re.DOTALL)
_CODE = ("-c", "-e", "-m", "--module")


def find_outside(command: Sequence[str], cwd: Path | None, work_tree: Path) -> str | None:
    """The name of the script that a command runs, if it lies outside a work tree; None if not, or if none is told.

    What belongs to an installation of Python is no script of the user's. A link in the work tree is what git keeps.

    Args:
        command: The command as it was typed, with absolute paths.
        cwd: Where it runs; None if that folder is gone.
        work_tree: The top of the work tree.
    """
    script = _find_script(command)
    if script is None or cwd is None:
        return None
    path = cwd / script
    if not path.is_file():
        return None
    forms = {os.path.normpath(path.absolute()), os.path.realpath(path)}
    homes = [work_tree.absolute(), work_tree.resolve(), Path(sys.prefix), Path(sys.base_prefix)]
    if any(Path(form).is_relative_to(home) for form in forms for home in homes):
        return None
    return None if "site-packages" in path.parts else path.name


def _find_script(command: Sequence[str]) -> str | None:
    has_runner = False
    for at, word in enumerate(command):
        if word in _CODE:
            return None
        if _SCRIPT.fullmatch(word):
            return word if at == 0 or has_runner else None
        name = re.split(r"[\\/]", word)[-1].removesuffix(".exe")
        has_runner = has_runner or _RUNNER.fullmatch(name) is not None
    return None
