"""What changed between two commits, against the state of each."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstone.errors import RecordsSkipped
from runstone.git.objects import DIRECTORY, FILE, TreeEntry
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.model_file import ModelFile
from runstone.records.registration import Registration
from runstone.records.stage import NO_STAGE
from runstone.records.version_notes import VersionNotes
from runstone.registry.changes import (
    AliasChange,
    CardChange,
    Change,
    ModelChange,
    NotesChange,
    PolicyChange,
    RegistrationChange,
    StageChange,
    read_changes,
)
from runstone.registry.history.line import read_history
from runstone.registry.state import ModelState, read_states
from tests.registry.lines import KIM, Line, alias, stage
from tests.support import make_repository

Files = dict[str, str | bytes | None]
REQUEST = Registration("r1", "model", "experiments/e", "1" * 40, "md5:0.dir")


@pytest.fixture
def line(git_repo: Path) -> Line:
    """A branch without a registry."""
    return Line(Repository.open(git_repo))


def test_each_fact_is_one_change(line: Line) -> None:
    """All kinds of files, each made, changed and removed."""
    texts: dict[str, tuple[str, str]] = {
        "churn/model.yaml": (yaml.dump(ModelFile(owners=("ann",)).to_document()), yaml.dump(ModelFile().to_document())),
        "churn/registrations/r1.yaml": (
            yaml.dump(REQUEST.to_document()),
            yaml.dump(dataclasses.replace(REQUEST, path="other").to_document()),
        ),
        "churn/stages/Production.yaml": (stage(1), stage(2)),
        "churn/aliases/champion.yaml": (alias(1), alias(2)),
        "churn/versions/3.yaml": (
            yaml.dump(VersionNotes("good").to_document()),
            yaml.dump(VersionNotes("bad").to_document()),
        ),
        "churn/README.md": ("# A", "# B"),
        "churn/policy.yaml": ("schema: runstone/policy/v1\n", "schema: runstone/policy/v1\nstages: {}\n"),
    }
    made = line.commit({path: first for path, (first, _) in texts.items()})
    changed = line.commit({path: second for path, (_, second) in texts.items()})
    removed = line.commit(dict.fromkeys(texts))
    kinds = [ModelChange, RegistrationChange, StageChange, AliasChange, NotesChange, CardChange, PolicyChange]
    first = read_changes(line.repo, line.start, made)
    assert kinds == [type(change) for change in first]
    assert {("churn", "churn")} == {(change.key, change.model) for change in first}
    assert [None, None, NO_STAGE, None, None, None, None] == [change.before for change in first]
    second = read_changes(line.repo, made, changed)
    assert [*kinds[:3], *kinds[2:]] == [type(change) for change in second], "two versions changed their stage"
    assert [("Production", NO_STAGE), (NO_STAGE, "Production")] == [
        (c.before, c.after) for c in second if isinstance(c, StageChange)
    ]
    assert [AliasChange("churn", "churn", "champion", 1, 2)] == [c for c in second if isinstance(c, AliasChange)]
    last = read_changes(line.repo, changed, removed)
    assert [None, None, NO_STAGE, None, None, None, None] == [change.after for change in last]


def test_the_policy_of_all_models_has_no_key(line: Line) -> None:
    """It comes first, and only when it differs."""
    old = line.commit({"policy.yaml": "schema: runstone/policy/v1\n", "a/stages/S.yaml": stage(1)})
    new = line.commit({"policy.yaml": None, "a/stages/S.yaml": None})
    policy, moved = read_changes(line.repo, old, new)
    assert ("", "", None) == (policy.key, policy.model, policy.after)
    assert StageChange("a", "a", 1, "S", NO_STAGE) == moved


def test_one_move_between_stages_is_one_change(line: Line) -> None:
    """Though two files differ; of a version that another one displaces there is one more."""
    old = line.commit({"churn/stages/Staging.yaml": stage(4), "churn/stages/Production.yaml": stage(3)})
    new = line.commit({"churn/stages/Staging.yaml": None, "churn/stages/Production.yaml": stage(4)})
    assert (
        StageChange("churn", "churn", 3, "Production", NO_STAGE),
        StageChange("churn", "churn", 4, "Staging", "Production"),
    ) == read_changes(line.repo, old, new)


def test_each_stage_that_a_version_stands_in_is_a_fact(line: Line) -> None:
    """Also of two at once, which somebody wrote by hand: neither hides the other."""
    one = line.commit({"churn/stages/A.yaml": stage(1)})
    two = line.commit({"churn/stages/B.yaml": stage(1)})
    assert (StageChange("churn", "churn", 1, "None", "B"),) == read_changes(line.repo, one, two)
    three = line.commit({"churn/stages/B.yaml": None})
    assert (StageChange("churn", "churn", 1, "B", "None"),) == read_changes(line.repo, two, three)


def test_a_renamed_model_has_its_name_of_that_day(line: Line) -> None:
    """Also where its file was not touched; and a model that went has the last one it had."""
    old = line.commit({"churn/model.yaml": yaml.dump(ModelFile(name="Kündigung").to_document())})
    new = line.commit({"churn/aliases/a.yaml": alias(1)})
    assert (AliasChange("churn", "Kündigung", "a", None, 1),) == read_changes(line.repo, old, new)
    gone = line.commit({"churn/model.yaml": None, "churn/aliases/a.yaml": None})
    assert {"Kündigung"} == {change.model for change in read_changes(line.repo, new, gone)}


def test_a_broken_file_counts_as_none_and_is_told(line: Line) -> None:
    """Breaking a stage's file takes its version out of the stage; mending it brings it back."""
    old = line.commit({"churn/stages/Production.yaml": stage(3)})
    broken = line.commit({"churn/stages/Production.yaml": "versions: [3, 3]\n"})
    mended = line.commit({"churn/stages/Production.yaml": stage(3)})
    with pytest.warns(RecordsSkipped, match=rf"stages/Production.yaml` at {broken[:7]}"):
        assert (StageChange("churn", "churn", 3, "Production", NO_STAGE),) == read_changes(line.repo, old, broken)
    with pytest.warns(RecordsSkipped):
        assert (StageChange("churn", "churn", 3, NO_STAGE, "Production"),) == read_changes(line.repo, broken, mended)


def test_what_states_no_fact_is_no_change(line: Line) -> None:
    """Files of no meaning, a comment in one that has some, links and folders in the place of files, deep folders."""
    old = line.commit({"churn/aliases/a.yaml": alias(1)})
    new = line.commit(
        {
            "notes.txt": "x",
            "churn/data.bin": b"\0\xff",
            "churn/stages/deep/er.yaml": stage(1),
            "churn/aliases/a.yaml": f"# mine\n{alias(1)}",
            "churn/aliases/b.yaml/c.yaml": alias(1),
        }
    )
    entry = TreeEntry(FILE, line.repo.objects.write("blob", b"deep"))
    for _ in range(1500):
        entry = TreeEntry(DIRECTORY, line.repo.objects.write_tree({"x": entry}))
    tree = line.repo.objects.update_tree(line.repo.objects.commit(new).tree, {"registry/deep": entry})
    assert tree is not None
    deep = line.repo.objects.write_commit(tree, [new], f"{KIM} 1 +0000", f"{KIM} 1 +0000", "Dig")
    assert () == read_changes(line.repo, new, deep)
    linked = line.write({"churn/aliases/l.yaml": "a.yaml"}, mode="120000")
    assert ((), ()) == (read_changes(line.repo, old, new), read_changes(line.repo, new, linked))


def test_from_nothing_and_to_nothing(line: Line) -> None:
    """None is the empty registry, as before the first commit."""
    commit = line.commit({"churn/aliases/a.yaml": alias(1)})
    assert (AliasChange("churn", "churn", "a", None, 1),) == read_changes(line.repo, None, commit)
    assert (AliasChange("churn", "churn", "a", 1, None),) == read_changes(line.repo, commit, None)
    assert () == read_changes(line.repo, None, line.start)


# --- folding changes over any history gives the state at its end

KEYS = st.sampled_from(["churn", "a b", "x"])
VERSIONS = st.integers(1, 3)
STAGES = ("Staging", "Production", "Archived")
Operation = tuple[str, Any, Any, Any]
OPERATIONS = st.one_of(
    st.tuples(st.just("stage"), KEYS, VERSIONS, st.sampled_from([NO_STAGE, *STAGES])),
    st.tuples(st.just("alias"), KEYS, st.sampled_from(["a", "b"]), st.none() | VERSIONS),
    st.tuples(st.just("notes"), KEYS, VERSIONS, st.none() | st.sampled_from(["x", "y"])),
    st.tuples(st.just("model"), KEYS, st.none() | st.sampled_from(["New", "Newer"]), st.booleans()),
    st.tuples(st.just("request"), KEYS, st.sampled_from(["r1", "r2"]), st.booleans()),
    st.tuples(st.just("card"), KEYS, st.none() | st.sampled_from(["# A", "# B"]), st.none()),
    st.tuples(st.just("policy"), st.just(""), st.booleans(), st.none()),
    st.tuples(st.just("junk"), KEYS, st.integers(0, 9), st.none()),
    st.tuples(st.just("broken"), KEYS, st.sampled_from(["aliases/a", "versions/1", "registrations/r1"]), st.none()),
    st.tuples(st.just("gone"), KEYS, st.none(), st.none()),
)
COMMITS = st.lists(
    st.tuples(st.lists(OPERATIONS, max_size=4), st.sampled_from(["plain", "merge", "octopus"])), max_size=8
)


class Registry:
    """The files of a registry, as operations change them."""

    def __init__(self) -> None:
        self.stages: dict[tuple[str, int], str] = {}
        self.known: set[str] = set()

    def apply(self, operation: Operation) -> Files:
        """What one operation does to the files."""
        kind, key, a, b = operation
        match kind:
            case "stage":
                self.stages[key, a] = b
                changed: Files = {f"{key}/stages/{name}.yaml": self._stage(key, name) for name in STAGES}
            case "alias":
                changed = {f"{key}/aliases/{a}.yaml": None if b is None else alias(b)}
            case "notes":
                changed = {f"{key}/versions/{a}.yaml": None if b is None else yaml.dump(VersionNotes(b).to_document())}
            case "model":
                changed = {f"{key}/model.yaml": yaml.dump(ModelFile(name=a).to_document()) if b else None}
            case "request":
                changed = {f"{key}/registrations/{a}.yaml": yaml.dump(REQUEST.to_document()) if b else None}
            case "card":
                changed = {f"{key}/README.md": a}
            case "policy":
                changed = {"policy.yaml": "schema: runstone/policy/v1\n" if a else None}
            case "junk":
                changed = {f"{key}/junk-{a}": str(a)}
            case "broken":
                changed = {f"{key}/{a}.yaml": "version: [\n"}
            case _:
                changed = {path: None for path in self.known if path.startswith(f"{key}/")}
                for each in [each for each in self.stages if each[0] == key]:
                    del self.stages[each]
        self.known |= changed.keys()
        return changed

    def _stage(self, key: str, name: str) -> str | None:
        held = [version for (its, version), where in self.stages.items() if its == key and where == name]
        return stage(*held) if held else None


def fold(changes: list[Change]) -> dict[str, dict[str, Any]]:
    """The state that changes lead to, from nothing: key → kind and name → what is so."""
    states: dict[str, dict[str, Any]] = {}
    for change in changes:
        match change:
            case StageChange(version=name):
                kind: tuple[str, Any] = ("stage", name)
            case AliasChange(alias=name):
                kind = ("alias", name)
            case NotesChange(version=name):
                kind = ("notes", name)
            case RegistrationChange(run=name):
                kind = ("request", name)
            case _:
                kind = (type(change).__name__, None)
        none = NO_STAGE if isinstance(change, StageChange) else None
        facts = states.setdefault(change.key, {})
        assert change.before == facts.get(str(kind), none), "what was so before is what the last change said"
        assert change.before != change.after
        if change.after == none:
            facts.pop(str(kind))
        else:
            facts[str(kind)] = change.after
    return {key: facts for key, facts in states.items() if facts and key}


def facts_of(state: ModelState) -> dict[str, Any]:
    """A state as `fold` gives it, without its policy."""
    found: dict[tuple[str, Any], Any] = {("stage", v): name for name, held in state.stages.items() for v in held}
    found |= {("alias", name): version for name, version in state.aliases.items()}
    found |= {("notes", version): notes for version, notes in state.notes.items()}
    found |= {("request", run): request for run, request in state.registrations.items()}
    found |= {("ModelChange", None): state.file} if state.has_file else {}
    found |= {("CardChange", None): state.card} if state.card is not None else {}
    return {str(kind): value for kind, value in found.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every example makes a branch of its own."""
    return make_repository(tmp_path_factory.mktemp("fold") / "repo")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(commits=COMMITS)
def test_folding_the_changes_of_a_history_gives_the_state_at_its_end(folder: Path, commits: Any) -> None:
    """Commit by commit, at once, backwards, and as the history of the whole line tells them."""
    repo = Repository.open(folder)
    line, files = Line(repo), Registry()
    line.tip = line.start = repo.objects.resolve("main")
    tip = line.start
    told: list[Change] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordsSkipped)
        for operations, kind in commits:
            changed: Files = {}
            for operation in operations:
                changed |= files.apply(operation)
            assert tip is not None
            sides = [line.write(changed, parents=[tip]) for _ in range({"plain": 0, "merge": 1, "octopus": 3}[kind])]
            new = line.write(changed, parents=[tip, *sides])
            told += read_changes(repo, tip, new)
            backwards = read_changes(repo, new, tip)
            assert len(read_changes(repo, tip, new)) == len(backwards)
            tip = new
        states = read_states(repo, tip)
        expected = {key: facts for key, state in states.items() if (facts := facts_of(state))}
        assert expected == fold(told)
        assert expected == fold(list(read_changes(repo, None, tip)))
        entries = read_history(repo, tip=tip).entries
        assert told == [change for entry in entries for change in entry.changes]
    repo.close()
