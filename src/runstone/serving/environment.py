"""Whether the packages here are those a model was saved with; and an environment of its own, where they are not."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from runstone.errors import EnvironmentDiffers, ServerFailed
from runstone.placement import place
from runstone.serving.resolve import Needs

OURS = {"mlflow", "mlflow-skinny", "mlflow-tracing", "runstone"}
"""Whoever saved a model writes itself into its requirements; whoever serves it takes that place."""

SERVING = (
    *("click>=8.1", "jsonschema>=4.20", "lark>=1.1.9", "pyyaml>=6.0.1"),
    *("httptools>=0.6", "orjson>=3.9", "packaging>=23", "prometheus-client>=0.19", "uvicorn>=0.30", "uvloop>=0.19"),
    *("numpy>=1.26", "pandas>=2.0"),
)
"""What Runstone and its extra `serve` need, where the model's own requirements do not say otherwise."""

_SHOWN = 8


def check_environment(uri: str, needs: Needs) -> None:
    """Hold the packages that are installed against a model's requirements.

    Args:
        uri: The model, for the message.
        needs: What it asks for.

    Raises:
        EnvironmentDiffers: One is missing or has another version, or Python has another minor one.
    """
    differences = list(find_differences(needs))
    if differences:
        raise EnvironmentDiffers(uri, differences)


def find_differences(needs: Needs) -> list[str]:
    """What differs, a line each: `scikit-learn==1.5.0 is asked for, and 1.9.1 is installed`."""
    found = []
    here = ".".join(map(str, sys.version_info[:2]))
    asked = re.match(r"[0-9]+\.[0-9]+", needs.python or "")
    if asked is not None and asked[0] != here:
        found.append(f"Python {needs.python} is asked for, and this is {here}")
    for requirement in parse(needs.requirements):
        installed = _installed(requirement.name)
        if installed is None:
            found.append(f"{requirement} is asked for, and is not installed")
        elif not requirement.specifier.contains(installed, prereleases=True):
            found.append(f"{requirement} is asked for, and {installed} is installed")
    return found


def parse(text: str) -> list[Requirement]:
    """The requirements of a model that mean something here, without whoever saved it; options are left out."""
    found = []
    for line in text.splitlines():
        plain = line.partition(" #")[0].strip()
        if not plain or plain.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(plain)
        except InvalidRequirement:
            continue  # a path or a URL alone, which names no package
        if canonicalize_name(requirement.name) in OURS:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found


def build(needs: Needs, cache: Path, say: Callable[[str], None]) -> Path:
    """A virtual environment with a model's packages and what serving needs; made once, then found again.

    Args:
        needs: What the model asks for.
        cache: The folder of all such environments.
        say: Told what is being done.

    Returns:
        Its Python.

    Writes:
        A folder in `cache`, named for what is in it.

    Raises:
        ServerFailed: There is no such Python here, or a package cannot be installed.
    """
    wanted_by_model = {canonicalize_name(each.name): str(each) for each in parse(needs.requirements)}
    ours = {canonicalize_name(Requirement(line).name): line for line in SERVING}
    lines = sorted((ours | wanted_by_model).values())
    minor = ".".join((needs.python or "").split(".")[:2])
    minor = minor if re.fullmatch(r"[0-9]+\.[0-9]+", minor) else ".".join(map(str, sys.version_info[:2]))
    name = hashlib.sha256("\n".join([minor, *lines]).encode()).hexdigest()[:16]
    folder = cache / f"serve-{name}"
    python = folder / "bin" / "python"
    if (folder / "complete").is_file():
        return python
    say(f"Building the model's environment in {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        uv = shutil.which("uv")
        if uv:
            _call([uv, "venv", "--quiet", "--no-project", "--python", minor, str(folder)])
        else:
            base = (
                sys.executable if minor == ".".join(map(str, sys.version_info[:2])) else shutil.which(f"python{minor}")
            )
            if base is None:
                raise ServerFailed(f"there is no Python {minor} here", "Install it, or `uv`, which can.")
            _call([base, "-m", "venv", str(folder)])
        wanted = folder / "requirements.txt"
        wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        install = (
            [uv, "pip", "install", "--quiet", "--python", str(python)]
            if uv
            else [str(python), "-m", "pip", "install", "-q"]
        )
        _call([*install, "-r", str(wanted)])
        place(python)
        (folder / "complete").touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return python


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _call(command: Sequence[str | None]) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET")}
    done = subprocess.run(
        [part for part in command if part is not None],
        env=kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join(f"  {line[:300]}" for line in (done.stdout + done.stderr).strip().splitlines()[-_SHOWN:])
        raise ServerFailed(
            f"the model's environment cannot be built:\n{said}\n",
            "Serve it in this environment, if the differences do not matter: `--env local --no-check`",
        )
