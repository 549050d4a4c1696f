"""What one change of a run can add and take away besides values: models, points measured of them, artifacts."""

from pathlib import Path

import pytest

from runstone.artifacts.descriptor import Descriptor
from runstone.client import Client
from runstone.records import model_metric
from runstone.records.metric import Metric
from runstone.records.model import ModelReference
from runstone.records.model_metric import ModelPoint
from runstone.tracking import shared
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import read_artifacts
from runstone.tracking.workspace import Workspace
from tests.git.support import check_clean


@pytest.fixture
def run_id(workspace: Workspace) -> str:
    """A live run with two files."""
    run = shared.begin(workspace, ensure_experiment(workspace.repo, "trials"), captured=False, owned=False)
    with shared.edit(workspace, run.id) as change:
        change.add_artifacts(kept(workspace, path, path) for path in ("a.txt", "b/c.txt"))
    return run.id


def kept(workspace: Workspace, path: str, text: str) -> Descriptor:
    """A file in the cache."""
    return Descriptor(path, len(text), workspace.artifacts.cache.add_bytes(text.encode()))


def paths(workspace: Workspace, run_id: str) -> list[str]:
    """The run's artifacts."""
    return [entry.path for entry in read_artifacts(workspace, run_id)]


@pytest.mark.parametrize("is_ended", [False, True])
def test_artifacts_that_are_taken_away_are_gone(is_ended: bool, workspace: Workspace, run_id: str) -> None:
    """From a live run and from a recorded one; a file may then lie where a folder was; the last one goes, too."""
    if is_ended:
        with shared.edit(workspace, run_id) as change:
            change.end("FINISHED")
    with shared.edit(workspace, run_id) as change:
        change.remove_artifacts(["b/c.txt"])
        change.add_artifacts([kept(workspace, "b", "now a file")])
    assert ["a.txt", "b"] == paths(workspace, run_id)
    with shared.edit(workspace, run_id) as change:
        change.remove_artifacts(["a.txt", "b"])
    assert [] == paths(workspace, run_id)
    if not is_ended:
        with shared.edit(workspace, run_id) as change:
            change.end("FINISHED")
    shared.flush(workspace)
    assert [] == paths(workspace, run_id)
    check_clean(workspace.repo.work_tree or Path())


def test_models_are_known_within_a_change(workspace: Workspace, run_id: str, git_repo: Path) -> None:
    """A change knows the models as of now: those of earlier changes, of any process, and its own."""
    models = [ModelReference(path, (), "md5:d751713988987e9331980363e24189ce.dir", 0) for path in ("one", "two")]
    with shared.edit(workspace, run_id) as change:
        change.put_model(models[0])
        assert ["one"] == list(change.models)
    with shared.edit(Workspace(workspace.repo), run_id) as change:
        assert ["one"] == list(change.models)
        change.put_model(models[1])
        change.put_model(models[0]._replace(size=1))
        assert {"one": 1, "two": 0} == {path: model.size for path, model in change.models.items()}
        change.end("FINISHED")
    assert {"one": 1, "two": 0} == {model.path: model.size for model in Client(git_repo).get_run(run_id).models}


def test_point_that_is_logged_again_of_a_model_counts_once(workspace: Workspace, run_id: str, git_repo: Path) -> None:
    """What was logged before it was known which model it is of is one point; other equal points are not touched."""
    point, other = Metric("acc", 0.5, 7, 1), Metric("loss", 1.0, 7, 1)
    for _ in range(2):
        with shared.edit(workspace, run_id) as change:
            change.add_points([point, other])
    with shared.edit(workspace, run_id) as change:
        change.add_model_points([ModelPoint("m-1", "acc", 1, 7, 0.5)])
        change.end("FINISHED")
    run = Client(git_repo).get_run(run_id)
    assert {"acc": 1, "loss": 2} == {key: metric.count for key, metric in run.metrics.items()}
    assert [{"model": "m-1", "metric": "acc", "points": "1 7 0.5"}] == run.extra[model_metric.KEY]
