"""Model versions → plain files for GitOps: the table of targets, the text of files, and a folder that holds them.

The same state of the registry gives the same bytes: nothing is dated, and files that need no change are not touched.
The first line of each says what made it; only files with that very line are ever replaced or removed.
"""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from runstone.deploy import compose, k8s, kserve, ray_serve
from runstone.deploy.deployment import Deployment
from runstone.errors import DiskFull, OutputRefused
from runstone.records.yaml_write import BARE, WORDS

_SUFFIX = ".yaml"
_MAX_LINE = 1000


class Target(Protocol):
    """What can run models: makes files of what is to run, and asks nobody else."""

    def __call__(self, deployments: Sequence[Deployment], /) -> Mapping[str, Mapping[str, Any]]:
        """Path → document, in the order in which they are to be applied."""


TARGETS: Mapping[str, Target] = {
    "compose": compose.render,
    "k8s": k8s.render,
    "kserve": kserve.render,
    "ray-serve": ray_serve.render,
}

Change = str
"""What became of a file, or would: `new`, `changed`, `same`, `removed`."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files for one target.

    Attributes:
        header: The first line of each.
        files: Path → text.
    """

    header: str
    files: Mapping[str, str]

    def to_stream(self) -> str:
        """All of them as one stream of YAML, for `kubectl apply -f -`; without lists of the others."""
        kept = {path: text for path, text in self.files.items() if path.rpartition("/")[2] != "kustomization.yaml"}
        return "---\n".join(text for _, text in kept.items())


def render(target: str, deployments: Sequence[Deployment], stage: str | None) -> Rendered:
    """The files of a target.

    Args:
        target: One of `TARGETS`.
        deployments: What is to run.
        stage: The stage they were chosen by, which the header tells; None if they were named.
    """
    of_what = f"the stage {stage}" if stage is not None else "named versions"
    header = f"# Rendered by `runstone render {target}` from {of_what}: change the registry, not this file."
    documents = TARGETS[target](deployments)
    return Rendered(header, {path: f"{header}\n{format_yaml(document)}" for path, document in documents.items()})


def compare(folder: Path, rendered: Rendered) -> dict[str, Change]:
    """Path → what writing would do to it, by path.

    Raises:
        OutputRefused: A file is in the way that this did not write.
    """
    found: dict[str, Change] = {}
    for path, text in rendered.files.items():
        target = _inside(folder, path)
        if not os.path.lexists(target):
            found[path] = "new"
            continue
        if target.is_symlink() or not target.is_file() or _first_line(target) != rendered.header:
            step = "Render into a folder of its own, one for each stage: `-o DIR`; or take the file away."
            raise OutputRefused(target, "it is there, and has not the first line of what would be written", step)
        found[path] = "same" if target.read_bytes() == text.encode() else "changed"
    found |= dict.fromkeys(_left_over(folder, rendered), "removed")
    return dict(sorted(found.items()))


def write(folder: Path, rendered: Rendered) -> dict[str, Change]:
    """Bring a folder to what was rendered.

    Returns:
        As `compare` told before.

    Writes:
        The files that are new or changed, each as a whole or not at all; removes files with our header that are no
        longer rendered, and folders that are empty then.

    Raises:
        OutputRefused: A file is in the way that this did not write; then nothing is written.
        DiskFull: A file cannot be written.
    """
    changes = compare(folder, rendered)
    for path, change in changes.items():
        target = folder / path
        try:
            if change == "removed":
                target.unlink()
                if target.parent != folder and not any(target.parent.iterdir()):
                    target.parent.rmdir()
            elif change != "same":
                target.parent.mkdir(parents=True, exist_ok=True)
                _replace(target, rendered.files[path].encode())
        except OSError as error:
            raise DiskFull(target, error.strerror or str(error)) from error
    return changes


def format_yaml(document: Mapping[str, Any]) -> str:
    """A document as readers of YAML 1.1 and 1.2 both read it: keys in their order, texts in quotes where in doubt.

    PyYAML alone leaves `1e5` bare, which is text to it and a number to clusters; a commit may look so.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        is_bare = re.fullmatch(BARE, value) is not None and value.lower() not in WORDS
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, None if is_bare else "'")

    Dumper.add_representer(str, text)
    # What nobody sees, as letters that turn the direction of a line, is written as its number: this gets reviewed.
    out = _dump(document, Dumper, allow_unicode=True)
    return out if out.replace("\n", "").isprintable() else _dump(document, Dumper, allow_unicode=False)


def _dump(document: Mapping[str, Any], dumper: Any, *, allow_unicode: bool) -> str:
    import yaml

    # PyYAML's writer in C is not everywhere, and folds some texts otherwise: the bytes would hang on the machine.
    text: str = yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=allow_unicode, width=10**6)
    return text


def _inside(folder: Path, path: str) -> Path:
    """A path in the folder, if no link leads it elsewhere."""
    target = folder / path
    for parent in (target.parent, *target.parent.parents):
        if parent == folder:
            break
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise OutputRefused(target, f"{parent} is no folder", "Take it away, or name another folder: `-o DIR`")
    return target


def _left_over(folder: Path, rendered: Rendered) -> list[str]:
    """Files with our header that are no longer rendered; folders that begin with a dot, as git's, are not ours."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(files):
            target = Path(place) / name
            path = target.relative_to(folder).as_posix()
            is_ours = name.endswith(_SUFFIX) and not target.is_symlink() and _first_line(target) == rendered.header
            if is_ours and path not in rendered.files:
                found.append(path)
    return found


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(_MAX_LINE).decode("utf-8", "replace").rstrip("\n")


def _replace(target: Path, data: bytes) -> None:
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
