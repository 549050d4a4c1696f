"""The registry as it was, and who put each version where it is."""

from pathlib import Path

import pytest

from runstone.errors import HistoryCut, ModelNotFound
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.registry.history.blame import Holding, blame
from runstone.registry.history.line import read_history
from runstone.registry.history.past import Past, find_model, line_commit, read_past, read_past_commit, read_present
from runstone.registry.history.tags import read_version_tag, read_version_tags
from runstone.registry.version import register_version
from runstone.tracking.workspace import Workspace
from tests.registry.lines import ANN, Line, alias, stage
from tests.registry.support import log_model
from tests.support import git


@pytest.fixture
def line(git_repo: Path) -> Line:
    """A branch without a registry."""
    return Line(Repository.open(git_repo))


def holdings(line: Line) -> list[Holding]:
    """The blame of `churn`."""
    return blame(line.repo, read_present(line.repo, "churn"), read_history(line.repo, key="churn"))


def told(past: Past) -> list[tuple[str, dict[str, tuple[int, ...]], dict[str, int], list[int], tuple[int, ...]]]:
    """Name, stages, aliases, versions, retired of each model."""
    return [
        (m.name, dict(m.state.stages), dict(m.state.aliases), [tag.version for tag in m.versions], m.retired)
        for m in past.models
    ]


# --- blame


def test_the_last_commit_that_put_it_there_is_told(line: Line) -> None:
    """Not an earlier one, nor one that left it where it was."""
    line.tag("churn", 1)
    line.commit({"churn/stages/Production.yaml": stage(1)})
    line.commit({"churn/stages/Production.yaml": stage(2), "churn/stages/Archived.yaml": stage(1)})
    back = line.commit({"churn/stages/Production.yaml": stage(1), "churn/stages/Archived.yaml": stage(2)}, author=ANN)
    pointed = line.commit({"churn/aliases/champion.yaml": alias(2)})
    line.commit({"churn/stages/Production.yaml": stage(1, 3)})
    found = {(each.place, each.version): each for each in holdings(line)}
    assert [("Archived", 2), ("Production", 1), ("Production", 3), ("@champion", 2)] == list(found)
    entry = found["Production", 1].entry
    assert entry is not None
    assert (back, "Ann") == (entry.commit, entry.proposers[0].name)
    assert pointed == getattr(found["@champion", 2].entry, "commit", None)
    assert ("churn@v1", None) == (getattr(found["Production", 1].tag, "tag", None), found["Production", 3].tag)


def test_the_run_its_code_and_data(workspace: Workspace, git_repo: Path) -> None:
    """From the run's record in the commit that the version's tag names, however the runs have moved on since."""
    register_version(workspace, "churn", log_model(workspace, "first-run"))
    log_model(workspace, "second-run")
    line = Line(Repository.open(git_repo))
    line.commit({"churn/stages/Production.yaml": stage(1)})
    (held,) = holdings(line)
    assert held.run is not None
    head = git("rev-parse", "main~1", cwd=git_repo)
    assert ("first-run", head, "main") == (held.run.id, held.run.source.commit, held.run.source.branch)


def test_a_record_that_is_not_here_is_none(line: Line) -> None:
    """The tag's commit holds no such folder: the rest is told all the same."""
    line.tag("churn", 1)
    line.commit({"churn/aliases/a.yaml": alias(1)})
    (held,) = holdings(line)
    assert (None, "run-1") == (held.run, getattr(held.tag, "body", None) and held.tag.body.run)  # type: ignore[union-attr]  # both are there


def test_in_a_shallow_clone_what_was_before_is_not_known(line: Line, git_repo: Path, tmp_path: Path) -> None:
    """Rather than claimed of the first commit that is there."""
    line.commit({"churn/stages/Production.yaml": stage(1)})
    line.commit({"churn/aliases/a.yaml": alias(1)})
    git("clone", "-q", "--depth", "1", f"file://{git_repo}", tmp_path / "shallow", cwd=tmp_path)
    found = holdings(Line(Repository.open(tmp_path / "shallow")))
    assert [("Production", None), ("@a", None)] == [(each.place, each.entry) for each in found]


# --- as it was


def test_the_registry_of_an_instant(line: Line) -> None:
    """The last commit that came onto the line by then, and the tags made by then; to the second."""
    line.tag("churn", 1)
    tagged = line.time
    line.commit({"churn/stages/Production.yaml": stage(1)})
    promoted = line.time
    line.tag("churn", 2)
    line.commit(
        {"churn/aliases/a.yaml": alias(2), "churn/model.yaml": yaml.dump(ModelFile(name="Kündigung").to_document())}
    )
    line.tag("churn", 1, retired=True)
    assert [] == told(read_past(line.repo, 1000 * (tagged - 1) + 999))
    assert [("churn", {}, {}, [1], ())] == told(read_past(line.repo, 1000 * tagged))
    assert [("churn", {}, {}, [1], ())] == told(read_past(line.repo, 1000 * promoted - 1))
    assert [("churn", {"Production": (1,)}, {}, [1], ())] == told(read_past(line.repo, 1000 * promoted))
    now = [("Kündigung", {"Production": (1,)}, {"a": 2}, [2], (1,))]
    assert now == told(read_past(line.repo, 1000 * line.time))
    present = read_present(line.repo, "Kündigung")
    assert now == told(Past(0, None, (present,)))


def test_a_merge_counts_from_when_it_came_onto_the_line(line: Line) -> None:
    """Not from when its commits were written."""
    before = line.commit({"/train.py": "2"})
    side = line.write({"churn/stages/Production.yaml": stage(1)}, parents=[before])
    written = line.time
    line.merge([side], {"churn/stages/Production.yaml": stage(1)}, "Merge")
    assert (before, line.tip) == (line_commit(line.repo, 1000 * written), line_commit(line.repo, 1000 * line.time))


def test_the_registry_of_a_commit(line: Line) -> None:
    """With the versions that its files name, though their tags' clocks were ahead."""
    line.tag("churn", 1, at=line.time + 9999)
    line.tag("churn", 2, at=line.time + 9999)
    commit = line.commit({"churn/stages/Production.yaml": stage(1)})
    line.commit({"churn/stages/Production.yaml": stage(2)})
    past = read_past_commit(line.repo, commit)
    assert (commit, [("churn", {"Production": (1,)}, {}, [1], ())]) == (past.commit, told(past))


def test_before_the_cut_of_a_shallow_clone(line: Line, git_repo: Path, tmp_path: Path) -> None:
    """It is not known, which is said, rather than that there was nothing."""
    line.commit({"churn/stages/Production.yaml": stage(1)})
    before = line.time
    line.commit({"churn/aliases/a.yaml": alias(1)})
    git("clone", "-q", "--depth", "1", f"file://{git_repo}", tmp_path / "shallow", cwd=tmp_path)
    with pytest.raises(HistoryCut, match=r"does not go back to 2025-10-09T08:54:20.000Z. Fetch the rest: `git fetch"):
        read_past(Repository.open(tmp_path / "shallow"), 1000 * before)


def test_a_model_is_found_by_its_name_of_that_day(line: Line) -> None:
    """Then by its folder; a name that another model has now goes to that one."""
    line.commit({"a/model.yaml": yaml.dump(ModelFile(name="b").to_document()), "b%2Fc/aliases/x.yaml": alias(1)})
    past = read_past(line.repo, 1000 * line.time)
    assert ["a", "a", "b%2Fc"] == [find_model(past, name).state.key for name in ("b", "a", "b/c")]
    with pytest.raises(ModelNotFound, match=r"The registry has no model 'c'\. It has b, b/c\."):
        find_model(past, "c")


# --- version tags


def test_tags_that_only_look_like_versions_are_left_out(line: Line, git_repo: Path) -> None:
    """A plain tag, an annotated one of the project's own, and one on no commit at all."""
    line.tag("churn", 1)
    git("tag", "lib@v1", cwd=git_repo)
    git("tag", "-m", "Release", "lib@v2", cwd=git_repo)
    git("tag", "-m", "x", "lib@v03", cwd=git_repo)
    assert ["churn@v1"] == [tag.tag for tag in read_version_tags(line.repo)]
    assert (None, None) == (read_version_tag(line.repo, "lib@v1"), read_version_tag(line.repo, "lib@v2"))
    assert None is read_version_tag(line.repo, "../heads/main")
    assert (None, []) == (read_version_tag(line.repo, "*@v1"), read_version_tags(line.repo, "*"))


def test_a_tag_tells_who_when_and_why(line: Line) -> None:
    """A version before its retirement; names that a ref cannot hold; a signature is no part of the body."""
    line.tag("a%20b", 10)
    line.tag("a%20b", 2)
    line.tag("a%20b", 2, retired=True)
    tags = read_version_tags(line.repo, "a%20b")
    assert [(2, False), (2, True), (10, False)] == [(tag.version, tag.is_retirement) for tag in tags]
    retired = tags[1]
    assert ("Retire a%20b@v2!", "It was wrong", "Ann", 1000 * line.time) == (
        retired.subject,
        retired.text,
        retired.tagger.name,
        retired.time,
    )
