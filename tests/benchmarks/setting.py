"""Where benchmarks work: a scratch folder with a home of its own, real repositories, and nothing of the user's."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import synthetic

ROOT = Path(__file__).resolve().parents[2]
_INHERITED = ("PYTHON", "GIT_", "DVC_", "RUNSTONE_", "MLFLOW_", "TRACKIO_", "SACRED_", "AWS_", "XDG_")


@dataclass
class Setting:
    """One session of benchmarks.

    Args:
        folder: The scratch folder; whoever made it removes it.
        quick: Small sizes and few rounds: figures that show that all works, not figures to quote.
        peers: Whether others are measured beside ours.
        workload: A script to use as the reference workload instead of our own; it takes `--api runstone|mlflow`.
    """

    folder: Path
    quick: bool = False
    peers: bool = True
    workload: Path | None = None
    _stored: dict[int, Path] = field(default_factory=dict)
    _made: int = 0

    def pick(self, full: int, quick: int) -> int:
        """A number by the size of the session."""
        return quick if self.quick else full

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        self._made += 1
        path = self.folder / f"{name}-{self._made}"
        path.mkdir(parents=True)
        return path

    def new_repository(self, name: str = "repository") -> Path:
        """A git repository with an identity and one commit of a few files."""
        path = self.new_folder(name)
        for number in range(5):
            (path / f"module_{number}.py").write_text(f"VALUE = {number}\n" * 40)
        self.call(["git", "init", "--quiet", "--initial-branch=main"], path)
        self.call(["git", "config", "user.name", "Kim Example"], path)
        self.call(["git", "config", "user.email", "kim@example.org"], path)
        self.call(["git", "add", "."], path)
        self.call(["git", "commit", "--quiet", "--message", "Begin"], path)
        return path

    def stored(self, count: int) -> Path:
        """A copy of a repository with this many recorded runs."""
        if count not in self._stored:
            path = self.new_repository(f"stored-{count}")
            synthetic.make_runs(path, count)
            self._stored[count] = path
        copy = self.new_folder("copy") / "repository"
        shutil.copytree(self._stored[count], copy)
        return copy

    def environment(self) -> dict[str, str]:
        """The environment of every process that is measured: a home in the scratch folder, no network, no telemetry.

        Nothing of Python's own settings is inherited: where PYTHONDONTWRITEBYTECODE is set, each start compiles anew.
        """
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED)}
        own = {
            "HOME": home,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": home / "matplotlib",
            "DO_NOT_TRACK": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": home / "dvc-global",
            "DVC_SYSTEM_CONFIG_DIR": home / "dvc-system",
            "DVC_SITE_CACHE_DIR": home / "dvc-site-cache",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_OFFLINE": "1",
            "TRACKIO_DIR": home / "trackio",
        }
        return kept | {name: str(value) for name, value in own.items()}

    def call(self, command: Sequence[str | Path], cwd: Path) -> str:
        """Run a command to its end and return what it printed; raises if it fails."""
        done = subprocess.run(
            list(map(str, command)), cwd=cwd, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
        return done.stdout

    def python(self, code: str, *arguments: str | Path, cwd: Path) -> str:
        """Run Python code in a process of its own; see `call`."""
        return self.call([sys.executable, "-c", code, *arguments], cwd)


def random_file(path: Path, size: int, seed: int) -> None:
    """Write a file of random bytes, always the same for one seed; blocks repeat, each with a number of its own."""
    block = random.Random(seed).randbytes(min(size, 4 << 20))
    with path.open("wb") as file:
        for number in range(0, size, len(block) or 1):
            file.write((number.to_bytes(8, "big") + block[8:])[: size - number])


def remove(path: Path) -> None:
    """Remove a folder with all below it, write-protected files too."""
    shutil.rmtree(path, ignore_errors=True)
