"""Wheels beside a model, for one platform: what an image is made of is settled now, and its build needs no network."""

import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from runstone.errors import InvalidValue, WheelhouseFailed

_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
_DOCKER = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
_GLIBC = 28
"""Base images of today have a newer one; of the wheels that libraries publish now, hardly any asks for more."""

_OLD = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_BLOCK = 1024 * 1024


def find_platform(given: str | None) -> str:
    """A platform as wheels name it, such as `manylinux_2_28_x86_64`; this machine's if none is given.

    Args:
        given: `linux/amd64`, `aarch64`, `manylinux_2_28_x86_64`, `manylinux2014_aarch64` …

    Raises:
        InvalidValue: It is no Linux platform with glibc.
    """
    text = (given or platform.machine()).lower().removeprefix("linux/")
    if text in _MACHINES:
        return f"manylinux_2_{_GLIBC}_{_MACHINES[text]}"
    for minor, old in _OLD.items():
        text = text.replace(f"{old}_", f"manylinux_2_{minor}_")
    if not re.fullmatch(r"manylinux_2_[0-9]{1,2}_(x86_64|aarch64)", text):
        raise InvalidValue(
            f"The platform {given or text!r} is none that an image can be built for here. Give one of `linux/amd64`, "
            "`linux/arm64`, or as wheels name it: `manylinux_2_28_x86_64`"
        )
    return text


def engine_platform(wheels: str) -> str:
    """What docker calls the platform of wheels: `linux/amd64`."""
    return next(name for machine, name in _DOCKER.items() if wheels.endswith(machine))


def download(lines: Sequence[str], folder: Path, *, python: str, wheels: str) -> None:
    """Download the wheels that requirements lead to, those that they need in turn included.

    The index is that of pip's own configuration. Nothing but wheels is taken, so no code of theirs runs here.

    Args:
        lines: The requirements, checked by `needed`; and the wheels that lie in the folder already.
        folder: Where they go.
        python: The minor version that they are for.
        wheels: The platform, as wheels name it.

    Writes:
        The wheels in the folder.

    Raises:
        WheelhouseFailed: There is no pip here, or it found no such wheels; what it said is told.
    """
    match = re.fullmatch(r"manylinux_2_([0-9]+)_(\w+)", wheels)
    assert match is not None  # as `find_platform` gives it
    tags = []
    for minor in range(int(match[1]), 4, -1):
        tags += [f"manylinux_2_{minor}_{match[2]}", *([f"{_OLD[minor]}_{match[2]}"] if minor in _OLD else [])]
    wanted = folder.with_name("wanted.txt")
    wanted.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--quiet", "--only-binary=:all:"]
    target = [f"--python-version={python}", "--implementation=cp", *(f"--platform={tag}" for tag in tags)]
    places = [f"--find-links={folder}", f"--dest={folder}", f"--requirement={wanted}"]
    try:
        done = subprocess.run(
            [*_find_pip(python), "download", *options, *target, *places],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        wanted.unlink()
    if done.returncode:
        raise WheelhouseFailed(python, wheels, (done.stderr or done.stdout).strip())


def lock(folder: Path) -> list[str]:
    """Every wheel of a folder as a requirement: its exact version, and the SHA-256 of its bytes; sorted by name.

    Raises:
        WheelhouseFailed: Something else than a wheel lies there.
    """
    lines = []
    for path in sorted(folder.iterdir()):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise WheelhouseFailed("any version", "any platform", str(error)) from None
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        lines.append(f"{name}=={version} --hash=sha256:{digest.hexdigest()}")
    return sorted(lines)


def _find_pip(python: str) -> list[str]:
    """The command of a pip; of this version of Python, where one is here, since pip reads conditions as its own."""
    here = ".".join(map(str, sys.version_info[:2]))
    own, same = [sys.executable, "-m", "pip"], [shutil.which(f"python{python}") or "", "-m", "pip"]
    found = [own, same] if python == here else [same, own]
    for command in (*found, [shutil.which("pip3") or ""], [shutil.which("pip") or ""]):
        if command[0] and not subprocess.run([*command, "--version"], capture_output=True, check=False).returncode:
            return command
    raise WheelhouseFailed(python, "any platform", "there is no pip here, in this environment or on the path")
