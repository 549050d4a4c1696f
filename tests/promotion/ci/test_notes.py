"""Approval notes: written for the merges that lack one, on top of what others have written."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runstone.errors import RunstoneError, UsageError
from runstone.git.notes import were_never_fetched
from runstone.promotion.ci.notes import Noted, list_unnoted, record_approvals, write_note
from runstone.promotion.ci.upstream import Upstream
from runstone.promotion.rules.approvals import collect
from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from runstone.registry.people import NOTES_REF, read_note
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.promotion.merged import ci_checkout, push_file
from tests.promotion.support import ANN
from tests.sharing import Team
from tests.support import SOURCE, git

pytestmark = pytest.mark.ci


def note_of(commit: str) -> ApprovalNote:
    """What a forge would say of a commit."""
    return ApprovalNote(f"https://forge.example.org/pull/{commit[:4]}", "ann", approvals=(Approval("rae"),))


def upstream(path: Path) -> Upstream:
    """The remote of a checkout."""
    return Upstream(Workspace.open(path).repo)


def noted_on(remote: Path) -> dict[str, str]:
    """What the remote's notes say, as git itself reads them: commit → request."""
    lines = git("notes", "--ref", NOTES_REF, "list", cwd=remote, check=False).splitlines()
    blobs = dict(line.split(" ")[::-1] for line in lines)
    texts = {commit: git("cat-file", "-p", blob, cwd=remote) for commit, blob in blobs.items()}
    return {c: ApprovalNote.from_document(yaml.load(f"{text}\n", "n"), "n").request for c, text in texts.items()}


@pytest.fixture
def merges(plain_team: Team) -> list[str]:
    """Three commits on the remote's default branch that change the registry, and one that does not, oldest first."""
    found = []
    for number in range(3):
        push_file(plain_team, f"registry/churn/stages/S{number}.yaml", "versions: [1]\n")
        found.append(git("rev-parse", "main", cwd=plain_team.remote))
    push_file(plain_team, "train.py", "print(2)\n")
    return found


def test_merges_of_the_registry_are_noted_once(plain_team: Team, merges: list[str]) -> None:
    """From a checkout of one commit, the oldest first; what did not touch the registry is not asked for."""
    asked: list[str] = []

    def ask(commit: str) -> ApprovalNote:
        asked.append(commit)
        return note_of(commit)

    done = record_approvals(upstream(ci_checkout(plain_team)), ask)
    assert [Noted(commit, note_of(commit)) for commit in merges] == done
    assert merges == asked
    assert {commit: note_of(commit).request for commit in merges} == noted_on(plain_team.remote)
    assert [] == record_approvals(upstream(ci_checkout(plain_team, "again")), ask)
    git("fsck", "--strict", cwd=plain_team.remote)


def test_after_a_forge_was_away_it_goes_on_where_it_stopped(plain_team: Team, merges: list[str]) -> None:
    """What was noted before the failure stays, and the next job asks for the rest."""

    def fail_at_second(commit: str) -> ApprovalNote:
        if commit == merges[1]:
            raise RunstoneError("away")
        return note_of(commit)

    with pytest.raises(RunstoneError, match="away"):
        record_approvals(upstream(ci_checkout(plain_team)), fail_at_second)
    assert merges[:1] == list(noted_on(plain_team.remote))
    done = record_approvals(upstream(ci_checkout(plain_team, "again")), note_of)
    assert merges[1:] == [each.commit for each in done]


def test_what_came_by_no_request_gets_no_note(plain_team: Team, merges: list[str]) -> None:
    """And those of other notes stay as they are."""
    ann = plain_team.folder / "ann"
    git("fetch", "-q", cwd=ann)
    git("notes", "--ref", NOTES_REF, "add", "-m", "by hand", merges[0], cwd=ann)
    git("push", "-q", "origin", NOTES_REF, cwd=ann)
    done = record_approvals(upstream(ci_checkout(plain_team)), lambda c: note_of(c) if c == merges[2] else None)
    assert [merges[2]] == [each.commit for each in done]
    assert "by hand" == git("notes", "--ref", NOTES_REF, "show", merges[0], cwd=plain_team.remote)


def test_since_says_where_to_begin(plain_team: Team, merges: list[str]) -> None:
    """A commit, or a date; what is noted already is left out."""
    checkout = ci_checkout(plain_team)
    there = upstream(checkout)
    write_note(there, merges[2], note_of(merges[2]))
    assert [] == list_unnoted(there)
    assert [merges[1]] == list_unnoted(there, since=merges[0])
    today = datetime.now(UTC).date()
    assert merges[:2] == list_unnoted(there, since=today.isoformat())
    assert [] == list_unnoted(there, since=(today + timedelta(days=1)).isoformat())
    with pytest.raises(UsageError, match="--since must be a commit or a date such as 2026-11-22, but is '--output=x'"):
        list_unnoted(there, since="--output=x")


def test_a_note_is_never_written_over(plain_team: Team, merges: list[str]) -> None:
    """The first word counts, also where git has parted the paths otherwise."""
    ann = plain_team.folder / "ann"
    git("notes", "--ref", NOTES_REF, "add", "-m", "first", merges[0], cwd=ann)  # a flat tree
    git("push", "-q", "origin", NOTES_REF, cwd=ann)
    assert not write_note(upstream(ci_checkout(plain_team)), merges[0], note_of(merges[0]))
    assert "first" == git("notes", "--ref", NOTES_REF, "show", merges[0], cwd=plain_team.remote)


def test_jobs_at_once_lose_no_note(plain_team: Team, merges: list[str]) -> None:
    """Each in a clone of its own, with the notes as they were: all are there in the end, on one line."""
    paths = [ci_checkout(plain_team, f"ci-{number}") for number in range(3)]
    code = (
        "import sys; from runstone.promotion.ci.notes import write_note; "
        "from runstone.promotion.ci.upstream import Upstream; from runstone.tracking.workspace import Workspace; "
        "from tests.promotion.ci.test_notes import note_of; u = Upstream(Workspace.open('.').repo); "
        "sys.stdin.readline(); print(write_note(u, sys.argv[1], note_of(sys.argv[1])))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (SOURCE, SOURCE.parent)))}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code, commit],
            cwd=path,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for path, commit in zip(paths, merges, strict=True)
    ]
    said = [job.communicate("\n", timeout=60)[0] for job in jobs]
    assert ["True\n"] * 3 == said
    assert set(merges) == set(noted_on(plain_team.remote))
    assert "3" == git("rev-list", "--count", "--no-merges", NOTES_REF, cwd=plain_team.remote)


def test_every_clone_sees_the_notes_of_ci_after_a_pull(plain_team: Team, merges: list[str]) -> None:
    """Who approved is not in a plain clone, which says so, and is once the notes were pulled."""
    write_note(upstream(ci_checkout(plain_team)), merges[0], note_of(merges[0]))
    reader = Workspace.open(plain_team.clone("reader"))
    assert (True, None) == (were_never_fetched(reader.repo), read_note(reader.repo, merges[0]))
    assert 1 == sync(reader, send=False).approvals_received
    assert (False, note_of(merges[0])) == (were_never_fetched(reader.repo), read_note(reader.repo, merges[0]))
    assert "rae" in [each.person.name for each in collect(reader.repo, merges[0]).approvers]


def test_a_fork_of_history_is_not_followed(plain_team: Team, merges: list[str]) -> None:
    """Only the line of first parents counts: a proposal's own commits are not merges."""
    ann = plain_team.folder / "ann"
    git("checkout", "-q", "-b", "proposal", cwd=ann)
    (ann / "registry" / "churn" / "stages" / "S0.yaml").write_text("versions: [2]\n")
    git("commit", "-q", "-am", "Propose", cwd=ann, env=ANN)
    proposal = git("rev-parse", "HEAD", cwd=ann)
    git("checkout", "-q", "main", cwd=ann)
    git("merge", "-q", "--no-ff", "-m", "Merge it", "proposal", cwd=ann)
    git("push", "-q", "origin", "main", cwd=ann)
    found = list_unnoted(upstream(ci_checkout(plain_team)))
    assert [*merges, git("rev-parse", "main", cwd=ann)] == found
    assert proposal not in found
