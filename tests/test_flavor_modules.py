"""The modules that users import, `runstone.<flavor>`: called as MLflow's are, and refusing what does not exist."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import runstone
from runstone.errors import UsageError
from runstone.flavors import mlmodel
from runstone.flavors.protocol import INSTEAD, LogArguments, SaveArguments, SaveOptions, check_arguments

FLAVORS = "catboost keras lightgbm onnx pytorch sklearn spacy statsmodels transformers xgboost".split()

X = np.random.default_rng(0).normal(size=(40, 3))
Y = X[:, 0] * 2

# What MLflow's functions take and ours do not, beside those that are refused with what to do instead.
LEFT_OUT = {
    "kwargs": "what is passed on unseen is misspelled unseen; each flavor names what its library takes",
    "base_model_path": "weights in another folder than the model's have no digest in git",
    "load_model_kwargs": "what of it matters has a name: `custom_objects`",
}


def mlflow_arguments(flavor: str, function: str) -> list[inspect.Parameter]:
    """The parameters of MLflow's function."""
    module = pytest.importorskip(f"mlflow.{flavor}", reason="MLflow is not installed as a whole")
    return list(inspect.signature(getattr(module, function)).parameters.values())


def our_arguments(flavor: str, function: str) -> dict[str, inspect.Parameter]:
    """The parameters of our function, without what `**options` stands for."""
    found = inspect.signature(getattr(import_module(f"runstone.{flavor}"), function)).parameters
    return {name: parameter for name, parameter in found.items() if parameter.kind is not parameter.VAR_KEYWORD}


@pytest.mark.mlflow
@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("function", ["save_model", "log_model", "load_model"])
def test_what_mlflow_takes_we_take(flavor: str, function: str) -> None:
    """Each argument of MLflow's is one of ours, or stands in the list of those left out; the first two by position."""
    options = {"save_model": SaveArguments, "log_model": LogArguments}.get(function)
    ours = our_arguments(flavor, function)
    accepted = {*ours, *(options.__optional_keys__ if options else ())}
    theirs = mlflow_arguments(flavor, function)
    refused = LEFT_OUT.keys() | (INSTEAD.keys() if options else set())
    assert [] == [parameter.name for parameter in theirs if parameter.name not in accepted | refused]
    assert set() == accepted & refused
    assert [parameter.name for parameter in theirs[:2]] == list(ours)[:2]
    assert [parameter.default for parameter in theirs[:2]] == [ours[name].default for name in list(ours)[:2]]
    unlike = {
        parameter.name: (parameter.default, ours[parameter.name].default)
        for parameter in theirs
        if parameter.name in ours and parameter.default != ours[parameter.name].default
    }
    assert {} == unlike


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_does_not_exist_is_refused(tmp_path: Path, flavor: str) -> None:
    """As Python refuses it of any function: a misspelled option must not be lost. No run is begun for it."""
    module: Any = import_module(f"runstone.{flavor}")
    for function, arguments in ((module.save_model, (object(), tmp_path / "m")), (module.log_model, (object(),))):
        with pytest.raises(TypeError) as error:
            function(*arguments, input_exampel=1)
        assert f"{function.__name__}() got an unexpected keyword argument 'input_exampel'" == str(error.value)
    with pytest.raises(TypeError, match="'registered_model_name'"):
        module.save_model(object(), tmp_path / "m", registered_model_name="m")
    assert runstone.active_run() is None
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_what_mlflow_takes_and_we_do_not_is_said(tmp_path: Path, name: str) -> None:
    """The error names what to do instead, and no run is begun; the default of MLflow's, which says nothing, passes."""
    module: Any = import_module("runstone.sklearn")
    for function, arguments in ((module.save_model, (object(), tmp_path / "m")), (module.log_model, (object(),))):
        with pytest.raises(UsageError) as error:
            function(*arguments, **{name: False if name == "save_pretrained" else 3})
        assert f"{function.__name__}() does not take MLflow's `{name}`. {INSTEAD[name]}" == str(error.value)
    assert runstone.active_run() is None
    unsaid: Any = {name: None}
    assert SaveOptions() == SaveOptions.of(unsaid)


@pytest.mark.mlflow
def test_defaults_of_mlflow_pass() -> None:
    """A wrapper that hands MLflow's defaults on is not refused, but for `step=0`, which is a checkpoint's."""
    for flavor in FLAVORS:
        defaults = {p.name: p.default for p in mlflow_arguments(flavor, "log_model") if p.name in INSTEAD}
        given = {name: value for name, value in defaults.items() if name != "step"}
        check_arguments(given, (), "log_model")
        assert {"step", "tags", "model_type", "model_id"} <= defaults.keys()


@pytest.mark.mlflow
@pytest.mark.parametrize("flavor", [flavor for flavor in FLAVORS if flavor != "transformers"])
def test_default_environments_are_mlflows(flavor: str) -> None:
    """The same functions with the same packages, to which users add their own."""
    theirs: Any = pytest.importorskip(f"mlflow.{flavor}", reason="MLflow is not installed as a whole")
    pytest.importorskip({"pytorch": "torch"}.get(flavor, flavor), reason=f"the extra `{flavor}` is not installed")
    ours: Any = import_module(f"runstone.{flavor}")
    assert theirs.get_default_pip_requirements() == ours.get_default_pip_requirements()
    assert {"pip": theirs.get_default_pip_requirements()} == ours.get_default_conda_env()["dependencies"][-1]
    if "include_skops" in inspect.signature(theirs.get_default_pip_requirements).parameters:
        expected = theirs.get_default_pip_requirements(include_cloudpickle=True)
        assert expected == ours.get_default_pip_requirements(include_cloudpickle=True)


@pytest.mark.mlflow
def test_formats_have_mlflows_names() -> None:
    """Constants that stand in users' calls."""
    theirs: Any = pytest.importorskip("mlflow.sklearn", reason="MLflow is not installed as a whole")
    for name in ("CLOUDPICKLE", "PICKLE", "SKOPS"):
        constant = f"SERIALIZATION_FORMAT_{name}"
        assert getattr(theirs, constant) == getattr(runstone.sklearn, constant)


@pytest.mark.usefixtures("here")
def test_extra_files_are_kept_beside_the_weights(tmp_path: Path) -> None:
    """Files and folders, listed as MLflow lists them; two of one name, and none at all, are refused."""
    model, module = fitted("xgboost"), runstone.xgboost
    (tmp_path / "d" / "a").mkdir(parents=True)
    (tmp_path / "d" / "a" / "b.txt").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    module.save_model(model, tmp_path / "m", extra_files=[str(tmp_path / "a.txt"), tmp_path / "d"])
    assert "a" == (tmp_path / "m" / "extra_files" / "a.txt").read_text()
    assert "b" == (tmp_path / "m" / "extra_files" / "d" / "a" / "b.txt").read_text()
    settings = mlmodel.read(tmp_path / "m").flavors["xgboost"]
    assert [{"path": "extra_files/a.txt"}, {"path": "extra_files/d"}] == settings["extra_files"]
    for given, why in (
        ([tmp_path / "none"], "there is no "),
        ([tmp_path / "a.txt", tmp_path / "d" / ".." / "a.txt"], "two of them are called `a.txt`"),
        ([tmp_path], "holds the model folder"),
    ):
        with pytest.raises(UsageError, match=why):
            module.save_model(model, tmp_path / "n", extra_files=given)
        assert not (tmp_path / "n").exists()


def test_the_options_are_those_that_are_saved() -> None:
    """Each argument of `save_model` is an option of saving, with the same type."""
    options = get_type_hints(SaveOptions)
    for name, kind in get_type_hints(SaveArguments).items():
        assert options[name] == kind
    assert {"run_id", "artifact_path"} == options.keys() - get_type_hints(SaveArguments).keys()


def test_options_given_are_options_saved(tmp_path: Path) -> None:
    """None is as good as not given, which MLflow's defaults are; contradicting ones are refused."""
    assert SaveOptions() == SaveOptions.of({})
    assert SaveOptions() == SaveOptions.of({"code_paths": None, "metadata": None, "signature": None})
    assert SaveOptions(metadata={"a": 1}) == SaveOptions.of({"metadata": {"a": 1}})
    with pytest.raises(UsageError, match="contradict each other"):
        SaveOptions.of({"conda_env": {}, "pip_requirements": []})


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_flavor_is_an_attribute_of_the_package(flavor: str) -> None:
    """`runstone.xgboost` works after `import runstone` alone, and the module says what it is for."""
    assert import_module(f"runstone.{flavor}") is getattr(runstone, flavor)
    assert flavor in dir(runstone)
    for function in ("save_model", "log_model", "load_model"):
        assert inspect.getdoc(getattr(getattr(runstone, flavor), function))


def fitted(flavor: str) -> Any:
    """A small model of a library of tables; the test is left out where the library is not installed."""
    module: Any = pytest.importorskip(
        "statsmodels.api" if flavor == "statsmodels" else flavor, reason=f"the extra `{flavor}` is not installed"
    )
    if flavor == "statsmodels":
        return module.OLS(Y, X).fit()
    if flavor == "catboost":
        return module.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False).fit(X, Y)
    if flavor == "lightgbm":
        return module.train({"verbose": -1, "min_data_in_leaf": 2}, module.Dataset(X, Y), 2)
    return module.XGBRegressor(n_estimators=2).fit(X, Y)


def signature_in_file(uri: str) -> dict[str, str | None]:
    """The signature that the model's own file says."""
    signature = runstone.pyfunc.load_model(uri).metadata.signature
    assert signature is not None
    return signature.to_dict()


@pytest.mark.parametrize("flavor", ["catboost", "lightgbm", "statsmodels", "xgboost"])
@pytest.mark.usefixtures("here")
def test_a_model_is_logged_registered_and_loaded(flavor: str) -> None:
    """Through git, with the trust that it gives: from the run and from the registry, by the library and by pyfunc."""
    model = fitted(flavor)
    expected = np.asarray(model.predict(X))
    module: Any = getattr(runstone, flavor)
    with runstone.start_run() as run:
        made = module.log_model(
            model, name="deep/model", registered_model_name=flavor, input_example=X[:2], params={"a": 1}
        )
    assert (f"runs:/{run.id}/deep/model", (flavor, "python_function")) == (made.model_uri, made.flavors)
    assert {"a": 1} == runstone.get_run(run.id).params
    signature = signature_in_file(made.model_uri)
    assert ("deep/model", signature) == (made.name, made.signature_dict)
    for uri in (made.model_uri, f"models:/{flavor}/1"):
        assert type(model) is type(module.load_model(uri))
        np.testing.assert_allclose(expected, np.asarray(runstone.pyfunc.load_model(uri).predict(X)))


@pytest.mark.parametrize("flavor", ["catboost", "lightgbm", "statsmodels", "xgboost"])
def test_a_model_is_saved_to_a_folder_and_loaded(tmp_path: Path, flavor: str) -> None:
    """Without git; `allow_pickle` is needed only where there is a pickle."""
    model = fitted(flavor)
    module: Any = getattr(runstone, flavor)
    module.save_model(model, tmp_path / "m", metadata={"team": "growth"})
    loaded = module.load_model(str(tmp_path / "m"), allow_pickle=flavor == "statsmodels")
    assert type(model) is type(loaded)


@pytest.mark.parametrize("module", ["runstone", "runstone.sklearn", "runstone.xgboost"])
def test_autologging_is_told_where_it_is(module: str) -> None:
    """Code that was written for MLflow asks for it; of another name it is only said that it is not there."""
    found = import_module(module)
    with pytest.raises(AttributeError, match=r"no attribute 'autolog'.*MLFLOW_TRACKING_URI=runstone:\."):
        found.autolog()
    with pytest.raises(AttributeError, match=r"no attribute 'autolgo'$"):
        found.autolgo()
