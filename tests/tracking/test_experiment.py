"""Experiments: made, found, renamed, tagged, deleted and restored, by several processes at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstone.errors import ExperimentExists, ExperimentNotFound, InvalidName, RunstoneError
from runstone.git.repository import Repository
from runstone.tracking import experiment as experiments
from runstone.tracking.secrets import SecretRedacted
from tests.support import git, run_python


@pytest.fixture
def repo(git_repo: Path) -> Repository:
    """A fresh repository."""
    return Repository.open(git_repo)


NAMES = [
    "plain",
    "Plain",
    "with space",
    "a/b/c",
    "../up",
    "émoji 🎈",
    "-dash",
    "x" * 300,
    "con",
    ".hidden",
    "a..b",
    "日本",
]


def test_any_name_makes_an_experiment_of_its_own(repo: Repository) -> None:
    """Spaces, slashes, Unicode, `..`, 300 characters, names that differ by case alone."""
    made = [experiments.create_experiment(repo, name, {"n": name}) for name in NAMES]
    assert len(NAMES) == len({each.experiment_id.lower() for each in made})
    for name, each in zip(NAMES, made, strict=True):
        assert each == experiments.get_experiment_by_name(repo, name)
        assert (name, {"n": name}) == (experiments.get_experiment(repo, each.experiment_id).name, dict(each.tags))
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=repo.common_dir)


def test_one_name_in_two_unicode_forms_is_one_experiment(repo: Repository) -> None:
    """`é` as one character or as two."""
    made = experiments.create_experiment(repo, "caf\u00e9")
    assert made == experiments.get_experiment_by_name(repo, "cafe\u0301")
    with pytest.raises(ExperimentExists):
        experiments.create_experiment(repo, "cafe\u0301")


def test_a_taken_name_is_refused_with_the_way_out(repo: Repository) -> None:
    """Also where the other one is deleted."""
    made = experiments.create_experiment(repo, "trees")
    with pytest.raises(ExperimentExists, match=r"exists already\. Use it: `runstone\.set_experiment`"):
        experiments.create_experiment(repo, "trees")
    experiments.delete_experiment(repo, made.experiment_id)
    with pytest.raises(ExperimentExists, match=r"is deleted\. Restore it: `runstone experiments restore 'trees'`"):
        experiments.create_experiment(repo, "trees")
    with pytest.raises(RunstoneError, match=r"The experiment 'trees' is deleted\. Restore it"):
        experiments.ensure_experiment(repo, "trees")
    experiments.restore_experiment(repo, made.experiment_id)
    assert made == experiments.ensure_experiment(repo, "trees")


def test_a_rename_keeps_the_id_and_frees_the_name(repo: Repository) -> None:
    """A later experiment of the old name gets a folder of its own."""
    first = experiments.create_experiment(repo, "trees")
    experiments.create_experiment(repo, "other")
    with pytest.raises(ExperimentExists):
        experiments.rename_experiment(repo, first.experiment_id, "other")
    experiments.rename_experiment(repo, first.experiment_id, "woods")
    assert ("trees", "woods") == (first.experiment_id, experiments.get_experiment(repo, "trees").name)
    assert None is experiments.get_experiment_by_name(repo, "trees")
    second = experiments.ensure_experiment(repo, "trees")
    assert "trees-2" == second.experiment_id
    assert ["trees", "trees-2"] == [
        found.experiment_id
        for name in ("woods", "trees")
        if (found := experiments.get_experiment_by_name(repo, name)) is not None
    ]
    experiments.delete_experiment(repo, second.experiment_id)
    with pytest.raises(RunstoneError, match="is deleted, so it cannot be renamed"):
        experiments.rename_experiment(repo, second.experiment_id, "x")


def test_tags_and_the_description(repo: Repository) -> None:
    """Set, changed, removed; MLflow's note tag is the description; secrets are redacted."""
    with pytest.warns(SecretRedacted):
        made = experiments.create_experiment(
            repo, "trees", {"a": 1, "mlflow.note.content": "Why", "password": "hunter22"}
        )
    assert ({"a": "1", "password": "[redacted]"}, "Why") == (dict(made.tags), made.description)
    experiments.set_experiment_tags(repo, "trees", {"a": "2", "mlflow.note.content": "Because"})
    experiments.delete_experiment_tag(repo, "trees", "password")
    found = experiments.get_experiment(repo, "trees")
    assert ({"a": "2"}, "Because") == (dict(found.tags), found.description)
    with pytest.raises(InvalidName):
        experiments.set_experiment_tags(repo, "trees", {"": "x"})


@pytest.mark.parametrize("experiment_id", ["unknown", "", ".", "..", "../..", "a/b", "trees/experiment.yaml"])
def test_an_unknown_id_is_not_found(repo: Repository, experiment_id: str) -> None:
    """Whatever the text: it never becomes a path."""
    experiments.create_experiment(repo, "trees")
    for call in (experiments.get_experiment, experiments.delete_experiment, experiments.restore_experiment):
        with pytest.raises(ExperimentNotFound):
            call(repo, experiment_id)


def test_processes_that_make_experiments_at_once_make_each_once(repo: Repository, git_repo: Path) -> None:
    """Four processes, each ensures the same ten and makes one of its own: none is lost, none is there twice."""
    code = """
import sys
from runstone.git.repository import Repository
from runstone.tracking.experiment import create_experiment, ensure_experiment
repo = Repository.open()
for n in range(10):
    ensure_experiment(repo, f'shared {n}')
create_experiment(repo, f'own {sys.argv[1]}')
"""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: run_python(code, str(n), cwd=git_repo), range(4)))
    names = [f"shared {n}" for n in range(10)] + [f"own {n}" for n in range(4)]
    assert None not in [experiments.get_experiment_by_name(repo, name) for name in names]
    made = git("log", "--first-parent", "--format=%s", "runs", cwd=git_repo).splitlines()
    assert sorted([*(f"Create experiment {name}" for name in names), "Begin the runs of this repository"]) == sorted(
        made
    )
