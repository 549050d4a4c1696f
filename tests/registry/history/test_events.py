"""Typed events of pushes: names and payloads as MLflow's webhooks, and nothing told twice or lost."""

from pathlib import Path
from typing import Any

import pytest
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks.types import get_payload_class_for_event

from runstone.errors import CannotDecide, UsageError, VersionNotFound
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.records.registration import Registration
from runstone.records.version_notes import VersionNotes
from runstone.registry.history.events import NAMES, Event
from runstone.registry.history.pushes import RefMove, events_between, events_of_refs, events_of_version, resolve
from tests.registry.lines import BOB, Line, alias, stage
from tests.support import git


@pytest.fixture
def line(git_repo: Path) -> Line:
    """A branch without a registry."""
    return Line(Repository.open(git_repo))


def model(**fields: Any) -> str:
    """The text of a model's file."""
    return yaml.dump(ModelFile(**fields).to_document())


def notes(description: str | None = None, **tags: str) -> str:
    """The text of a version's notes."""
    return yaml.dump(VersionNotes(description, tags).to_document())


def told(events: list[Event]) -> list[tuple[str, dict[str, Any]]]:
    """Names and payloads."""
    assert set() == {event.name for event in events} - set(NAMES)
    return [(event.name, dict(event.data)) for event in events]


def pushed(line: Line, files: dict[str, str | bytes | None]) -> list[tuple[str, dict[str, Any]]]:
    """The events of one commit."""
    old = line.tip
    return told(events_between(line.repo, old, line.commit(files)))


def test_a_model_its_tags_and_its_name(line: Line) -> None:
    """Made, described, tagged, renamed, removed."""
    assert [("registered_model.created", {"name": "churn", "tags": {"a": "1"}, "description": "d"})] == pushed(
        line, {"churn/model.yaml": model(tags={"a": "1"}, description="d")}
    )
    changed = pushed(line, {"churn/model.yaml": model(tags={"b": "2"}, description="e", name="New")})
    assert [
        ("registered_model.renamed", {"name": "New"}),
        ("registered_model_tag.deleted", {"name": "New", "key": "a"}),
        ("registered_model_tag.set", {"name": "New", "key": "b", "value": "2"}),
        ("registered_model.updated", {"name": "New", "tags": {"b": "2"}, "description": "e"}),
    ] == changed
    assert [("registered_model.deleted", {"name": "New"})] == pushed(line, {"churn/model.yaml": None})


def test_aliases(line: Line) -> None:
    """Moved is created again, as MLflow tells it; what it was before stands beside."""
    assert [("model_version_alias.created", {"name": "churn", "alias": "a", "version": "1"})] == pushed(
        line, {"churn/aliases/a.yaml": alias(1)}
    )
    old = line.tip
    (moved,) = events_between(line.repo, old, line.commit({"churn/aliases/a.yaml": alias(2)}))
    assert {"name": "churn", "alias": "a", "version": "2"} == moved.data
    assert ("model_version_alias.created", "1") == (moved.name, moved.origin["previous_version"])
    gone = pushed(line, {"churn/aliases/a.yaml": None})
    assert [("model_version_alias.deleted", {"name": "churn", "alias": "a"})] == gone


def test_stages(line: Line) -> None:
    """One event for each version that moved; no stage is the text None, as MLflow says it."""
    assert [("model_version_stage.set", {"name": "churn", "version": "1", "stage": "Production"})] == pushed(
        line, {"churn/stages/Production.yaml": stage(1)}
    )
    assert [
        ("model_version_stage.set", {"name": "churn", "version": "1", "stage": "None"}),
        ("model_version_stage.set", {"name": "churn", "version": "2", "stage": "Production"}),
    ] == pushed(line, {"churn/stages/Production.yaml": stage(2)})


def test_notes_are_told_against_what_the_version_was_made_with(line: Line) -> None:
    """The first notes repeat the tags of the git tag; only what differs is an event."""
    line.tag("churn", 1, tags={"a": "1", "b": "2"})
    changed = pushed(line, {"churn/versions/1.yaml": notes("The one", a="1", b="3", c="4")})
    assert [
        ("model_version_tag.set", {"name": "churn", "version": "1", "key": "b", "value": "3"}),
        ("model_version_tag.set", {"name": "churn", "version": "1", "key": "c", "value": "4"}),
    ] == changed
    assert [
        ("model_version_tag.deleted", {"name": "churn", "version": "1", "key": "a"}),
        ("model_version.updated", {"name": "churn", "version": "1", "description": None}),
    ] == pushed(line, {"churn/versions/1.yaml": notes(b="3", c="4")})


def test_requests_cards_and_policies(line: Line) -> None:
    """Which MLflow has not, in its style."""
    request = Registration("r1", "model", "experiments/e", "1" * 40, "md5:0.dir", tags={"t": "v"})
    files = {
        "churn/registrations/r1.yaml": yaml.dump(request.to_document()),
        "churn/README.md": "# A",
        "policy.yaml": "schema: runstone/policy/v1\n",
    }
    data = {"name": "churn", "source": "runs:/r1/model", "run_id": "r1", "tags": {"t": "v"}, "description": None}
    expected = [
        ("policy", {"name": None}),
        ("registration", data),
        ("model_card", {"name": "churn"}),
    ]
    assert [(f"{entity}.created", payload) for entity, payload in expected] == pushed(line, dict(files))
    assert ["policy.deleted", "registration.deleted", "model_card.deleted"] == [
        name for name, _ in pushed(line, dict.fromkeys(files))
    ]


def test_versions_are_told_by_their_tags(line: Line) -> None:
    """Made and retired, by each way of naming them; the first one begins a model that has no file."""
    line.tag("churn", 1, run="r1", tags={"t": "v"})
    line.tag("churn", 2, run="r2")
    line.tag("churn", 1, retired=True)
    whole = {"source": "runs:/r1/model", "run_id": "r1", "tags": {"t": "v"}, "description": "The one"}
    made = ("model_version.created", {"name": "churn", "version": "1", **whole})
    begun: tuple[str, dict[str, Any]] = ("registered_model.created", {"name": "churn", "tags": {}, "description": None})
    for name in ("churn/1", "models:/churn/1", "churn@v1", "refs/tags/churn@v1"):
        assert [begun, made] == told(events_of_version(line.repo, name))
    assert ["model_version.created"] == [event.name for event in events_of_version(line.repo, "churn/2")]
    assert [("model_version.deleted", {"name": "churn", "version": "1"})] == told(
        events_of_version(line.repo, "churn@v1!")
    )
    with pytest.raises(VersionNotFound, match="No model version `churn/3`"):
        events_of_version(line.repo, "churn/3")
    with pytest.raises(UsageError, match="'churn' names no version"):
        events_of_version(line.repo, "churn")


def test_the_file_of_a_model_that_has_versions_does_not_make_it_again(line: Line) -> None:
    """It was made with its first version, or with its file, whichever came first."""
    line.tag("churn", 1)
    assert ["registered_model.updated"] == [
        name for name, _ in pushed(line, {"churn/model.yaml": model(description="d")})
    ]
    line.commit({"other/model.yaml": model(name="Other name")})
    line.tag("other", 1)
    (made,) = events_of_version(line.repo, "other@v1")
    assert ("model_version.created", "Other name") == (made.name, made.data["name"])


def test_a_model_that_had_no_file_is_renamed_by_its_first_one(line: Line) -> None:
    """Its versions made it, so the file does not; what the file says besides is told, too."""
    line.tag("churn", 1)
    old = line.tip
    (event,) = events_between(line.repo, old, line.commit({"churn/model.yaml": model(name="leavers")}))
    assert ("registered_model.renamed", {"name": "leavers"}) == (event.name, event.data)
    assert "churn" == event.origin["previous_name"]
    line.tag("other", 1)
    assert ["registered_model.renamed", "registered_model.updated"] == [
        name for name, _ in pushed(line, {"other/model.yaml": model(name="new", description="d")})
    ]


def test_refs_as_a_hook_is_told_them(line: Line) -> None:
    """The default branch, tags that came, were moved and removed; other refs, and other tags, are no events."""
    first = line.tag("churn", 1)
    old = line.tip
    new = line.commit({"churn/aliases/a.yaml": alias(1)})
    mark = line.tag("churn", 1, retired=True)
    moves = [
        RefMove("refs/heads/main", old, new),
        RefMove("refs/heads/runs", old, new),
        RefMove("refs/tags/churn@v1", "1" * 40, first),
        RefMove("refs/tags/churn@v1!", None, mark),
        RefMove("refs/tags/churn@v1", None, "2" * 40),
        RefMove("refs/tags/churn@v9", "3" * 40, None),
        RefMove("refs/tags/churn@v9!", "4" * 40, None),
        RefMove("refs/tags/v1.0", None, first),
        RefMove("refs/heads/main", new, None),
    ]
    found = events_of_refs(line.repo, moves)
    assert [
        "model_version_alias.created",
        "model_version.updated",
        "model_version.deleted",
        "model_version.deleted",
        "model_version.restored",
    ] == [event.name for event in found]
    assert ("1" * 40, True) == (found[1].origin["previous_object"], found[3].origin["removed"])


def test_each_commit_of_a_push_is_told_with_who_did_it(line: Line) -> None:
    """Also what a later one of the same push undid."""
    old = line.tip
    assert old is not None
    side = line.write({"churn/aliases/a.yaml": alias(1)}, "Point\n\nBypass: fire", parents=[old])
    merged = line.merge([side], {"churn/aliases/a.yaml": alias(1)}, "Merge pull request #3 from kim/x")
    new = line.commit({"churn/aliases/a.yaml": None})
    first, second = events_between(line.repo, old, new)
    assert ("created", "deleted") == (first.action, second.action)
    assert {
        "commit": merged,
        "proposed_by": ["Kim <kim@example.org>"],
        "merged_by": BOB,
        "approved_by": [BOB],
        "request": "#3",
        "bypass": "fire",
        "previous_version": None,
    } == first.origin


def test_a_forced_push_is_told_as_the_difference(line: Line) -> None:
    """Forwards, backwards and sidewards."""
    base = line.tip
    assert base is not None
    one = line.write({"churn/aliases/a.yaml": alias(1)}, parents=[base])
    two = line.write({"churn/aliases/b.yaml": alias(2)}, parents=[base])
    deleted, created = events_between(line.repo, one, two)
    assert ("deleted", "created", two) == (deleted.action, created.action, created.origin["commit"])
    assert ["deleted"] == [event.action for event in events_between(line.repo, one, base)]
    foxtrot = line.write({"churn/aliases/a.yaml": alias(1)}, parents=[two, one])
    assert ["created"] == [event.action for event in events_between(line.repo, one, foxtrot)]
    assert [] == events_between(line.repo, one, one)


def test_a_shallow_checkout_of_two_commits_is_enough(line: Line, git_repo: Path, tmp_path: Path) -> None:
    """The one before and the one after, whatever lies between; a commit that is not there cannot be decided."""
    old = line.commit({"churn/aliases/a.yaml": alias(1)})
    line.commit({"/train.py": "2"})
    new = line.commit({"churn/aliases/a.yaml": alias(2)})
    clone = tmp_path / "shallow"
    git("clone", "-q", "--depth", "1", f"file://{git_repo}", clone, cwd=tmp_path)
    with pytest.raises(CannotDecide, match=rf"The commit {old} is not in this clone.*`git fetch --unshallow`"):
        resolve(Repository.open(clone), old)
    git("fetch", "-q", "--depth", "1", "origin", old, cwd=clone)
    repo = Repository.open(clone)
    (event,) = events_between(repo, resolve(repo, old), resolve(repo, new))
    assert {"name": "churn", "alias": "a", "version": "2"} == event.data


def test_zeros_are_no_commit(line: Line) -> None:
    """As git writes a branch that is new: all of it is told."""
    commit = line.commit({"churn/aliases/a.yaml": alias(1)})
    assert None is resolve(line.repo, "0" * 40)
    assert 1 == len(events_between(line.repo, None, commit))


def test_ids_are_the_same_whenever_they_are_computed(line: Line) -> None:
    """And differ between events, also where one thing happens twice."""
    old = line.tip
    for version in (1, 2, 1, 2):
        line.commit({"churn/aliases/a.yaml": alias(version), "churn/aliases/b.yaml": alias(version)})
    first, again = (
        [event.id for event in events_between(Repository.open(line.repo.git_dir), old, line.tip)] for _ in range(2)
    )
    assert first == again
    assert 8 == len(set(first))


def test_payloads_are_mlflows_where_it_has_the_event(line: Line) -> None:
    """Key for key, by the types of the MLflow that is installed."""
    line.tag("churn", 1, tags={"a": "1"})
    old = line.tip
    files = {"churn/aliases/a.yaml": alias(1), "b/model.yaml": model(), "churn/versions/1.yaml": notes(b="2")}
    line.commit(dict(files))
    line.commit({"churn/aliases/a.yaml": None})
    events = [*events_of_version(line.repo, "churn/1"), *events_between(line.repo, old, line.tip)]
    compared = set()
    for event in events:
        try:
            kind = get_payload_class_for_event(WebhookEvent.from_str(event.name))
        except Exception:
            continue  # MLflow has no such event
        assert kind is not None
        assert set(kind.__annotations__) == set(event.data), event.name
        assert all(isinstance(value, str | dict) or value is None for value in event.data.values())
        compared.add(event.name)
    expected = {"registered_model", "model_version", "model_version_alias"}
    assert {f"{entity}.created" for entity in expected} < compared
    assert {"model_version_tag.set", "model_version_tag.deleted", "model_version_alias.deleted"} < compared
