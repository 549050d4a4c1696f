"""LightGBM models: boosters as text, which needs no trust, estimators as scikit-learn's; by us and by MLflow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runstone.errors import InvalidModelFolder, UntrustedModel, UsageError
from runstone.flavors import lightgbm as flavor
from runstone.flavors.trust import Trust
from tests.flavors.boosters import CLASSES, NUMBERS, X, check_round_trip, check_their_save, edit, requirements_of
from tests.flavors.support import digests_of, message_without

lightgbm = pytest.importorskip("lightgbm", reason="the extra `lightgbm` is not installed")

QUIET = {"verbose": -1, "min_child_samples": 2}
ESTIMATORS = {
    "classifier": lambda: lightgbm.LGBMClassifier(n_estimators=3, **QUIET).fit(X, CLASSES),
    "regressor": lambda: lightgbm.LGBMRegressor(n_estimators=3, **QUIET).fit(X, NUMBERS),
    "ranker": lambda: lightgbm.LGBMRanker(n_estimators=3, **QUIET).fit(X, CLASSES, group=[60]),
}


def train() -> Any:
    """A booster."""
    return lightgbm.train(QUIET, lightgbm.Dataset(X, NUMBERS), 3)


@pytest.fixture
def booster_folder(tmp_path: Path) -> Path:
    """A booster, saved by us."""
    flavor.save(train(), tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.mlflow
def test_both_load_the_boosters_that_either_saves(tmp_path: Path) -> None:
    """As text, which we load without any trust."""
    model = train()
    _, answers = check_round_trip("lightgbm", model, tmp_path / "ours", Trust())
    np.testing.assert_allclose(model.predict(X), answers)
    assert (tmp_path / "ours" / "model.lgb").read_text().startswith("tree\nversion=")
    assert ["lightgbm", "numpy", "pandas", "scipy"] == requirements_of(tmp_path / "ours")
    check_their_save("lightgbm", model, tmp_path / "theirs", answers)


@pytest.mark.mlflow
@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("format_", ["skops", "cloudpickle", "pickle"])
def test_both_load_the_estimators_that_either_saves(tmp_path: Path, kind: str, format_: str) -> None:
    """With what it takes to be the estimator again, in each format that MLflow has."""
    if format_ == "skops":
        pytest.importorskip("skops", reason="skops is not installed")
    model = ESTIMATORS[kind]()
    loaded, answers = check_round_trip("lightgbm", model, tmp_path / "ours", serialization_format=format_)
    np.testing.assert_allclose(model.predict(X), answers)
    assert model.get_params() == loaded.get_params()
    # The types that MLflow knows itself are not those of a ranker.
    types = {"skops_trusted_types": [f"lightgbm.sklearn.{type(model).__name__}", "lightgbm.basic.Booster"]}
    types["skops_trusted_types"].append("collections.OrderedDict")
    check_their_save("lightgbm", model, tmp_path / "theirs", answers, serialization_format=format_, **types)


def test_an_estimator_needs_trust(tmp_path: Path) -> None:
    """Of skops the types beyond its own, of a pickle everything."""
    flavor.save(ESTIMATORS["classifier"](), tmp_path / "pickle", serialization_format="pickle")
    with pytest.raises(UntrustedModel):
        flavor.load(tmp_path / "pickle", trust=Trust())
    pytest.importorskip("skops", reason="skops is not installed")
    flavor.save(ESTIMATORS["classifier"](), tmp_path / "skops")
    with pytest.raises(InvalidModelFolder, match=r"lightgbm\.basic\.Booster.*`allow_pickle=True`"):
        flavor.load(tmp_path / "skops", trust=Trust())


def test_what_is_not_of_lightgbm_is_refused(tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(UsageError) as error:
        flavor.save(object(), tmp_path / "m")
    assert "A object is no model of LightGBM: neither a Booster nor an estimator." == str(error.value)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("kept", [0, 100, 1200, -1500])
def test_a_booster_that_is_cut_off_is_named(booster_folder: Path, kept: int) -> None:
    """LightGBM itself would end the process on some of these."""
    text = (booster_folder / "model.lgb").read_bytes()
    (booster_folder / "model.lgb").write_bytes(text[:kept])
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(booster_folder, trust=Trust())
    assert "`model.lgb` is cut off, or no booster of LightGBM" == error.value.problem


def test_a_booster_that_is_not_one_is_named(booster_folder: Path) -> None:
    """LightGBM's own words, in an error of ours."""
    (booster_folder / "model.lgb").write_bytes(b"tree\ntree_sizes=\n\nend of trees\n\nend of parameters\n")
    with pytest.raises(InvalidModelFolder, match=r"`model\.lgb` holds no booster of LightGBM: "):
        flavor.load(booster_folder, trust=Trust())


def test_the_class_that_a_folder_names_is_not_imported(tmp_path: Path) -> None:
    """What the weights hold counts, and it must be of LightGBM."""
    from sklearn.linear_model import LinearRegression

    from runstone.flavors import sklearn

    sklearn.save(LinearRegression().fit(X, NUMBERS), tmp_path / "other", serialization_format="pickle")
    flavor.save(ESTIMATORS["regressor"](), tmp_path / "m", serialization_format="pickle")
    edit(tmp_path / "m", "lightgbm.sklearn.LGBMRegressor", "os.system")
    assert type(flavor.load(tmp_path / "m", trust=Trust(digests_of(tmp_path / "m")))) is lightgbm.LGBMRegressor
    (tmp_path / "m" / "model.pkl").write_bytes((tmp_path / "other" / "model.pkl").read_bytes())
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(tmp_path / "m", trust=Trust(allow_pickle=True))
    assert "`model.pkl` holds a LinearRegression, and no estimator of LightGBM" == error.value.problem


def test_a_missing_library_is_named_with_its_version(booster_folder: Path) -> None:
    """What to install is the version the model was saved with."""
    assert (
        "`lightgbm` is needed to load this model, and is not installed. "
        f"Install it: `pip install lightgbm=={lightgbm.__version__}`\n" == message_without("lightgbm", booster_folder)
    )
