"""Whether a folder may be replaced by a new one when a caller says `--force`, which is meant for an earlier output."""

from pathlib import Path

from runstone.errors import OutputRefused


def check_replaceable(target: Path) -> None:
    """Refuse to replace a folder that a slip of the keyboard names: `.`, `..`, a repository, the home folder.

    Raises:
        OutputRefused: It is a repository, or holds the current folder or the home folder.
    """
    if not target.is_dir() or target.is_symlink():
        return
    real = target.resolve()
    if (real / ".git").exists() or ((real / "HEAD").is_file() and (real / "objects").is_dir()):
        raise OutputRefused(target, "it is a git repository, which is not replaced", "Name another folder.")
    for what, place in (("the current folder", Path.cwd()), ("your home folder", Path.home())):
        if place.resolve().is_relative_to(real):
            raise OutputRefused(target, f"it is or holds {what}, which is not replaced", "Name another folder.")
