"""What tests of proposals share: a team with versions and a reviewer, and a promotion in one call."""

from pathlib import Path
from typing import Any

from runstone.client import Client
from runstone.promotion.proposals.propose import Options, Outcome
from tests.promotion.support import make_versions, write
from tests.support import git, make_repository

REVIEW = {"runstone.yaml": "promotion: review\n"}


def reviewed(repo: Path, files: dict[str, str] | None = None, *, versions: int = 2, review: bool = True) -> Path:
    """A repository with versions of `churn`, and files on `main` that say how promotions go."""
    make_versions(repo, versions)
    changes = {**(REVIEW if review else {}), **(files or {})}
    if changes:
        write(repo, dict(changes), "Share", {})
    return repo


def setup(folder: Path, files: dict[str, str] | None = None, *, review: bool = True) -> tuple[Path, Path, Path]:
    """Ann, who has registered two versions, Rae, who reviews, and the bare repository that they share."""
    ann = make_repository(folder / "ann")
    name(ann, "Ann")
    reviewed(ann, files, review=review)  # before there is a remote, so that no bytes need to be shared
    remote = folder / "remote.git"
    git("init", "-q", "--bare", "-b", "main", remote, cwd=folder)
    git("remote", "add", "origin", remote, cwd=ann)
    git("push", "-q", "-u", "origin", "main", "runs", "--tags", cwd=ann)
    return ann, clone(remote, "rae"), remote


def clone(remote: Path, who: str, *options: str) -> Path:
    """A clone beside the remote, of somebody of that name."""
    git("clone", "-q", *options, remote, remote.parent / who, cwd=remote.parent)
    name(remote.parent / who, who.capitalize())
    return remote.parent / who


def name(repo: Path, who: str) -> None:
    """Say who works in a repository."""
    git("config", "user.name", who, cwd=repo)
    git("config", "user.email", f"{who.lower()}@example.org", cwd=repo)


def hook(remote: Path, kind: str, script: str) -> None:
    """A hook of a bare repository."""
    path = remote / "hooks" / kind
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def kill_at(repo: Path, state: str, ref: str) -> None:
    """Have git kill -9 the command that runs it, once a ref (a pattern) gets to a state of its move."""
    script = f"""#!/bin/sh
[ "$1" = {state} ] && grep -q " {ref}" && kill -9 "$(cut -d " " -f 4 "/proc/$PPID/stat")" && [ $1 = prepared ] && exit 1
exit 0
"""
    path = repo / ".git" / "hooks" / "reference-transaction"
    path.write_text(script)
    path.chmod(0o755)


def promote(repo: Path, version: int, *, stage: str | None = None, alias: str | None = None, **options: Any) -> Outcome:
    """Promote a version of `churn`."""
    return Client(repo).promote("churn", version, stage, alias=alias, options=Options(**options))
