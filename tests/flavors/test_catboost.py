"""CatBoost models: saved and loaded in CatBoost's own formats, by us and by MLflow, with no trust needed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged, UsageError
from runstone.flavors import catboost as flavor
from runstone.flavors.trust import Trust
from tests.flavors.boosters import CLASSES, NUMBERS, X, check_round_trip, check_their_save, edit, requirements_of
from tests.flavors.support import digests_of, message_without

catboost = pytest.importorskip("catboost", reason="the extra `catboost` is not installed")

QUIET: dict[str, Any] = {"iterations": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
MODELS = {
    "plain": lambda: catboost.CatBoost(QUIET).fit(X, NUMBERS),
    "classifier": lambda: catboost.CatBoostClassifier(**QUIET).fit(X, CLASSES),
    "regressor": lambda: catboost.CatBoostRegressor(**QUIET).fit(X, NUMBERS),
    "ranker": lambda: catboost.CatBoostRanker(**QUIET).fit(X, NUMBERS, group_id=[0] * 60),
}


@pytest.fixture
def regressor_folder(tmp_path: Path) -> Path:
    """A regressor, saved by us."""
    flavor.save(MODELS["regressor"](), tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.mlflow
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("format_", ["cbm", "json"])
def test_both_load_what_either_saves(tmp_path: Path, kind: str, format_: str) -> None:
    """All of CatBoost's models, in both formats; we load without any trust."""
    model = MODELS[kind]()
    _, answers = check_round_trip("catboost", model, tmp_path / "ours", Trust(), format=format_)
    np.testing.assert_allclose(model.predict(X), answers)
    assert ["catboost", "numpy", "pandas"] == requirements_of(tmp_path / "ours")
    check_their_save("catboost", model, tmp_path / "theirs", answers, format=format_)


class Mine(catboost.CatBoostRegressor):  # type: ignore[misc,name-defined]  # mypy does not follow the library
    """A class of the user's."""


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (
            Mine(),
            {},
            f"{__name__}.Mine is none of CatBoost's own models, so its format would lose the class. "
            "Save it with `runstone.sklearn`, which keeps classes of your own.",
        ),
        (catboost.CatBoost(), {"format": "onnx"}, "`format` must be one of cbm, json, but is 'onnx'."),
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
    with pytest.raises(InvalidModelFolder, match=r"the CatBoostRegressor cannot be saved: .* Fit it first\."):
        flavor.save(catboost.CatBoostRegressor(), tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("damage", [b"", b"not a model", b"CBM1\xff\xff\xff\x7f"])
def test_damaged_weights_are_named(regressor_folder: Path, damage: bytes) -> None:
    """Whatever CatBoost says of them, the error is ours; with digests they are not even tried."""
    recorded = digests_of(regressor_folder)
    (regressor_folder / "model.cb").write_bytes(damage)
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(regressor_folder, trust=Trust())
    assert error.value.problem.startswith("`model.cb` holds no CatBoost model: ")
    with pytest.raises(ModelFileChanged):
        flavor.load(regressor_folder, trust=Trust(recorded))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("model_type: CatBoostRegressor", "model_type: Pool", "its model type 'Pool' is none of CatBoost's own"),
        ("save_format: cbm", "save_format: python", "its format 'python' is not known"),
    ],
)
def test_settings_are_taken_from_the_table_only(regressor_folder: Path, old: str, new: str, expected: str) -> None:
    """A folder cannot have us make what it names."""
    edit(regressor_folder, old, new)
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(regressor_folder, trust=Trust(allow_pickle=True))
    assert expected == error.value.problem


def test_a_missing_library_is_named_with_its_version(regressor_folder: Path) -> None:
    """What to install is the version the model was saved with."""
    assert (
        "`catboost` is needed to load this model, and is not installed. "
        f"Install it: `pip install catboost=={catboost.__version__}`\n" == message_without("catboost", regressor_folder)
    )
