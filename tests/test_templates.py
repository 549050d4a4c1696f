"""Templates are found in the source tree, and in the wheel."""

import zipfile
from pathlib import Path

import pytest

from runstone import templates
from runstone.errors import RunstoneError
from tests.support import SOURCE, run_python


def test_a_template_is_read_by_its_name() -> None:
    """What the source tree holds; one that is not there is named."""
    assert (SOURCE.parent / "templates" / "model_card.md").read_text() == templates.read("model_card.md")
    with pytest.raises(RunstoneError, match=r"The template .*none\.md is missing"):
        templates.read("none.md")


def test_every_template_is_in_the_wheel(tmp_path: Path) -> None:
    """An installed package has no source tree beside it: there they lie in the package."""
    pytest.importorskip("hatchling")
    code = (
        "from hatchling.builders.wheel import WheelBuilder\n"
        f"print(next(WheelBuilder({str(SOURCE.parent)!r}).build(directory={str(tmp_path)!r})))"
    )
    wheel = Path(run_python(code, cwd=tmp_path).stdout.strip().splitlines()[-1])
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("runstone/templates/")}
        archive.extractall(tmp_path / "site")
    folder = SOURCE.parent / "templates"
    assert {
        f"runstone/templates/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file()
    } == inside
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import runstone.templates as t; print(t.folder())"
    )
    assert str(tmp_path / "site/runstone/templates") == run_python(code, cwd=tmp_path).stdout.strip()
