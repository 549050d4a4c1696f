"""What a model needs to run: requirements.txt, python_env.yaml and conda.yaml of a model folder."""

import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

from runstone.errors import UsageError
from runstone.flavors.protocol import SaveOptions
from runstone.records import yaml

REQUIREMENTS = "requirements.txt"
PYTHON_ENV = "python_env.yaml"
CONDA = "conda.yaml"

PYFUNC_ENV = {"conda": CONDA, "virtualenv": PYTHON_ENV}
"""The key `env` of a python_function: where its environment is written."""


@cache
def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, without a build's own label (`+cpu`); None if it is not installed."""
    from importlib import metadata  # 25 ms, and reading a folder does not need it

    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None
    # Its `version` would have the `email` package read the whole file, and be imported for it.
    line = re.search(r"^Version: *(\S+)$", found.read_text("METADATA") or "", re.MULTILINE)
    return (line[1] if line else found.version).partition("+")[0]  # no index has such builds, `==2.1` means them too


def pin(distributions: Iterable[str]) -> list[str]:
    """Requirements with the exact versions installed, each once; what is not installed is left out."""
    names = {re.sub(r"[-_.]+", "-", name).lower(): name for name in distributions}
    return [f"{name}=={version}" for name in names.values() if (version := installed_version(name))]


def conda_env(requirements: Sequence[str]) -> dict[str, Any]:
    """A conda environment of this Python and packages from an index."""
    return {
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": list(requirements)}],
        "name": "model-env",
    }


def defaults(*distributions: str) -> tuple[Callable[..., list[str]], Callable[..., dict[str, Any]]]:
    """The functions `get_default_pip_requirements` and `get_default_conda_env` of a library, as MLflow has them.

    Args:
        distributions: What its models need at least.
    """

    def get_default_pip_requirements(include_cloudpickle: bool = False, include_skops: bool = False) -> list[str]:
        """What a model needs at least, pinned as installed, to which a caller adds: `[*…(), "mine==1.0"]`."""
        formats = {"cloudpickle": include_cloudpickle, "skops": include_skops}
        return pin([*distributions, *(name for name, wanted in formats.items() if wanted)])

    def get_default_conda_env(include_cloudpickle: bool = False, include_skops: bool = False) -> dict[str, Any]:
        """The same as a conda environment."""
        return conda_env(get_default_pip_requirements(include_cloudpickle, include_skops))

    return get_default_pip_requirements, get_default_conda_env


def write_environment(folder: Path, found: Sequence[str], options: SaveOptions) -> None:
    """Write the three files that say how to build the model's environment.

    Args:
        folder: The model folder.
        found: The requirements the flavor knows of, used unless the caller gave others.
        options: What the caller gave.

    Writes:
        `requirements.txt`, `python_env.yaml` and `conda.yaml` in the folder.

    Raises:
        UsageError: What the caller gave is no requirements or no environment.
    """
    if options.conda_env is not None:
        conda = _conda_env(options.conda_env)
        requirements = _pip_part(conda)
    else:
        if options.pip_requirements is not None:
            requirements = _read_requirements("pip_requirements", options.pip_requirements)
        elif options.extra_pip_requirements is not None:
            extra = _read_requirements("extra_pip_requirements", options.extra_pip_requirements)
            requirements = [*found, *(line for line in extra if line not in found)]
        else:
            requirements = list(found)
        conda = conda_env(requirements)
    python = {
        "build_dependencies": ["pip", "setuptools", "wheel"],
        "dependencies": [f"-r {REQUIREMENTS}"],
        "python": platform.python_version(),
    }
    _write(folder / REQUIREMENTS, "".join(f"{line}\n" for line in requirements))
    _write(folder / PYTHON_ENV, yaml.dump(python))
    _write(folder / CONDA, yaml.dump(conda))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _read_requirements(option: str, given: Sequence[str] | str | PathLike[str]) -> list[str]:
    if isinstance(given, str | PathLike):
        lines = Path(given).read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not all(isinstance(line, str) and "\n" not in line for line in given):
        raise UsageError(f"`{option}` must be a list of requirements such as `numpy==2.1.0`, or a file's path.")
    return list(given)


def _conda_env(given: Mapping[str, Any] | str | PathLike[str]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    conda = yaml.load(Path(given).read_bytes(), str(given))
    if not isinstance(conda, dict):
        raise UsageError(f"`conda_env`: {given} holds no conda environment, which would be a map.")
    return conda


def _pip_part(conda: Mapping[str, Any]) -> list[str]:
    dependencies = conda.get("dependencies")
    for part in dependencies if isinstance(dependencies, list) else []:
        if isinstance(part, Mapping) and isinstance(part.get("pip"), list):
            return [str(line) for line in part["pip"]]
    return []
