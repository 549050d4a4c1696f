"""This Runstone in an environment that has none."""

import subprocess
import sys
from pathlib import Path

from runstone import __version__
from runstone.placement import place
from tests.support import SOURCE


def test_another_environment_imports_this_very_runstone(tmp_path: Path) -> None:
    """And its installer knows the version; nothing else came with it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    python = tmp_path / "other" / "bin" / "python"
    place(python)
    code = "import importlib.metadata as m, runstone; print(runstone.__file__, *[d.version for d in m.distributions()])"
    done = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"{SOURCE / 'runstone' / '__init__.py'} {__version__}\n" == done.stdout
