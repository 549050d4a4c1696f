"""XGBoost models: saved and loaded in XGBoost's own formats, by us and by MLflow, with no trust needed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged, UsageError
from runstone.flavors import pyfunc
from runstone.flavors import xgboost as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.signature import infer_signature
from runstone.flavors.trust import Trust
from tests.flavors.boosters import CLASSES, NUMBERS, X, check_round_trip, check_their_save, edit, requirements_of
from tests.flavors.support import digests_of, message_without

xgboost = pytest.importorskip("xgboost", reason="the extra `xgboost` is not installed")

MODELS = {
    "booster": lambda: xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, NUMBERS), 3),
    "classifier": lambda: xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(X, CLASSES),
    "regressor": lambda: xgboost.XGBRegressor(n_estimators=3, max_depth=2).fit(X, NUMBERS),
    "ranker": lambda: xgboost.XGBRanker(n_estimators=3, max_depth=2).fit(X, CLASSES, qid=[0] * 60),
    "forest": lambda: xgboost.XGBRFRegressor(n_estimators=3, max_depth=2).fit(X, NUMBERS),
}


@pytest.fixture
def booster_folder(tmp_path: Path) -> Path:
    """A booster, saved by us."""
    flavor.save(MODELS["booster"](), tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.mlflow
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("format_", ["ubj", "json", "xgb"])
def test_both_load_what_either_saves(tmp_path: Path, kind: str, format_: str) -> None:
    """Boosters and estimators, in each format; we load without any trust."""
    model = MODELS[kind]()
    loaded, answers = check_round_trip("xgboost", model, tmp_path / "ours", Trust(), model_format=format_)
    expected = model.predict(xgboost.DMatrix(X) if kind == "booster" else X)
    np.testing.assert_allclose(expected, answers)
    assert [f"model.{format_}"] == [file.name for file in (tmp_path / "ours").glob("model.*")]
    check_their_save("xgboost", model, tmp_path / "theirs", answers, model_format=format_)
    if kind == "classifier":
        np.testing.assert_allclose(model.predict_proba(X), loaded.predict_proba(X))


def test_estimators_need_scikit_learn_and_boosters_do_not(tmp_path: Path, booster_folder: Path) -> None:
    """The requirements are those of what was saved."""
    flavor.save(MODELS["regressor"](), tmp_path / "regressor")
    assert ["numpy", "scipy", "xgboost"] == requirements_of(booster_folder)
    assert ["numpy", "scikit-learn", "scipy", "xgboost"] == requirements_of(tmp_path / "regressor")


def test_params_reach_predict(tmp_path: Path) -> None:
    """Those of the signature that XGBoost's `predict` takes; others are left out with a warning, as in MLflow."""
    model = MODELS["booster"]()
    signature = infer_signature(X, NUMBERS, params={"pred_leaf": False, "team": "growth"})
    flavor.save(model, tmp_path / "m", SaveOptions(signature=signature))
    loaded = pyfunc.load(tmp_path / "m", trust=Trust())
    with pytest.warns(UserWarning, match=r"XGBoost's `predict` does not take team: left out\."):
        leaves = loaded.predict(X, {"pred_leaf": True})
    np.testing.assert_array_equal(model.predict(xgboost.DMatrix(X), pred_leaf=True), leaves)


class Mine(xgboost.XGBRegressor):  # type: ignore[misc,name-defined]  # mypy does not follow the library
    """A class of the user's."""


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (
            Mine(),
            {},
            f"{__name__}.Mine is none of XGBoost's own models, so its format would lose the class. "
            "Save it with `runstone.sklearn`, which keeps classes of your own.",
        ),
        (
            object(),
            {},
            "builtins.object is none of XGBoost's own models, so its format would lose the class. "
            "Save it with `runstone.sklearn`, which keeps classes of your own.",
        ),
        (xgboost.Booster(), {"model_format": "txt"}, "`model_format` must be one of ubj, json, xgb, but is 'txt'."),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, model: Any, options: dict[str, Any], expected: str) -> None:
    """A class that the format would lose, and a format there is not; nothing is written."""
    with pytest.raises(UsageError) as error:
        flavor.save(model, tmp_path / "m", **options)
    assert expected == str(error.value)
    assert not (tmp_path / "m").exists()


def test_a_model_that_is_not_fitted_leaves_nothing(tmp_path: Path) -> None:
    """The error says what to do."""
    with pytest.raises(InvalidModelFolder, match=r"the XGBRegressor cannot be saved: .* Fit it first\."):
        flavor.save(xgboost.XGBRegressor(), tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (b"{}", "`model.ubj` holds no Booster of XGBoost: "),
        (b"{'a': 1}", "`model.ubj` holds no Booster of XGBoost: "),
        (b"", "`model.ubj` is cut off, or no model of XGBoost"),
        (b"not a model", "`model.ubj` is cut off, or no model of XGBoost"),
        (b"{L\x00\x00\x00\x00\x00\x00\x00\x08learner", "`model.ubj` is cut off, or no model of XGBoost"),
    ],
)
def test_damaged_weights_are_named(booster_folder: Path, damage: bytes, expected: str) -> None:
    """Whatever XGBoost says of them, the error is ours; with digests they are not even tried."""
    recorded = digests_of(booster_folder)
    (booster_folder / "model.ubj").write_bytes(damage)
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(booster_folder, trust=Trust())
    assert error.value.problem.startswith(expected)
    with pytest.raises(ModelFileChanged):
        flavor.load(booster_folder, trust=Trust(recorded))


def test_a_class_is_taken_from_the_table_only(booster_folder: Path) -> None:
    """A folder cannot have us import what it names."""
    edit(booster_folder, "model_class: xgboost.core.Booster", "model_class: os.system")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(booster_folder, trust=Trust(allow_pickle=True))
    assert "its model class 'os.system' is none of XGBoost's own" == error.value.problem


def test_weights_of_another_class_are_refused(tmp_path: Path) -> None:
    """XGBoost knows what its weights are, and a classifier's are not a regressor's."""
    flavor.save(MODELS["classifier"](), tmp_path / "m")
    edit(tmp_path / "m", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor")
    with pytest.raises(InvalidModelFolder, match=r"`model\.ubj` holds no XGBRegressor of XGBoost: "):
        flavor.load(tmp_path / "m", trust=Trust())


def test_a_missing_library_is_named_with_its_version(booster_folder: Path) -> None:
    """What to install is the version the model was saved with."""
    assert (
        "`xgboost` is needed to load this model, and is not installed. "
        f"Install it: `pip install xgboost=={xgboost.__version__}`\n" == message_without("xgboost", booster_folder)
    )
