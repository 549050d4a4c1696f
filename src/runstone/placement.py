"""This very Runstone, made importable in another environment: nothing is built, and no index need offer it."""

import json
import shutil
import subprocess
from pathlib import Path

from runstone._version import __version__


def place(python: Path) -> None:
    """Make this Runstone importable in the environment of an interpreter.

    Args:
        python: The interpreter of a virtual environment without a Runstone.

    Writes:
        Its `site-packages`: a link to the source tree, as an editable install has it, or else a copy; and what tells
        installers that it is there.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    site = Path(done.stdout.strip())
    source = _source_root()
    if source is not None:
        (site / "_runstone.pth").write_text(f"{source}\n", encoding="utf-8")
    else:  # beside an installed one lie all the other packages, so that folder cannot be linked
        package = Path(__file__).resolve().parent
        shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / f"runstone-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: runstone\nVersion: {__version__}\n")
    (info / "INSTALLER").write_text("runstone\n")
    origin = {"url": "file:///", "dir_info": {"editable": source is not None}}
    (info / "direct_url.json").write_text(f"{json.dumps(origin)}\n")


def _source_root() -> Path | None:
    """The folder on `sys.path` that holds this Runstone, if it runs from its source tree; None for an installed one."""
    root = Path(__file__).resolve().parents[1]
    return root if root.name == "src" and (root.parent / "pyproject.toml").is_file() else None
