"""The files of a run of W&B: what lies in its folder, and the artifacts it logged, which lie elsewhere."""

import base64
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from runstone.imports.foreign import part
from runstone.imports.incoming import IncomingFile, Refusal, Unavailable, local_files
from runstone.imports.wandb_run import Logged


def run_files(folder: Path, refuse: Refusal, *, follow_links: bool) -> list[IncomingFile]:
    """What lies in `files` of the folder of a run.

    Args:
        folder: The folder of the run.
        refuse: Told of what is no file, and of links out of it that are not followed.
        follow_links: Whether such links are followed to files: `wandb.save` makes them, but others may have, too.
    """
    root = folder / "files"
    linked: list[IncomingFile] = []

    def judge(path: str, why: str) -> None:
        place = root / path
        if not place.is_symlink():
            refuse(path, why)
        elif follow_links and place.is_file():
            linked.append(IncomingFile(path, place.resolve()))
        else:
            step = "To bring what `wandb.save` linked in a folder of your own: `--follow-links`"
            refuse(path, f"it is a symbolic link to a folder, or out of the run's. {step}")

    if root.is_symlink():
        judge(".", "")
        return []
    return [*local_files(root, judge), *linked]


def logged_files(artifacts: Sequence[Logged], refuse: Refusal) -> Iterator[IncomingFile]:
    """The files of logged artifacts, in a folder of the artifact's name; of several of one name the last has it."""
    for number, logged in enumerate(artifacts):
        later = sum(each.name == logged.name for each in artifacts[number + 1 :])
        earlier = sum(each.name == logged.name for each in artifacts[:number])
        folder = part(logged.name) + (f".v{earlier}" if later else "")
        for path, reference in logged.elsewhere:
            why = f"its bytes are not in W&B's folders, but at {reference}" if reference else "W&B keeps no copy of it"
            refuse(f"{folder}/{path}", why)
        for path, digest, size, local in logged.files:
            yield IncomingFile(f"{folder}/{path}", _fetch(digest, local), size)


def _fetch(digest: bytes, local: str) -> Callable[[Path], None]:
    """Copy a file that a log names, from where W&B staged it or from W&B's cache.

    A log may come from others, and name any file of this machine: only what has the digest that it tells is taken.
    """

    def copy(target: Path) -> None:
        try:
            wanted = base64.b64decode(digest, validate=True).hex()
        except ValueError:
            raise Unavailable("its digest cannot be read") from None
        cache = Path(os.environ.get("WANDB_CACHE_DIR") or "~/.cache/wandb").expanduser()
        for place in (Path(local), cache / "artifacts" / "obj" / "md5" / wanted[:2] / wanted[2:]):
            try:
                if not stat.S_ISREG(place.lstat().st_mode):
                    continue
                with place.open("rb") as file:
                    if hashlib.file_digest(file, "md5").hexdigest() == wanted:
                        shutil.copyfile(place, target)
                        return
            except (OSError, ValueError):
                continue
        raise Unavailable("W&B has no copy of it on this machine any more, or another one")

    return copy
