"""Artifacts: one large file, and a folder of many small ones, beside hash and copy by hand, and beside `dvc add`."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from tests.benchmarks.measure import Report, timed
from tests.benchmarks.setting import Setting, random_file, remove
from tests.benchmarks.worker import Worker

OURS = "runstone log_artifact(s)"
SYNCED = "runstone, to committed and synced"
HAND = "hash, then copy, by hand"
HAND_SYNCED = "hash, copy and sync, by hand"
DVC = "dvc add"


def measure(setting: Setting) -> Report:
    """Measure both shapes; the files are read once before, so that none pays for a cold disk."""
    size, files = setting.pick(1 << 30, 32 << 20), setting.pick(2000, 100)
    report = Report(f"Artifacts: a file of {size >> 20:,} MiB; {files:,} files of 10 KB")
    large = setting.new_folder("large")
    random_file(large / "model.bin", size, 1)
    _measure_shape(setting, report, "large file", large / "model.bin")
    remove(large)
    small = setting.new_folder("small")
    for number in range(files):
        folder = small / f"part_{number % 20:02}"
        folder.mkdir(exist_ok=True)
        random_file(folder / f"file_{number:04}.bin", 10_000, number)
    _measure_shape(setting, report, "many files", small)
    remove(small)
    return report


def _measure_shape(setting: Setting, report: Report, shape: str, source: Path) -> None:
    samples: dict[str, list[float]] = {OURS: [], SYNCED: [], HAND: [], HAND_SYNCED: [], DVC: []}

    def ours() -> None:
        repository = setting.new_repository()
        with Worker(setting, "runstone", repository) as worker:
            worker("track", 1)  # begins what a process begins once
            os.sync()
            called, ended = worker("add", str(source))
        samples[OURS].append(called)
        samples[SYNCED].append(ended)
        remove(repository)

    def by_hand() -> None:
        folder = setting.new_folder("hand")
        os.sync()
        begun = perf_counter()
        copies = _hash_and_copy(source, folder)
        samples[HAND].append(perf_counter() - begun)
        _sync(copies)
        samples[HAND_SYNCED].append(perf_counter() - begun)
        remove(folder)

    def dvc_add() -> None:
        repository = setting.new_repository()
        setting.call([sys.executable, "-m", "dvc", "init", "--quiet"], repository)
        copy = repository / source.name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        os.sync()
        command = [sys.executable, "-m", "dvc", "add", "--quiet", source.name]
        samples[DVC].append(timed(lambda: setting.call(command, repository)))
        remove(repository)

    turns: list[Callable[[], None]] = [ours, by_hand]
    try:
        if setting.peers:
            setting.call([sys.executable, "-m", "dvc", "--version"], setting.folder)
            turns.append(dvc_add)
    except RuntimeError as error:
        report.skipped[DVC] = str(error).splitlines()[-1]
    for number in range(setting.pick(3, 1)):
        for turn in turns if number % 2 == 0 else reversed(turns):
            turn()
    first = f"{OURS}: {shape}"
    series = {w: report.add(f"{w}: {shape}", found, "s", against=first) for w, found in samples.items() if found}
    against = ((OURS, HAND), (SYNCED, HAND_SYNCED)) if shape == "large file" else ()
    for who, hand in against:
        # Of the least: what a disk does with GiB waiting to be written differs by seconds from one moment to the next.
        report.at_most(f"{who} / {hand}: {shape}", series[who].least / series[hand].least, 1.3)
    if DVC in series and shape == "many files":
        report.at_most(f"{SYNCED} / {DVC}: {shape}", series[SYNCED].least / series[DVC].least, 1)


def _hash_and_copy(source: Path, folder: Path) -> list[Path]:
    """Hash each file with MD5, then copy it to the name of its hash."""
    copies = []
    for path in [p for p in sorted(source.rglob("*")) if p.is_file()] if source.is_dir() else [source]:
        with path.open("rb") as file:
            copy = folder / hashlib.file_digest(file, "md5").hexdigest()
        shutil.copyfile(path, copy)
        copies.append(copy)
    return copies


def _sync(copies: list[Path]) -> None:
    for copy in copies:
        descriptor = os.open(copy, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
