"""A sync in the background that failed is told by the next commands."""

import json
import time
from pathlib import Path

from runstone.tracking import autosync
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.sharing import Team, record


def test_commands_tell_of_a_sync_that_failed(plain_team: Team) -> None:
    """Those that record or list, in one line on standard error; what they print is the same; a sync ends it."""
    ann = plain_team.folder / "ann"
    record(ann, "one")
    quiet = run_cli("runs", "list", "--json", cwd=ann)
    assert "" == quiet.stderr
    away = plain_team.remote.rename(plain_team.folder / "away.git")
    (Workspace.open(ann).repo.writable_state("sync") / "wanted").touch()
    assert 1 == run_cli("sync", "--auto", cwd=ann).returncode
    at = time.strftime("%H:%M", time.localtime(autosync.state(Workspace.open(ann)).failed_at))
    word = (
        f"The last background sync failed ({at}): The git remote `origin` ({plain_team.remote}) could not be used: "
        f"fatal: '{plain_team.remote}' does not appear to be a git repository; try `runstone sync`\n"
    )
    for command in ("runs list --json", "runs show one", "log -p a=1", "experiments list"):
        assert run_cli(*command.split(), cwd=ann).stderr.endswith(word), command
    assert quiet.stdout == run_cli("runs", "list", "--json", "-f", "run_id = 'one'", cwd=ann).stdout
    for command in ("doctor", "validate", "runs --help", "--version"):
        assert "background sync failed" not in run_cli(*command.split(), cwd=ann).stderr, command
    away.rename(plain_team.remote)
    assert 0 == run_cli("sync", cwd=ann).returncode
    assert "" == run_cli("runs", "list", cwd=ann).stderr


def test_an_older_failure_and_a_file_that_is_none(git_repo: Path) -> None:
    """Of another day it has the date; control characters are escaped; a torn file is passed over."""
    record(git_repo, "one")
    failed = autosync.failure_file(Workspace.open(git_repo).repo)
    failed.parent.mkdir(exist_ok=True)
    failed.write_text(json.dumps({"at": 86_400.0 * 366, "why": "It \x1b[31mbroke.\nMore of it"}))
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(86_400 * 366))
    expected = f"The last background sync failed ({day}): It \\x1b[31mbroke; try `runstone sync`\n"
    assert expected == run_cli("runs", "list", "--json", cwd=git_repo).stderr
    failed.write_text("{")
    assert "" == run_cli("runs", "list", "--json", cwd=git_repo).stderr
