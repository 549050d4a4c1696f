"""The reference workload beside the same script with every tracking call removed, and beside MLflow."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measure import Report, interleave, timed
from tests.benchmarks.setting import Setting

OURS = "with runstone"
PLAIN = "every tracking call removed"
MLFLOW = "with mlflow (SQLite)"
DEFAULT = Path(__file__).with_name("forest.py")


def measure(setting: Setting) -> Report:
    """Measure whole scripts, each time in a new repository."""
    script = (setting.workload or DEFAULT).absolute()
    text = script.read_text()
    report = Report(f"The reference workload ({script.name})")
    folder = setting.new_folder("workload")
    (folder / "tracked.py").write_text(text)
    (folder / "plain.py").write_text(strip(text))
    small = ["--small"] if setting.quick and setting.workload is None else []

    def run(name: str, *arguments: str) -> float:
        repository = setting.new_repository()
        (repository / "train.py").write_text((folder / name).read_text())
        command: Sequence[str] = [sys.executable, "-W", "ignore", "train.py", *arguments, *small]
        return timed(lambda: setting.call(command, repository))

    def ours() -> float:
        return run("tracked.py")

    def plain() -> float:
        return run("plain.py")

    def mlflow() -> float:
        return run("tracked.py", "--api", "mlflow")

    run("plain.py")  # so that byte code and font caches are there
    for who, samples in interleave({PLAIN: plain, OURS: ours}, setting.pick(5, 1)).items():
        report.add(who, samples, "s")
    report.at_most("times the plain script", report[OURS].median / report[PLAIN].median, 1.25)
    if setting.quick or not setting.peers:  # MLflow takes too long for a quick one
        return report
    try:
        report.add(MLFLOW, [mlflow() for _ in range(2)], "s")
    except RuntimeError as error:
        report.skipped[MLFLOW] = str(error).splitlines()[-1]
    else:
        report.notes.append(f"MLflow: {report[MLFLOW].median / report[PLAIN].median:.3g} times the plain script")
    return report


def strip(text: str) -> str:
    """Remove all that has to do with tracking from a script.

    Whatever is got by `importlib.import_module`, or from what was got so, is tracking: its statements go, and what is
    inside its `with` blocks stays.
    """
    tree = ast.parse(text)
    tree.body = _strip(tree.body, set())
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _strip(body: list[ast.stmt], tracking: set[str]) -> list[ast.stmt]:
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.With):
            statement.body = _strip(statement.body, tracking)
            if any(_is_tracking(item, tracking) for item in statement.items):
                kept += statement.body
            else:
                kept.append(statement)
        elif isinstance(statement, ast.For | ast.If) and not _is_tracking(_head(statement), tracking):
            statement.body = _strip(statement.body, tracking) or [ast.Pass()]
            statement.orelse = _strip(statement.orelse, tracking)
            kept.append(statement)
        elif _is_tracking(statement, tracking):
            if isinstance(statement, ast.Assign):
                names = (n for target in statement.targets for n in ast.walk(target))
                tracking |= {name.id for name in names if isinstance(name, ast.Name)}
        else:
            kept.append(statement)
    return kept


def _head(statement: ast.For | ast.If) -> ast.expr:
    return statement.iter if isinstance(statement, ast.For) else statement.test


def _is_tracking(node: ast.AST, tracking: set[str]) -> bool:
    return any(
        (isinstance(one, ast.Name) and one.id in tracking)
        or (isinstance(one, ast.Attribute) and one.attr == "import_module")
        for one in ast.walk(node)
    )
