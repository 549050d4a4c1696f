"""The layers of DESIGN.md, drawn from the imports of every module, those inside functions included."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import SOURCE, run_python

# Each layer may import those above it. Names are modules or packages directly below `runstone`.
LAYERS = (
    ("errors", "names", "placement", "uris", "templates", "_version"),
    ("records",),
    ("git",),
    ("artifacts", "flavors"),
    ("index",),
    ("tracking",),
    ("registry",),
    ("promotion", "scoring", "serving", "projects"),
    ("deploy",),
    ("entities", "exceptions"),
    ("client",),
    ("fluent",),
    ("data", "loading", "models", "types"),
    (
        "catboost",
        "keras",
        "lightgbm",
        "onnx",
        "files",
        "pyfunc",
        "pytorch",
        "sklearn",
        "spacy",
        "statsmodels",
        "transformers",
        "xgboost",
    ),
    ("evaluation",),
    ("__init__",),
    ("imports",),
    ("mlflow_plugin",),
    ("exports",),
    ("cli", "web", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
HEAVY = frozenset(
    "dvc git github gitlab jsonschema keras lark matplotlib numpy onnx onnxruntime pandas sklearn spacy torch "
    "transformers yaml".split()
)
OWNERS = {"dvc": "artifacts/remote.py", "git": "git/transport.py"}


class Import(NamedTuple):
    """One import: where, of what, and whether it runs when its module is imported."""

    file: str
    line: int
    target: str
    runs_at_once: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def read_imports(package: Path) -> list[Import]:
    """All imports of a package, relative ones made absolute, those in functions and for types included."""
    return [found for path in sorted(package.rglob("*.py")) for found in _read_module(package, path)]


def _read_module(package: Path, path: Path) -> Iterator[Import]:
    file = path.relative_to(package).as_posix()
    parents = [package.name, *path.relative_to(package).parent.parts]
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while pending:
        node, runs_at_once = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, name.name, runs_at_once) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*parents[: len(parents) - node.level + 1], *filter(None, [node.module])]
                if node.level
                else [node.module or ""]
            )
            for name in node.names:
                yield Import(file, node.lineno, ".".join([*base, name.name]), runs_at_once)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += [(child, False) for child in node.body] + [(child, runs_at_once) for child in node.orelse]
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            pending += [(child, runs_at_once and not inside) for child in ast.iter_child_nodes(node)]


def part_of(package: Path, target: str) -> str | None:
    """The module or package below the top that an import means; None for what is not ours."""
    first, *rest = target.split(".")
    if first != package.name:
        return None
    if rest and ((package / rest[0]).is_dir() or (package / f"{rest[0]}.py").is_file()):
        return rest[0]
    return "__init__"


def layer_violations(package: Path) -> list[str]:
    """Imports that point down the list of layers, modules in no layer, and neighbours that import each other."""
    wrong = []
    sideways: dict[tuple[str, str], Import] = {}
    for found in read_imports(package):
        importer = Path(found.file).parts[0].removesuffix(".py")
        imported = part_of(package, found.target)
        if importer not in RANK and f"{found.file} is in no layer" not in wrong:
            wrong.append(f"{found.file} is in no layer")
        if imported is None or imported == importer or importer not in RANK:
            continue
        if imported not in RANK or RANK[imported] > RANK[importer]:
            wrong.append(str(found))
        elif RANK[imported] == RANK[importer]:
            sideways[importer, imported] = found
    return wrong + [str(found) for pair, found in sideways.items() if pair[::-1] in sideways]


def library_violations(package: Path) -> list[str]:
    """Libraries imported by a module that does not own them, or heavy ones imported before they are needed."""
    wrong = []
    for found in read_imports(package):
        library = found.target.split(".")[0]
        family = "dvc" if library.startswith("dvc") else library
        if family in OWNERS and found.file != OWNERS[family]:
            wrong.append(str(found))
        # A flavor's module is itself imported only when its library is used.
        is_own_flavor = found.file == f"flavors/{family}.py"
        if family in HEAVY and found.runs_at_once and not is_own_flavor:
            wrong.append(f"{found} at once, not inside a function")
    return wrong


def test_imports_point_one_way() -> None:
    """errors, names, uris → records → git → artifacts, flavors → index → tracking → registry → … → the faces."""
    assert [] == layer_violations(SOURCE / "runstone")


def test_libraries_are_imported_where_and_when_they_are_used() -> None:
    """DVC and GitPython have one module each, and nothing heavy is imported at the head of a module."""
    assert [] == library_violations(SOURCE / "runstone")


@pytest.mark.parametrize("module", ["runstone", "runstone.records.run", "runstone.git.repository", "runstone.tracking"])
def test_importing_is_light(module: str, tmp_path: Path) -> None:
    """In a process of its own, the import loads none of the heavy libraries, nor DVC's own packages."""
    code = f"import json, sys, {module}; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    loaded = set(json.loads(run_python(code, cwd=tmp_path).stdout))
    assert "runstone" in loaded
    assert set() == {name for name in loaded if name in HEAVY or name.startswith("dvc")}


def make_package(folder: Path, **modules: str) -> Path:
    """A small made-up package; `__` in a name is a folder."""
    package = folder / "runstone"
    for name, text in {"__init__": "", **modules}.items():
        path = package / (f"{name.replace('__', '/')}.py" if name != "__init__" else "__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_the_checker_accepts_imports_that_point_up(tmp_path: Path) -> None:
    """Between layers upwards, between neighbours one way, inside one part any way, and of libraries in functions."""
    package = make_package(
        tmp_path,
        errors="import os",
        records__run="from runstone.errors import X\nfrom runstone import errors\nfrom .other import Y",
        records__other="from runstone.records import run\nfrom .. import errors",
        artifacts__remote="def push():\n    import dvc.repo\n    import dvc_data.hashfile",
        flavors__sklearn="import sklearn\nfrom runstone.artifacts import remote",
        git__transport="def clone():\n    import git",
        index__frame="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas",
    )
    assert ([], []) == (layer_violations(package), library_violations(package))


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (
            {"records__run": "from runstone.git import refs", "git__refs": ""},
            "records/run.py:1 imports runstone.git.refs",
        ),
        ({"records__run": "from ..git import refs", "git__refs": ""}, "records/run.py:1 imports runstone.git.refs"),
        (
            {"errors": "def f():\n    import runstone.git.refs", "git__refs": ""},
            "errors.py:2 imports runstone.git.refs",
        ),
        ({"errors": "from runstone import git", "git__refs": ""}, "errors.py:1 imports runstone.git"),
        ({"tracking__run": "import runstone"}, "tracking/run.py:1 imports runstone"),
        ({"client": "from runstone.fluent import log", "fluent": ""}, "client.py:1 imports runstone.fluent.log"),
        ({"surprise": "import os"}, "surprise.py is in no layer"),
        (
            {"errors": "import runstone.surprise", "surprise": ""},
            "errors.py:1 imports runstone.surprise",
        ),
        (
            {"artifacts__a": "import runstone.flavors.f", "flavors__f": "import runstone.artifacts.a"},
            "artifacts/a.py:1 imports runstone.flavors.f",
        ),
    ],
)
def test_the_checker_finds_imports_that_point_down(tmp_path: Path, modules: dict[str, str], expected: str) -> None:
    """Absolute or relative, at the head or in a function, of a module in no layer or of each other."""
    assert expected in layer_violations(make_package(tmp_path, **modules))


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ({"index__a": "def f():\n    import dvc.repo"}, ["index/a.py:2 imports dvc.repo"]),
        ({"artifacts__store": "def f():\n    from dvc_data import x"}, ["artifacts/store.py:2 imports dvc_data.x"]),
        ({"cli__a": "def f():\n    import git"}, ["cli/a.py:2 imports git"]),
        (
            {"git__transport": "from git import Repo"},
            ["git/transport.py:1 imports git.Repo at once, not inside a function"],
        ),
        (
            {"index__a": "try:\n    import pandas as pd\nexcept ImportError:\n    raise"},
            ["index/a.py:2 imports pandas at once, not inside a function"],
        ),
        (
            {"flavors__infer": "class A:\n    from numpy import linalg"},
            ["flavors/infer.py:2 imports numpy.linalg at once, not inside a function"],
        ),
    ],
)
def test_the_checker_finds_libraries_out_of_place(tmp_path: Path, modules: dict[str, str], expected: list[str]) -> None:
    """In a module that does not own them, or at the head of one, in whatever block."""
    assert expected == library_violations(make_package(tmp_path, **modules))


def test_a_heavy_import_would_be_noticed(tmp_path: Path) -> None:
    """The process test sees a library that is loaded through another module."""
    (tmp_path / "indirect.py").write_text("import yaml\n")
    code = "import json, sys, indirect; print(json.dumps('yaml' in sys.modules))"
    assert "true" == run_python(code, cwd=tmp_path).stdout.strip()
    assert "false" == run_python(code.replace(", indirect", ""), cwd=tmp_path).stdout.strip()
