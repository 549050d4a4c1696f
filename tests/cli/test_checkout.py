import json
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runstone.git.runs.branch import Draft, update_runs
from runstone.records import yaml
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace
from tests.support import git

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke


def rewrite(workspace: Workspace, run_id: str, **source: object) -> None:
    """Change the source in a run's record."""
    file = f"{need_recorded(workspace, run_id).folder}/run.yaml"

    def change(draft: Draft) -> None:
        document = yaml.load(draft.read(file) or b"", file)
        document["source"] |= source
        draft.commit({file: yaml.dump(document)}, "Rewrite")

    update_runs(workspace.repo, change)


def test_it_says_where_what_and_how_to_run_it_again(
    invoke: "Invoke", workspace: Workspace, three_runs: list[str], git_repo: Path
) -> None:
    """The folder, the commit, the files; the last line can be pasted and runs the command there."""
    rewrite(
        workspace,
        three_runs[0],
        command=["cat", "train.py"],
        directory=".",
        left_out=[{"path": ".env", "reason": "secret"}],
    )
    result = invoke("checkout", "brave-otter-1")
    place = git_repo.parent / "repo@brave-otter-1"
    head = git("rev-parse", "HEAD", cwd=git_repo)
    assert result.stdout.splitlines() == [
        f"run        brave-otter-1 ({three_runs[0]})",
        f"folder     {place}",
        f"code       commit {head[:12]}",
        "record     .runstone/run.yaml",
        "artifacts  2 files in .runstone/artifacts",
        "left out   .env (secret)",
        "",
        "Run it again",
        f"  cd {place} && cat train.py",
    ]
    assert f"Remove it: runstone checkout --clean {place}" in result.stderr
    line = result.stdout.splitlines()[-1]
    assert "print('trained')\n" == subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout


def test_quiet_prints_the_folder_alone(invoke: "Invoke", three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """So that `cd "$(runstone checkout RUN --quiet)"` works."""
    result = invoke("checkout", three_runs[0], str(tmp_path / "a b"), "-q", "--no-artifacts")
    assert f"{tmp_path}/a b\n" == result.stdout
    assert not (tmp_path / "a b" / ".runstone" / "artifacts").exists()


def test_json_has_all_of_it(invoke: "Invoke", three_runs: list[str], git_repo: Path, tmp_path: Path) -> None:
    """For programs: the same facts, and the branch."""
    result = invoke("checkout", "calm-fox-2", str(tmp_path / "out"), "--branch", "again", "--json")
    found = json.loads(result.stdout)
    head = git("rev-parse", "again", cwd=git_repo)
    expected: dict[str, object] = {
        "run": three_runs[1],
        "name": "calm-fox-2",
        "path": str(tmp_path / "out"),
        "snapshot": head,
        "branch": "again",
        "folder": str(tmp_path / "out" / ".runstone"),
        "python": None,
        "artifacts": 0,
        "inputs": [],
        "left_out": {},
        "warnings": [],
    }
    assert expected == {key: found[key] for key in expected}


def test_a_hostile_record_moves_no_cursor_and_runs_nothing(
    invoke: "Invoke", workspace: Workspace, three_runs: list[str], git_repo: Path
) -> None:
    """Control characters are shown as escapes, and a pasted line holds what is in the record as one quoted word."""
    rewrite(workspace, three_runs[0], command=["echo", "; touch evil", "\x1b[2J"], left_out=[{"path": "\x1b[2J"}])
    result = invoke("checkout", "brave-otter-1")
    assert "\x1b" not in result.output
    assert ["echo", "; touch evil", "\\x1b[2J"] == shlex.split(result.stdout.splitlines()[-1].partition("&& ")[2])


def test_checkouts_are_listed_and_removed(invoke: "Invoke", three_runs: list[str], git_repo: Path) -> None:
    """`--list` shows them, `--clean` removes them, and an edit needs `--force`."""
    invoke("checkout", "brave-otter-1", "-q")
    invoke("checkout", "calm-fox-2", "-q")
    place = git_repo.parent / "repo@brave-otter-1"
    listed = json.loads(invoke("checkout", "--list", "--json").stdout)
    assert {"calm-fox-2", "brave-otter-1"} == {each["run"] for each in listed}
    (place / "train.py").write_text("edited")
    refused = invoke("checkout", "--clean", code=1)
    assert f"removed {git_repo.parent}/repo@calm-fox-2\n" == refused.stdout
    assert f"{place} was not removed, since it holds what is nowhere else: `train.py`." in refused.stderr
    assert [str(place)] == json.loads(invoke("checkout", "--clean", "--force", "--json").stdout)
    assert "There are no checkouts to remove.\n" == invoke("checkout", "--clean").stderr
    assert "There are no checkouts." in invoke("checkout", "--list").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Name a run, or a model version."),
        (["--list", "x"], "Give either RUN [DIR], or --list, or --clean [RUN or DIR]."),
        (["--clean", "x", "y"], "Give either RUN [DIR], or --list, or --clean [RUN or DIR]."),
        (["--clean", "--list"], "Give either RUN [DIR], or --list, or --clean [RUN or DIR]."),
        (["--clean", "--no-artifacts"], "--no-artifacts has no meaning with --list or --clean."),
        (["--force", "x"], "--force goes with --clean."),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(invoke: "Invoke", arguments: list[str], words: str) -> None:
    """Each such call ends with 2 and says why."""
    assert words in invoke("checkout", *arguments, code=2).stderr


def test_an_unknown_run_ends_with_one(invoke: "Invoke", three_runs: list[str]) -> None:
    """The error says how to find runs."""
    assert "No run 'nothing' in this repository." in invoke("checkout", "nothing", code=1).stderr
