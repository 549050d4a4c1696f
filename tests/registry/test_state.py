"""The state of the registry is a pure function of a commit."""

from pathlib import Path

import pytest

from runstone.errors import RecordsSkipped
from runstone.git.objects import DIRECTORY, FILE, TreeEntry
from runstone.git.repository import Repository
from runstone.registry.branch import commit_files, registry_commit
from runstone.registry.state import ModelState, read_model_state, read_states, with_unknown
from tests.support import git

SCHEMA = "schema: runstone/{}/v1\n"
FILES = {
    "registry/churn/model.yaml": SCHEMA.format("registered-model") + "name: attrition\n",
    "registry/churn/stages/Production.yaml": SCHEMA.format("stage") + "versions: [3, 1]\n",
    "registry/churn/aliases/champion.yaml": SCHEMA.format("alias") + "version: 3\nwhy: best\n",
    "registry/churn/versions/3.yaml": SCHEMA.format("version-notes") + "description: Good\n",
    "registry/churn/README.md": "# A card\n",
    "registry/pricing/stages/Staging.yaml": SCHEMA.format("stage") + "versions: [2]\n",
    "registry/policy.yaml": SCHEMA.format("policy"),
    "registry/churn/odd.txt": "x\n",
}


@pytest.fixture
def repo(git_repo: Path) -> Repository:
    """A repository with a registry of two models."""
    repo = Repository.open(git_repo)
    commit_files(repo, FILES, "Fill")
    return repo


def test_one_model(repo: Repository) -> None:
    """Each file is one fact; questions about versions are answered from them."""
    state = read_model_state(repo, registry_commit(repo), "churn")
    assert ("attrition", True, {"Production": (1, 3)}, {"champion": 3}) == (
        state.name,
        state.has_file,
        state.stages,
        state.aliases,
    )
    assert ("Good", "Production", "None", ("champion",), ()) == (
        state.notes[3].description,
        state.stage_of(1),
        state.stage_of(2),
        state.aliases_of(3),
        state.aliases_of(1),
    )
    assert state.card is not None
    assert b"# A card\n" == repo.objects.blob(state.card)


def test_all_models_are_read_as_each_is(repo: Repository) -> None:
    """At any commit, and before the first one; the policy is no model."""
    commit = registry_commit(repo)
    states = read_states(repo, commit)
    assert {key: read_model_state(repo, commit, key) for key in ("churn", "pricing")} == states
    first = git("rev-parse", "main~", cwd=repo.work_tree or Path())
    assert ({}, ModelState("churn")) == (read_states(repo, first), read_model_state(repo, first, "churn"))
    assert ({}, ModelState("churn")) == (read_states(repo, None), read_model_state(repo, None, "churn"))


def test_broken_files_are_named_and_hide_no_other(repo: Repository) -> None:
    """One that is not YAML, one of a newer format, one of another kind."""
    broken = {
        "registry/churn/stages/Staging.yaml": "versions: [\n",
        "registry/churn/aliases/next.yaml": "schema: runstone/alias/v9\nversion: 1\n",
        "registry/churn/versions/1.yaml": SCHEMA.format("alias") + "version: 1\n",
    }
    expected = read_states(repo, registry_commit(repo))
    commit_files(repo, broken, "Break")
    with pytest.warns(RecordsSkipped) as caught:
        assert expected == read_states(repo, registry_commit(repo))
    assert all(any(path in str(warning.message) for warning in caught) for path in broken)


def test_unknown_keys_go_into_what_is_written(repo: Repository) -> None:
    """Of stages and aliases that there are; a new file, a removal and any other file stay as they are planned."""
    path = "registry/churn/aliases/champion.yaml"
    new = SCHEMA.format("alias") + "version: 4\n"
    changes = {path: new, "registry/churn/aliases/new.yaml": new, "registry/churn/README.md": "x", "gone": None}
    carried = with_unknown(repo, registry_commit(repo), changes)
    assert "version: 4\nwhy: best\n" == str(carried.pop(path)).partition("/v1\n")[2]
    assert {key: text for key, text in changes.items() if key != path} == carried
    assert changes == with_unknown(repo, None, changes)


def test_stages_and_aliases_stand_by_name(repo: Repository) -> None:
    """And not as git sorts their files, where `a-b.yaml` comes before `a.yaml`."""
    files = {f"registry/churn/aliases/{name}.yaml": SCHEMA.format("alias") + "version: 3\n" for name in ("a", "a-b")}
    files |= {f"registry/churn/stages/{name}.yaml": SCHEMA.format("stage") + "versions: [3]\n" for name in ("S", "S-1")}
    commit_files(repo, files, "More")
    state = read_model_state(repo, registry_commit(repo), "churn")
    assert (["Production", "S", "S-1"], ["a", "a-b", "champion"]) == (list(state.stages), list(state.aliases))


def test_a_tree_as_deep_as_no_registry_is_left_alone(repo: Repository) -> None:
    """Somebody may push thousands of folders, one in the other: no fact lies there, and none is lost for it."""
    objects, commit = repo.objects, registry_commit(repo)
    assert commit is not None
    entry = TreeEntry(FILE, objects.write("blob", b""))
    for _ in range(2_000):
        entry = TreeEntry(DIRECTORY, objects.write_tree({"d": entry}))
    tree = objects.update_tree(objects.commit(commit).tree, {"registry/churn/stages/deep": entry})
    assert tree is not None
    who = repo.identity("author")
    deep = objects.write_commit(tree, [commit], who, who, "Deep")
    assert read_states(repo, commit) == read_states(repo, deep)
    assert read_model_state(repo, commit, "churn") == read_model_state(repo, deep, "churn")
