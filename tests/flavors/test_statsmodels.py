"""Results of statsmodels: pickles, so loaded only with trust; by us and by MLflow."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runstone.errors import InputMismatch, InvalidModelFolder, UntrustedModel, UsageError
from runstone.flavors import pyfunc
from runstone.flavors import statsmodels as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.boosters import CLASSES, NUMBERS, X, check_round_trip, check_their_save, requirements_of
from tests.flavors.support import ALLOWED, Boom, digests_of, message_without

statsmodels = pytest.importorskip("statsmodels.api", reason="the extra `statsmodels` is not installed")

NOISE = np.random.default_rng(1).normal(size=60)
MODELS = {
    "ols": lambda: statsmodels.OLS(NUMBERS + NOISE, X).fit(),
    "glm": lambda: statsmodels.GLM(
        CLASSES, X[["b", "c"]].assign(a=NOISE), family=statsmodels.families.Binomial()
    ).fit(),
}


@pytest.fixture
def results_folder(tmp_path: Path) -> Path:
    """Results, saved by us."""
    flavor.save(MODELS["ols"](), tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.mlflow
@pytest.mark.parametrize("kind", MODELS)
def test_both_load_what_either_saves(tmp_path: Path, kind: str) -> None:
    """With the digests that git recorded."""
    model = MODELS[kind]()
    loaded, answers = check_round_trip("statsmodels", model, tmp_path / "ours")
    np.testing.assert_allclose(model.predict(X), answers)
    np.testing.assert_allclose(model.params, loaded.params)
    assert {"numpy", "pandas", "scipy", "statsmodels"} <= set(requirements_of(tmp_path / "ours"))
    check_their_save("statsmodels", model, tmp_path / "theirs", answers)


@pytest.mark.mlflow
def test_a_time_series_predicts_from_start_to_end(tmp_path: Path) -> None:
    """One row with the columns `start` and `end`, as in MLflow; anything else is an error that says so."""
    import mlflow.pyfunc

    model = statsmodels.tsa.SARIMAX(np.sin(np.arange(60.0)), order=(1, 0, 0)).fit(disp=False)
    span = pd.DataFrame({"start": [58], "end": [62]})
    flavor.save(model, tmp_path / "m", SaveOptions(input_example=span))
    loaded = pyfunc.load(tmp_path / "m", trust=Trust(digests_of(tmp_path / "m")))
    np.testing.assert_allclose(model.predict(58, 62), loaded.predict(span))
    np.testing.assert_allclose(model.predict(58, 62), mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(span))
    with pytest.raises(InputMismatch, match=r"one row with the columns `start` and `end`"):
        loaded.predict(pd.concat([span, span]))


def test_the_data_of_the_fit_can_be_left_out(tmp_path: Path) -> None:
    """`remove_data` makes the folder smaller, and the caller's object stays whole."""
    model = MODELS["ols"]()
    for remove in (False, True):
        flavor.save(model, tmp_path / str(remove), remove_data=remove)
    sizes = [(tmp_path / str(remove) / "model.statsmodels").stat().st_size for remove in (True, False)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1]
    assert model.model.endog is not None
    loaded = flavor.load(tmp_path / "True", trust=ALLOWED)
    assert loaded.model.endog is None
    np.testing.assert_allclose(model.predict(X), loaded.predict(X))


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    """A model that was not fitted is a usual mistake."""
    with pytest.raises(UsageError) as error:
        flavor.save(statsmodels.OLS(NUMBERS, X), tmp_path / "m")
    assert "A OLS is no result of statsmodels. Give what `fit()` returned: `results = sm.OLS(y, x).fit()`" == str(
        error.value
    )
    assert not (tmp_path / "m").exists()


def test_a_malicious_pickle_does_not_run(tmp_path: Path, results_folder: Path) -> None:
    """Nobody vouches: neither face loads it, and its code has not run. The same bytes, allowed, do run."""
    (results_folder / "model.statsmodels").write_bytes(pickle.dumps(Boom(tmp_path / "ran")))
    load: Any
    for load in (flavor.load, pyfunc.load):
        with pytest.raises(UntrustedModel):
            load(results_folder, trust=Trust())
    assert not (tmp_path / "ran").exists()
    flavor.load(results_folder, trust=ALLOWED)
    assert (tmp_path / "ran").exists()


def test_damaged_weights_are_named(results_folder: Path) -> None:
    """A file that is no pickle is an error of ours."""
    (results_folder / "model.statsmodels").write_bytes(b"not a pickle")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(results_folder, trust=ALLOWED)
    assert error.value.problem.startswith("`model.statsmodels` is no pickle: ")


def test_a_missing_library_is_named_with_its_version(results_folder: Path) -> None:
    """What to install is the version the model was saved with."""
    from importlib.metadata import version

    assert (
        "`statsmodels` is needed to load this model, and is not installed. "
        f"Install it: `pip install statsmodels=={version('statsmodels')}`\n"
        == message_without("statsmodels", results_folder)
    )
