"""The steps of a Dockerfile that we write, done without an engine; and wheels made of what is installed here.

No container engine is at hand where the tests run. So each instruction is done as its reference says, with a folder for
the file system of each stage: paths from the root are put below that folder, and everything else is left as it
stands. What this does not show is what only a base image decides: its C library, its `python`, its users.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOTS = ("/opt", "/srv", "/build")
"""Where the Dockerfile puts things; other absolute paths, as that of this Python, are the machine's own."""


def read_steps(context: Path) -> list[tuple[str, str]]:
    """The instructions of a context's Dockerfile and what stands after each, as another's parser reads them."""
    structure = DockerfileParser(path=str(context)).structure
    return [(step["instruction"], step["value"]) for step in structure if step["instruction"] != "COMMENT"]


@dataclass
class Built:
    """What the last stage of a Dockerfile leaves.

    Attributes:
        root: The folder of its file system.
        env: What ENV set.
        entrypoint: The command, its paths put below the folder.
        health: That of the health check.
        user: What USER said.
        steps: How many instructions were done.
    """

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    user: str = ""
    steps: int = 0


def build(context: Path, place: Path, env: dict[str, str]) -> Built:
    """Do every step of a context's Dockerfile; an instruction that is not known is an error."""
    arguments: dict[str, str] = {}
    stages: dict[str, Built] = {}
    now = Built(place / "none")
    steps = 0
    for instruction, value in read_steps(context):
        steps += 1
        match instruction:
            case "ARG":
                name, _, default = value.partition("=")
                arguments[name] = default
            case "FROM":
                image, _, name = value.partition(" AS ")
                assert re.fullmatch(r"python:3\.[0-9]+-slim", image.replace("${BASE_IMAGE}", arguments["BASE_IMAGE"]))
                now = stages[name] = Built(place / (name or "last"))
                now.root.mkdir(parents=True)
            case "WORKDIR":
                now.workdir = value
                (now.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENV":
                now.env |= dict(pair.split("=", 1) for pair in value.split())
            case "COPY":
                _copy(value, context, now, stages)
            case "RUN":
                done = subprocess.run(
                    inside(json.loads(value), now.root),
                    cwd=now.root / now.workdir.lstrip("/"),
                    env=env,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert 0 == done.returncode, f"{value}: {done.stdout}{done.stderr}"
            case "USER":
                now.user = value
            case "HEALTHCHECK":
                now.health = inside(json.loads(value.partition(" CMD ")[2]), now.root)
            case "ENTRYPOINT":
                now.entrypoint = inside(json.loads(value), now.root)
            case "LABEL" | "EXPOSE":
                pass
            case _:
                raise AssertionError(f"the Dockerfile has an instruction that these tests do not know: {instruction}")
    now.steps = steps
    return now


def inside(command: list[str], root: Path) -> list[str]:
    """A command whose paths lie below a folder; `python` is this one."""
    paths = "|".join(map(re.escape, ROOTS))
    moved = [re.sub(rf"(^|=)(?=({paths})/)", rf"\g<1>{root}", word) for word in command]
    return [sys.executable if moved[0] == "python" else moved[0], *moved[1:]]


def _copy(value: str, context: Path, now: Built, stages: dict[str, Built]) -> None:
    match = re.fullmatch(r"(?:--from=(\w+) )?(\S+) (\S+)", value)
    assert match is not None, value
    source = stages[match[1]].root if match[1] else context
    target = now.root / (match[3] if match[3].startswith("/") else f"{now.workdir}/{match[3]}").lstrip("/")
    path = source / match[2].lstrip("/")
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
    else:
        assert match[3].endswith("/"), "a file goes into a folder"
        shutil.copy2(path, target / path.name)


def installed_wheels(names: Iterable[str], folder: Path) -> None:
    """Wheels of distributions that are installed here, and of all that they need: no index is asked.

    Writes:
        One uncompressed wheel for each in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted, done = [Requirement(name) for name in names], set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in done:
            continue
        done.add(name)
        found = importlib.metadata.distribution(name)
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                wanted.append(needed)
        _pack(found, folder)


def _pack(found: importlib.metadata.Distribution, folder: Path) -> None:
    tags = re.findall(r"^Tag: (\S+)-(\S+)-(\S+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    python, abi, platform = (".".join(sorted(set(part))) for part in zip(*tags, strict=True))
    name = re.sub(r"[-_.]+", "_", found.metadata["Name"])
    with zipfile.ZipFile(folder / f"{name}-{found.version}-{python}-{abi}-{platform}.whl", "w") as archive:
        for file in found.files or ():
            if ".." in file.parts or "__pycache__" in file.parts or file.name in ("INSTALLER", "REQUESTED"):
                continue
            if file.name == "RECORD":  # its hashes are of these very files, those left out are passed over
                kept = [line for line in file.read_text().splitlines() if not re.search(r"__pycache__|^\.\.", line)]
                archive.writestr(str(file), "".join(f"{line}\n" for line in kept))
                continue
            archive.write(os.fspath(file.locate()), str(file))
