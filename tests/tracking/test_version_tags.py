"""What is kept of the version tags that a remote has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.git.refs import Refs, RefUpdate
from runstone.git.repository import Repository
from runstone.tracking import version_tags
from tests.support import git

KEPT = "refs/runstone/remote-tags/origin/churn@v1"


@pytest.mark.parametrize("theirs", ["the same", "an older one"])
@pytest.mark.parametrize("way", ["sent", "seen"])
def test_two_processes_note_one_tag(git_repo: Path, monkeypatch: pytest.MonkeyPatch, way: str, theirs: str) -> None:
    """As a registration and the sync in the background: whoever comes second looks again, and nothing is told."""
    for name in ("older", "churn@v1"):
        git("tag", "-a", "-m", name, name, cwd=git_repo)
    repo, rival = Repository.open(git_repo), Repository.open(git_repo)
    oids = repo.refs.list("refs/tags/")
    newest, commit = oids["refs/tags/churn@v1"], git("rev-parse", "HEAD", cwd=git_repo)
    noted = newest if theirs == "the same" else oids["refs/tags/older"]
    between(monkeypatch, lambda: rival.refs.update([RefUpdate(KEPT, noted, None)]))
    if way == "sent":
        version_tags.note_sent(repo, "origin", {"churn@v1": newest})
    else:
        version_tags.fetch(repo, "origin", {"refs/tags/churn@v1": newest, "refs/tags/churn@v1^{}": commit}, None)
    assert {KEPT: newest} == repo.refs.list("refs/runstone/remote-tags/")


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Act, once, when the kept tags have been read and nothing has been made of them yet."""
    acts, read = [act], Refs.list

    def list_then_act(refs: Refs, prefix: str) -> dict[str, str]:
        found = read(refs, prefix)
        if prefix.startswith("refs/runstone/remote-tags/") and acts:
            acts.pop()()
        return found

    monkeypatch.setattr(Refs, "list", list_then_act)
