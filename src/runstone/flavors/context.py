"""What a model of one's own finds beside itself: the files it was saved with, and its settings."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, UsageError
from runstone.flavors import mlmodel
from runstone.flavors.kept import keep
from runstone.flavors.trust import Trust

ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class PythonModelContext:
    """What a model of one's own finds when it is loaded and when it predicts.

    Attributes:
        artifacts: The files and folders that were saved with it: name → absolute path.
        model_config: The settings it was saved with, less those that the caller of `load_model` wanted otherwise;
            None if it has none.
    """

    artifacts: Mapping[str, str]
    model_config: Mapping[str, Any] | None = None


PythonModelContext.__module__ = "runstone.pyfunc"  # as pickles name it, wherever this module moves


def copy_artifacts(
    target: Path, artifacts: Mapping[str, str | PathLike[str]], uris: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Copy files and folders that a model needs into its folder, those of one name apart.

    Args:
        target: The model folder.
        artifacts: Name → path.
        uris: Where those came from that came from a run or a registered model.

    Returns:
        What the MLmodel file says of them. It names no path of this machine.

    Writes:
        `artifacts/` in the folder.

    Raises:
        UsageError: There is no such file or folder, or it holds the model folder itself.
    """
    saved: dict[str, dict[str, str]] = {}
    used: set[str] = set()
    for key, given in artifacts.items():
        source = Path(given).resolve()
        if not source.exists():
            raise UsageError(f"`artifacts`: there is no {given}, which was given as {key!r}.")
        if target.resolve().is_relative_to(source):
            raise UsageError(f"`artifacts`: {given} holds the model folder {target}. Save it elsewhere.")
        top, number = source.name, 0
        while top.casefold() in used:
            top, number = str(number), number + 1
        used.add(top.casefold())
        place = Path(ARTIFACTS, *dict.fromkeys((top, source.name)))
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / place)
        else:
            shutil.copyfile(source, target / place)
        saved[key] = {"path": place.as_posix(), "uri": uris.get(key, source.name)}
    return saved


def make_context(
    folder: Path, artifacts: object, config: Mapping[str, Any] | None, owner: object, trust: Trust
) -> PythonModelContext:
    """What a model finds, from what its MLmodel file says.

    Args:
        folder: The model folder.
        artifacts: What the file says of them.
        config: The settings.
        owner: The model: copies of its artifacts go when it does.
        trust: Why it may be loaded.

    Raises:
        ModelFileChanged: An artifact is not the recorded one.
        InvalidModelFolder: An artifact is missing, or leads out of the folder.
    """
    if not isinstance(artifacts, Mapping) or not all(isinstance(info, Mapping) for info in artifacts.values()):
        raise InvalidModelFolder(
            folder, f"in `{mlmodel.FILE}`, `flavors.{mlmodel.PYFUNC}.{ARTIFACTS}` must be a map of maps"
        )
    paths = {str(key): str(keep(folder, info.get("path"), trust=trust, owner=owner)) for key, info in artifacts.items()}
    return PythonModelContext(paths, dict(config) if config else None)
