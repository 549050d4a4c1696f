"""The texts in templates/: model cards, CI workflows, hooks. The one module that knows where they lie.

They lie inside an installed package, else in the source tree, as the schemas do (`records/schema.py`).
"""

from pathlib import Path

from runstone.errors import RunstoneError


def folder() -> Path:
    """The folder of the templates.

    Raises:
        RunstoneError: Neither the package nor the source tree has it.
    """
    package = Path(__file__).resolve().parent
    for path in (package / "templates", package.parents[1] / "templates"):
        if (path / "model_card.md").is_file():
            return path
    raise RunstoneError(
        f"The templates are missing from {package}. Install again: `pip install --force-reinstall runstone`"
    )


def read(name: str) -> str:
    """The text of a template by its path in the folder, such as `model_card.md`.

    Raises:
        RunstoneError: There is none of this name.
    """
    path = folder() / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunstoneError(
            f"The template {path} is missing. Install again: `pip install --force-reinstall runstone`"
        ) from None
