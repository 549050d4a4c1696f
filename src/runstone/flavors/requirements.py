"""Which distributions a model needs, told from the modules that its weights and code name.

Nothing is loaded and no process is started for it: a pickle names its classes, and code its imports.
"""

import ast
import pickletools
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from importlib.metadata import Distribution

# Where a distribution is called otherwise than its module. Only to find it sooner: others are found too.
_USUAL_NAMES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}

# cloudpickle's way to say `import`: a call of this with the module's name.
_SUBIMPORT = "cloudpickle.cloudpickle subimport"


def find_distributions(modules: Iterable[str]) -> list[str]:
    """The installed distributions that modules come from; the standard library and local files are of none."""
    return sorted({name for module in modules for name in _find(_candidate(module))})


def modules_of_pickle(stream: BinaryIO) -> set[str]:
    """The modules that a pickle names, read without running it: those of its classes and functions.

    Args:
        stream: The pickle; it is read to its end.
    """
    modules: set[str] = set()
    memo: dict[int, str | None] = {}
    stack: list[str | None] = [None, None]  # its two upmost values, where they are text
    argument: Any  # of the type that the opcode has
    for opcode, argument, _ in pickletools.genops(stream):
        pushed: str | None = None
        match opcode.name:
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
                continue
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[int(argument)] = stack[-1]
                continue
            case "GLOBAL":
                modules.add(argument.partition(" ")[0])
            case "STACK_GLOBAL":
                modules.add(stack[-2] or "")
                pushed = _SUBIMPORT if stack == _SUBIMPORT.split() else None
            case "BINGET" | "LONG_BINGET" | "GET":
                pushed = memo.get(int(argument))
            case "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8" | "UNICODE":
                pushed = argument
        if stack[-1] == _SUBIMPORT and pushed is not None:
            modules.add(pushed)
        stack = [stack[-1], pushed]
    return modules - {""}


def modules_of_code(path: Path) -> set[str]:
    """The modules that Python code imports, without those that lie in it.

    Args:
        path: A file, or a folder of which every Python file is read. What is not valid Python is passed over.
    """
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    local = {file.stem for file in files} | {folder.name for file in files for folder in file.parents}
    modules: set[str] = set()
    for file in files:
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules.update(name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module)
    return {module for module in modules if module.partition(".")[0] not in local}


def _candidate(module: str) -> str:
    """What to ask of a module: its top, and of a namespace such as `google` the whole, as many share its top."""
    top = module.partition(".")[0]
    known = sys.modules.get(top)
    return top if known is None or getattr(known, "__file__", None) else module


@cache
def _find(module: str) -> tuple[str, ...]:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("__main__", "__builtin__", "copy_reg", "runstone"):
        return ()
    for name in {_USUAL_NAMES.get(top, top): None, top.replace("_", "-"): None}:
        found = _distribution(name)
        if found is not None and top == module and _holds(found, module):
            return (str(found.metadata["Name"]),)
    names = _all_distributions().get(top, [])
    holding = [name for name in names if (found := _distribution(name)) and _holds(found, module)]
    return tuple(dict.fromkeys(holding or names))


def _distribution(name: str) -> "Distribution | None":
    from importlib.metadata import PackageNotFoundError, distribution  # 25 ms, and reading a folder does not need it

    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        return None


def _holds(distribution: "Distribution", module: str) -> bool:
    """Whether a distribution says that it installed the module."""
    path = module.replace(".", "/")
    record = distribution.read_text("RECORD") or ""
    return f"\n{path}/" in f"\n{record}" or f"\n{path}." in f"\n{record}"


@cache
def _all_distributions() -> dict[str, list[str]]:
    """Module → distributions, all that are installed: 200 ms, so only for a module that no name gave away."""
    from importlib.metadata import packages_distributions

    return dict(packages_distributions())
