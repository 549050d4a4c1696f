"""What tests of checkouts share besides fixtures."""

import os
import stat
import zipfile
from pathlib import Path
from typing import Any

from runstone.git.runs.branch import Draft, update_runs
from runstone.records import yaml
from runstone.tracking.once import Logged, record_run
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace

Contents = dict[str, tuple[str, bytes]]
"""Path → kind (`link`, `file`, `program`) and bytes."""


def contents(folder: Path) -> Contents:
    """Everything below a folder but what git and Runstone keep there."""
    found: Contents = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] in (".git", ".runstone") or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        else:
            is_program = bool(path.stat().st_mode & stat.S_IXUSR)
            found[name] = ("program" if is_program else "file", path.read_bytes())
    return found


def record(workspace: Workspace, name: str = "past", **logged: Any) -> str:
    """An ended run; its id."""
    return record_run(workspace, Logged(**logged), name=name)


def rewrite_record(workspace: Workspace, run_id: str, section: str = "source", **changes: object) -> None:
    """Change keys of a section of a run's record, as somebody who pushes may; None removes one."""
    file = f"{need_recorded(workspace, run_id).folder}/run.yaml"

    def change(draft: Draft) -> None:
        document = yaml.load(draft.read(file) or b"", file)
        found = {**document.get(section, {}), **changes}
        document[section] = {key: value for key, value in found.items() if value is not None}
        draft.commit({file: yaml.dump(document)}, "Rewrite")

    update_runs(workspace.repo, change)


def make_wheel(folder: Path, name: str, version: str, text: str = "") -> None:
    """A wheel of one module, as an index would offer it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", text or f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
