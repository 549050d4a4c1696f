"""scikit-learn models: saved and loaded, by us and by MLflow, and never loaded on the word of the folder alone."""

import pickle
import shutil
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runstone.errors import InvalidModelFolder, ModelFileChanged, UntrustedModel, UsageError
from runstone.flavors import mlmodel, pyfunc
from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.schema import Schema, TensorSpec
from runstone.flavors.signature import infer_signature
from runstone.flavors.trust import Trust
from tests.flavors.support import ALLOWED, Boom, digests_of
from tests.support import run_python

EXPECTED = [1.0, 2.0, 3.0]


def edit(folder: Path, old: str, new: str) -> None:
    """Exchange a text in the MLmodel file, as a hand or a newer version would."""
    file = folder / "MLmodel"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


# --- round trip


@pytest.mark.parametrize("format_", ["cloudpickle", "pickle"])
def test_a_model_comes_back_as_it_was(
    tmp_path: Path, model: LinearRegression, frame: pd.DataFrame, format_: str
) -> None:
    """With the digests that git recorded, saved weights load and predict the same."""
    flavor.save(model, tmp_path / "m", serialization_format=format_)
    trust = Trust(digests_of(tmp_path / "m"))
    assert EXPECTED == pytest.approx(list(flavor.load(tmp_path / "m", trust=trust).predict(frame)))
    assert EXPECTED == pytest.approx(list(pyfunc.load(tmp_path / "m", trust=trust).predict(frame)))


def test_cloudpickle_holds_classes_of_the_script(tmp_path: Path) -> None:
    """An estimator whose class is in `__main__` loads in a process that has no such class."""
    saving = """
        from pathlib import Path
        from runstone.flavors import sklearn

        class Doubler:
            def predict(self, x):
                return x * 2

        sklearn.save(Doubler(), Path("m"), serialization_format="cloudpickle")
        """
    loading = """
        from pathlib import Path
        from runstone.flavors import sklearn
        from runstone.flavors.trust import Trust

        print(sklearn.load(Path("m"), trust=Trust(allow_pickle=True)).predict(21))
        """
    run_python(textwrap.dedent(saving), cwd=tmp_path)
    assert "42\n" == run_python(textwrap.dedent(loading), cwd=tmp_path).stdout


def test_what_cannot_predict_has_no_python_function(tmp_path: Path) -> None:
    """A scaler is a model folder too, of the flavor sklearn alone."""
    flavor.save(StandardScaler().fit([[1.0], [3.0]]), tmp_path / "m")
    assert (("sklearn",), None) == mlmodel.describe(tmp_path / "m")
    assert [[1.0]] == flavor.load(tmp_path / "m", trust=ALLOWED).transform([[3.0]]).tolist()
    with pytest.raises(InvalidModelFolder) as error:
        pyfunc.load(tmp_path / "m", trust=ALLOWED)
    assert (
        f"The model folder {tmp_path / 'm'}: it has no flavor `python_function`, but `sklearn`. "
        "Load it with a flavor that it has."
    ) == str(error.value)


def test_pyfunc_predicts_with_the_method_it_was_saved_with(tmp_path: Path) -> None:
    """`pyfunc_predict_fn="predict_proba"` gives probabilities, and the signature says so."""
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    classifier = LogisticRegression().fit(x, [0, 0, 1, 1])
    flavor.save(classifier, tmp_path / "m", SaveOptions(input_example=x), pyfunc_predict_fn="predict_proba")
    loaded = pyfunc.load(tmp_path / "m", trust=ALLOWED)
    assert classifier.predict_proba(x).tolist() == loaded.predict(x).tolist()
    outputs = loaded.metadata.get_output_schema()
    assert Schema([TensorSpec("float64", (-1, 2))]) == outputs


def test_the_signature_of_the_caller_goes_before_the_inferred_one(
    tmp_path: Path, model: LinearRegression, frame: pd.DataFrame
) -> None:
    """A given signature stands; False leaves it out; None infers it from the example."""
    given = infer_signature(frame[["a"]])
    for i, (options, expected) in enumerate(
        (
            (SaveOptions(signature=given, input_example=frame), given),
            (SaveOptions(signature=False, input_example=frame), None),
            (SaveOptions(input_example=frame), infer_signature(frame, np.array([1.0]))),
        )
    ):
        flavor.save(model, tmp_path / str(i), options)
        assert expected == mlmodel.read(tmp_path / str(i)).signature


def test_an_example_that_does_not_predict_is_kept_with_a_warning(tmp_path: Path, model: LinearRegression) -> None:
    """The model is worth saving; the signature then knows only the input."""
    with pytest.warns(UserWarning, match="could not predict for its own input example"):
        flavor.save(model, tmp_path / "m", SaveOptions(input_example=pd.DataFrame({"wrong": [1.0]})))
    signature = mlmodel.read(tmp_path / "m").signature
    assert signature is not None
    assert signature.outputs is None
    assert signature.inputs is not None


def test_code_travels_with_the_model(tmp_path: Path) -> None:
    """A module of the project that the pickle refers to is importable where the project is not."""
    (tmp_path / "lib" / "helping").mkdir(parents=True)
    code = "class Doubler:\n    def predict(self, x):\n        return x * 2\n"
    (tmp_path / "lib" / "helping" / "__init__.py").write_text(code)
    saving = """
        import sys
        from pathlib import Path
        sys.path.insert(0, "lib")
        from helping import Doubler
        from runstone.flavors import sklearn
        from runstone.flavors.protocol import SaveOptions

        sklearn.save(Doubler(), Path("m"), SaveOptions(code_paths=["lib/helping"]))
        """
    run_python(textwrap.dedent(saving), cwd=tmp_path)
    loading = f"""
        from pathlib import Path
        from runstone.flavors import sklearn
        from runstone.flavors.trust import Trust

        model = sklearn.load(Path("m"), trust=Trust({digests_of(tmp_path / "m")!r}))
        import helping
        print(model.predict(21), Path("m").resolve() in Path(helping.__file__).parents)
        """
    shutil.rmtree(tmp_path / "lib")
    assert "42 False\n" == run_python(textwrap.dedent(loading), cwd=tmp_path).stdout
    shutil.rmtree(tmp_path / "m" / "code")
    missing = run_python(textwrap.dedent(loading), cwd=tmp_path, check=False)
    assert "the file `code/helping/__init__.py` is missing" in missing.stderr


# --- saving that fails


def test_a_model_that_cannot_be_pickled_leaves_nothing(tmp_path: Path) -> None:
    """The error names the type and the reason, and no half of a folder stays."""
    with (tmp_path / "open").open("w") as stream, pytest.raises(InvalidModelFolder) as error:
        flavor.save(FunctionTransformer(print, kw_args={"file": stream}), tmp_path / "m")
    assert error.value.problem.startswith("the FunctionTransformer cannot be saved as cloudpickle: ")
    assert not (tmp_path / "m").exists()


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path, model: LinearRegression) -> None:
    """Saving over another model is refused, and what is there stays."""
    (tmp_path / "kept").write_text("x")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.save(model, tmp_path)
    assert f"The model folder {tmp_path}: it exists and is not empty. Save to a new folder." == str(error.value)
    assert ["kept"] == [file.name for file in tmp_path.iterdir()]


@pytest.mark.parametrize("option", ["serialization_format", "pyfunc_predict_fn"])
def test_options_that_do_not_exist_are_refused(tmp_path: Path, model: LinearRegression, option: str) -> None:
    """A mistyped option is an error that lists what there is, before anything is written."""
    options: dict[str, Any] = {option: "joblib"}
    with pytest.raises(UsageError, match=rf"`{option}` must be one of .*pr?[ei].*, but is 'joblib'\."):
        flavor.save(model, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


# --- trust


@pytest.mark.parametrize("format_", ["cloudpickle", "pickle"])
def test_a_malicious_pickle_does_not_run(tmp_path: Path, folder: Path, format_: str) -> None:
    """Nobody vouches: neither face loads it, and its code has not run. The same bytes, allowed, do run."""
    (folder / "model.pkl").write_bytes(pickle.dumps(Boom(tmp_path / "ran")))
    edit(folder, "serialization_format: cloudpickle", f"serialization_format: {format_}")
    for load in (flavor.load, pyfunc.load):
        with pytest.raises(UntrustedModel) as error:
            load(folder, trust=Trust())
        assert "model.pkl" == error.value.file
    assert not (tmp_path / "ran").exists()
    flavor.load(folder, trust=ALLOWED)
    assert (tmp_path / "ran").exists()


def test_weights_exchanged_after_git_recorded_them_do_not_run(tmp_path: Path, folder: Path) -> None:
    """The digest is of the bytes that would be unpickled; other bytes are an error that names the file."""
    recorded = digests_of(folder)
    (folder / "model.pkl").write_bytes(pickle.dumps(Boom(tmp_path / "ran")))
    with pytest.raises(ModelFileChanged) as error:
        flavor.load(folder, trust=Trust(recorded))
    assert "model.pkl" == error.value.file
    assert recorded["model.pkl"] == error.value.recorded
    assert digests_of(folder)["model.pkl"] == error.value.found
    assert not (tmp_path / "ran").exists()


def test_an_mlmodel_that_points_elsewhere_does_not_run(tmp_path: Path, folder: Path) -> None:
    """A changed MLmodel is found out before what it names is looked at; so is a file that git does not know."""
    recorded = digests_of(folder)
    (folder / "other.pkl").write_bytes(pickle.dumps(Boom(tmp_path / "ran")))
    edit(folder, "pickled_model: model.pkl", "pickled_model: other.pkl")
    with pytest.raises(ModelFileChanged) as error:
        flavor.load(folder, trust=Trust(recorded))
    assert "MLmodel" == error.value.file
    with pytest.raises(ModelFileChanged) as error:
        flavor.load(folder, trust=Trust(recorded | {"MLmodel": digests_of(folder)["MLmodel"]}))
    assert "other.pkl" == error.value.file
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["../evil.pkl", "/evil.pkl", "a/../../evil.pkl"])
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, folder: Path, path: str) -> None:
    """Not even a caller who allows pickles allows those beside the folder."""
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Boom(tmp_path / "ran")))
    edit(folder, "pickled_model: model.pkl", f"pickled_model: {path}")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(folder, trust=ALLOWED)
    assert f"the path {path!r} leaves the folder" == error.value.problem
    assert not (tmp_path / "ran").exists()


def test_code_that_nobody_vouches_for_is_not_imported(tmp_path: Path, folder: Path) -> None:
    """Code that travels with a model is code as its pickle is: with digests, each file of it must match."""
    (folder / "code").mkdir()
    (folder / "code" / "evil_module.py").write_text("x = 1\n")
    edit(folder, "code: null", "code: code")
    recorded = digests_of(folder)
    (folder / "code" / "evil_module.py").write_text("x = 2\n")
    before = list(sys.path)
    with pytest.raises(ModelFileChanged) as error:
        flavor.load(folder, trust=Trust(recorded))
    assert "code/evil_module.py" == error.value.file
    assert before == sys.path


def test_a_predict_function_that_is_none_is_refused(folder: Path) -> None:
    """The folder cannot have us call any method it likes."""
    edit(folder, "predict_fn: predict", "predict_fn: __reduce__")
    with pytest.raises(InvalidModelFolder) as error:
        pyfunc.load(folder, trust=ALLOWED)
    assert "it is to predict with '__reduce__', which is no way to predict" == error.value.problem


# --- versions and damage


def test_another_scikit_learn_is_warned_about(folder: Path, frame: pd.DataFrame) -> None:
    """The warning names both versions and how to get the one; the model is loaded all the same."""
    installed = version("scikit-learn")
    edit(folder, f"sklearn_version: '{installed}'", "sklearn_version: '0.24.2'")
    with pytest.warns(UserWarning, match="scikit-learn") as caught:
        loaded = flavor.load(folder, trust=ALLOWED)
    assert [
        f"The model in {folder} was saved with scikit-learn 0.24.2, and {installed} is installed; it may fail or "
        "predict otherwise. Install the other: `pip install scikit-learn==0.24.2`"
    ] == [str(warning.message) for warning in caught]
    assert EXPECTED == pytest.approx(list(loaded.predict(frame)))


def test_weights_that_are_no_pickle(folder: Path) -> None:
    """A truncated or foreign file is an error of ours that names it."""
    for damage in (b"", b"not a pickle"):
        (folder / "model.pkl").write_bytes(damage)
        with pytest.raises(InvalidModelFolder) as error:
            flavor.load(folder, trust=ALLOWED)
        assert error.value.problem.startswith("`model.pkl` is no pickle: ")


def test_a_format_of_the_future(folder: Path) -> None:
    """A serialization format nobody here knows is named."""
    edit(folder, "serialization_format: cloudpickle", "serialization_format: onnx")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(folder, trust=ALLOWED)
    assert "its serialization format 'onnx' is not known" == error.value.problem


def test_a_class_that_is_not_here_is_named(folder: Path) -> None:
    """A plain pickle of a class of a script says what is missing, and which format would have kept it."""
    (folder / "model.pkl").write_bytes(b"cpathlib\nNoSuchClass\n.")
    with pytest.raises(InvalidModelFolder, match=r"needs what is not here: .*NoSuchClass.*cloudpickle"):
        flavor.load(folder, trust=ALLOWED)


def test_a_module_that_is_not_here_is_named(folder: Path) -> None:
    """A pickle of a class of somebody's project says which module is missing."""
    (folder / "model.pkl").write_bytes(b"cno_such_module\nThing\n.")
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(folder, trust=ALLOWED)
    assert (
        f"The model folder {folder}: its model needs the module `no_such_module`, which is not here. "
        "Install it, or save the model with `code_paths=[...]`."
    ) == str(error.value)


def test_a_library_that_is_not_here_is_named(tmp_path: Path) -> None:
    """What is optional and missing is an error with the command that installs it; nothing is left of the folder."""
    code = """
        import sys
        from pathlib import Path
        from runstone.errors import MissingLibrary
        from runstone.flavors import sklearn

        sys.modules["cloudpickle"] = None  # to import it now fails as if it were not installed
        try:
            sklearn.save(object(), Path("m"), serialization_format="cloudpickle")
        except MissingLibrary as error:
            print(error, Path("m").exists())
        """
    assert (
        "`cloudpickle` is needed to save a model, and is not installed. Install it: `pip install cloudpickle` False\n"
        == run_python(textwrap.dedent(code), cwd=tmp_path).stdout
    )


# --- MLflow


@pytest.mark.mlflow
@pytest.mark.parametrize("format_", ["cloudpickle", "pickle", "skops"])
def test_mlflow_loads_what_we_save(tmp_path: Path, model: LinearRegression, frame: pd.DataFrame, format_: str) -> None:
    """Both of MLflow's faces load the folder and predict; signature, example and metadata are read."""
    if format_ == "skops":
        pytest.importorskip("skops", reason="skops is not installed")
    import mlflow.pyfunc
    import mlflow.sklearn

    folder = tmp_path / "m"
    options = SaveOptions(input_example=frame, metadata={"team": "growth"}, run_id="0" * 32, artifact_path="m")
    flavor.save(model, folder, options, serialization_format=format_)
    assert EXPECTED == pytest.approx(list(mlflow.sklearn.load_model(str(folder)).predict(frame)))
    theirs = mlflow.pyfunc.load_model(str(folder))
    assert EXPECTED == pytest.approx(list(theirs.predict(frame)))
    assert {"team": "growth"} == theirs.metadata.metadata
    assert "0" * 32 == theirs.metadata.run_id
    ours = mlmodel.read(folder).signature
    assert ours is not None
    assert ours.to_dict() == theirs.metadata.signature.to_dict()
    pd.testing.assert_frame_equal(frame, theirs.input_example, check_dtype=False)
    with pytest.raises(Exception, match="Model is missing inputs"):
        theirs.predict(frame[["a"]])


@pytest.mark.mlflow
@pytest.mark.parametrize("format_", ["cloudpickle", "pickle", "skops"])
def test_we_load_what_mlflow_saved(tmp_path: Path, frame: pd.DataFrame, format_: str) -> None:
    """A pipeline in each of MLflow's formats, with digests as git would have them."""
    if format_ == "skops":
        pytest.importorskip("skops", reason="skops is not installed")
    import mlflow.sklearn

    scale = ColumnTransformer([("scale", StandardScaler(), ["a"])], remainder="passthrough")
    pipeline = make_pipeline(scale, LinearRegression()).fit(frame, EXPECTED)
    folder = tmp_path / "m"
    mlflow.sklearn.save_model(
        pipeline,
        folder,
        serialization_format=format_,
        input_example=frame,
        pip_requirements=["scikit-learn"],  # without them MLflow loads the model in a process to find them: 5 s
    )
    trust = Trust(digests_of(folder))
    assert EXPECTED == pytest.approx(list(flavor.load(folder, trust=trust).predict(frame)))
    loaded = pyfunc.load(folder, trust=trust)
    assert EXPECTED == pytest.approx(list(loaded.predict(frame[["b", "a"]])))
    pd.testing.assert_frame_equal(frame, loaded.input_example)
    assert ("sklearn", "python_function") == mlmodel.describe(folder)[0]
