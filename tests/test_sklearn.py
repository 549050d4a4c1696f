"""`runstone.sklearn` is called as MLflow's, and MLflow loads what it saves."""

import warnings
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import runstone
from runstone.errors import InvalidModelFolder, UsageError

X = np.arange(20.0).reshape(10, 2)
Y = (X[:, 0] > 8).astype(int)
MODEL = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)).fit(X, Y)


@pytest.mark.mlflow
def test_mlflow_loads_what_was_saved(tmp_path: Path) -> None:
    """A folder with signature, example and requirements."""
    runstone.sklearn.save_model(
        MODEL, tmp_path / "m", input_example=X[:2], pip_requirements=["scikit-learn"], metadata={"a": 1}
    )
    assert Y.tolist() == mlflow.sklearn.load_model(str(tmp_path / "m")).predict(X).tolist()
    assert "scikit-learn" in (tmp_path / "m" / "requirements.txt").read_text()


@pytest.mark.parametrize("words", [{"artifact_path": "a/b"}, {"name": "a/b"}])
def test_the_folder_has_two_names(git_repo: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any]) -> None:
    """`artifact_path`, and MLflow 3's `name`; a run is begun if there is none."""
    monkeypatch.chdir(git_repo)
    made = runstone.sklearn.log_model(MODEL, **words, pyfunc_predict_fn="predict_proba", serialization_format="pickle")
    assert "a/b" == made.artifact_path
    runstone.end_run()
    assert ["MLmodel"] == [f.path.rpartition("/")[2] for f in runstone.Client().list_artifacts(made.run_id, "a/b")][:1]
    assert (10, 2) == runstone.pyfunc.load_model(made.model_uri).predict(X).shape
    with pytest.raises(UsageError):
        runstone.sklearn.log_model(MODEL, "m", serialization_format="unknown")
    runstone.end_run()


def test_a_forest_of_git_loads_with_no_flag_and_no_warning(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As skops, whose types beyond its own git vouches for; the same folder, taken out of git, needs a word."""
    pytest.importorskip("skops", reason="skops is not installed")
    monkeypatch.chdir(git_repo)
    model = RandomForestClassifier(n_estimators=3, random_state=0).fit(X, Y)
    with runstone.start_run():
        made = runstone.sklearn.log_model(model, "forest", registered_model_name="forest")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for uri in (made.model_uri, "models:/forest/1"):
            assert Y.tolist() == runstone.sklearn.load_model(uri).predict(X).tolist()
            assert Y.tolist() == runstone.pyfunc.load_model(uri).predict(X).tolist()
    (git_repo / "copies").mkdir()
    runstone.sklearn.load_model(made.model_uri, git_repo / "copies")
    assert (git_repo / "copies" / "forest" / "model.skops").is_file()
    with pytest.raises(InvalidModelFolder, match=r"sklearn\.tree\._tree\.Tree.*`allow_pickle=True`"):
        runstone.sklearn.load_model(str(git_repo / "copies" / "forest"))
