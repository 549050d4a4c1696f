"""What the tests of sharing have in common: clones with one git and one DVC remote, and a strict look at both."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from runstone.client import Client
from runstone.names import format_version_tag
from runstone.registry.version import register_version
from runstone.tracking.workspace import Workspace
from tests.git.support import check_clean
from tests.registry.support import log_model
from tests.support import git, make_repository

_DIGEST = re.compile(r"\b[0-9a-f]{32}\.dir\b")


@dataclass(frozen=True, slots=True)
class Team:
    """People who share one bare repository and one folder for artifacts.

    Attributes:
        folder: Where everything lies.
        remote: The bare repository.
        store: The DVC remote, which the project's `.dvc/config` names.
    """

    folder: Path
    remote: Path
    store: Path

    def clone(self, name: str, *options: str, url: str | None = None) -> Path:
        """A clone with an identity of its own."""
        path = self.folder / name
        git("clone", "-q", *options, url or str(self.remote), path, cwd=self.folder)
        git("config", "user.name", name.capitalize(), cwd=path)
        git("config", "user.email", f"{name}@example.org", cwd=path)
        return path

    def hook(self, name: str, script: str) -> Path:
        """A hook of the remote."""
        path = self.remote / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def check(self) -> None:
        """The remote is sound for git, and no ref names bytes that are not there."""
        check_clean(self.remote)
        if self.tip() is None:
            return
        text = git("grep", "-h", "-o", "-E", r"[0-9a-f]{32}\.dir", "runs", cwd=self.remote, check=False)
        text += git("for-each-ref", "--format=%(contents)", "refs/tags", cwd=self.remote)
        lacking = [digest for digest in set(_DIGEST.findall(text)) if not self.has(digest)]
        assert [] == lacking, "bytes that git names are not on the DVC remote"

    def has(self, digest: str) -> bool:
        """Whether the DVC remote holds an object, whole, and, of a folder, all that lies in it."""
        path = self.store / "files" / "md5" / digest[:2] / digest[2:]
        if not path.is_file():
            return False
        data = path.read_bytes()
        assert digest.removesuffix(".dir") == hashlib.md5(data).hexdigest(), f"{path} is damaged"
        return not digest.endswith(".dir") or all(self.has(entry["md5"]) for entry in json.loads(data))

    def tip(self) -> str | None:
        """Where the remote's branch of runs is."""
        return git("rev-parse", "--verify", "--quiet", "refs/heads/runs", cwd=self.remote, check=False) or None

    def runs(self) -> list[str]:
        """The ids of all runs that the remote has, one for each folder."""
        return runs_of(self.remote)

    def tags(self) -> list[str]:
        """The git tags of the remote."""
        return git("tag", "--list", cwd=self.remote).split()


def make_team(folder: Path, *, artifacts: bool = True) -> Team:
    """A project on a bare repository; its first clone is `ann`."""
    remote = folder / "remote.git"
    git("init", "-q", "--bare", "-b", "main", remote, cwd=folder)
    team = Team(folder, remote, folder / "store")
    first = make_repository(folder / "ann")
    if artifacts:
        (first / ".dvc").mkdir()
        (first / ".dvc" / "config").write_text(
            f"[core]\n    remote = store\n['remote \"store\"']\n    url = {team.store}\n"
        )
        (first / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        git("add", ".dvc", cwd=first)
        git("commit", "-q", "-m", "Name the store", cwd=first)
    git("remote", "add", "origin", remote, cwd=first)
    git("push", "-q", "-u", "origin", "main", cwd=first)
    return team


def record(repo: Path, run_id: str, text: str | None = None, **metrics: float) -> str:
    """Record a run, with one file if a text is given."""
    client = Client(repo)
    run = client.create_run("0", run_id=run_id)
    for key, value in (metrics or {"m": 1.0}).items():
        client.log_metric(run.id, key, value)
    if text is not None:
        client.log_text(run.id, text, "a.txt")
    client.set_terminated(run.id)
    return run_id


def register(repo: Path, run_id: str, model: str = "churn") -> str:
    """Record a run with a model folder, and register it; returns the git tag."""
    workspace = Workspace.open(repo)
    version = register_version(workspace, model, log_model(workspace, run_id, text=run_id))
    return format_version_tag(model, version.version)


def number_here(*repos: Path) -> None:
    """Have model versions numbered in these clones, and not on the remote: the tags go there with a later sync."""
    for repo in repos:
        (repo / "runstone.yaml").write_text("versions: local\n")
        with (repo / ".git" / "info" / "exclude").open("a") as exclude:
            exclude.write("/runstone.yaml\n")


def runs_of(repo: Path, ref: str = "runs") -> list[str]:
    """The ids of the runs on a branch, sorted; an id that lies in two folders stands twice."""
    out = git("ls-tree", "-r", "--name-only", ref, cwd=repo)
    return sorted(path.split("/")[-2] for path in out.split("\n") if path.endswith("/run.yaml"))


def subjects(repo: Path, ref: str = "runs") -> list[str]:
    """The subjects of the branch's first-parent line, oldest first."""
    return git("log", "--first-parent", "--reverse", "--format=%s", ref, cwd=repo).split("\n")


def recorded_ids(repo: Path, ref: str = "runs") -> list[str]:
    """The ids of the runs that the commits `Record run …` tell of, sorted: one stands twice if it was doubled."""
    out = git("log", "--first-parent", "--grep=^Record run", "--format=%b", ref, cwd=repo)
    return sorted(re.findall(r"^Run: (.+)$", out, re.MULTILINE))
