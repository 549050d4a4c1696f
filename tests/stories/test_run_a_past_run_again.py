"""Story: run a past run again, years and a squash merge later, from a fresh clone, and see what it reproduced."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.support import run_cli
from tests.support import git

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands of this story are of POSIX")

TRAIN = """
import argparse, csv, json, random

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--seed", type=int)
given = parser.parse_args()

random.seed(given.seed)
rows = [(float(x), float(y)) for x, y in csv.reader(open(given.data))]
slope = random.random()
with open("log.csv", "w") as log:
    print("epoch,loss", file=log)
    for epoch in range(1, given.epochs + 1):
        slope -= given.lr * sum((slope * x - y) * x for x, y in rows) / len(rows)
        loss = sum((slope * x - y) ** 2 for x, y in rows) / len(rows)
        print(f"{epoch},{loss!r}", file=log)
json.dump({"slope": slope}, open("model.json", "w"))
print(f"slope {slope:.3f}")
"""


def runs_of(repo: Path) -> list[dict[str, object]]:
    """All runs, the newest first, as `runs list --json` gives them."""
    found = json.loads(run_cli("runs", "list", "--json", cwd=repo).stdout)
    assert isinstance(found, list)
    return found


def test_run_a_past_run_again(git_repo: Path, bare_remote: Path, tmp_path: Path) -> None:
    """A branch is trained, squash-merged and deleted; a colleague's clone runs that very code again."""
    # Kim trains on a branch, with edits that are not committed, and no line of Runstone in the code.
    git("remote", "add", "origin", bare_remote, cwd=git_repo)
    git("switch", "-qc", "idea", cwd=git_repo)
    (git_repo / ".gitignore").write_text("log.csv\nmodel.json\n")
    (git_repo / "train.py").write_text(TRAIN)
    git("add", "-A", cwd=git_repo)
    git("commit", "-qm", "An idea", cwd=git_repo)
    (git_repo / "data.csv").write_text("1,2\n2,4.5\n3,6\n")
    command = ["python", "train.py", "data.csv", "--lr", "0.1", "--epochs", "5", "--seed", "7"]
    options = ["-e", "slopes", "--name", "the-one", "--metrics", "log.csv", "--artifact", "model.json"]
    done = run_cli("run", *options, *command, cwd=git_repo)
    assert (0, True) == (done.returncode, done.stdout.startswith("slope "))
    (first,) = runs_of(git_repo)
    assert {"lr": 0.1, "epochs": 5, "seed": 7} == first["params"]

    # The branch is squash-merged and deleted, the code goes on, and git forgets what it may.
    (git_repo / "data.csv").unlink()
    git("restore", ".", cwd=git_repo)
    git("switch", "-q", "main", cwd=git_repo)
    git("merge", "-q", "--squash", "idea", cwd=git_repo)
    git("commit", "-qm", "An idea, squashed", cwd=git_repo)
    git("branch", "-qD", "idea", cwd=git_repo)
    (git_repo / "train.py").write_text("raise SystemExit('all new')\n")
    git("commit", "-qam", "Begin again", cwd=git_repo)
    git("reflog", "expire", "--expire=now", "--all", cwd=git_repo)
    git("gc", "-q", "--prune=now", cwd=git_repo)
    git("push", "-q", "origin", "main", "runs", cwd=git_repo)

    # A colleague clones, and runs it again: the same code, data and arguments, and so the same results.
    git("clone", "-q", bare_remote, tmp_path / "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    done = run_cli("rerun", "the-one", cwd=clone)
    assert "Reproduced. The new run: `runstone runs show " in done.stdout
    assert 0 == done.returncode
    assert re.search(r"\nloss +[\d.e-]+ +[\d.e-]+ +same\n", done.stdout)
    again, before = runs_of(clone)
    assert (first["id"], "slopes") == (again["rerun_of"], again["experiment"])
    assert before["metrics"] == again["metrics"]
    assert "" == git("status", "--porcelain", cwd=clone)
    assert ["clone"] == [path.name for path in tmp_path.iterdir() if path.name.startswith("clone")]

    # What another seed gives is no reproduction, and that is what the exit code says.
    changed = [*command[:-1], "8"]
    done = run_cli("rerun", "the-one", "--", *changed, cwd=clone)
    assert 1 == done.returncode
    assert "Not reproduced: params: seed, metrics: loss. " in done.stdout
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=clone)
