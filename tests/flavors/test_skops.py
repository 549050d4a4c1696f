"""skops: data in place of pickles. What we write and read ourselves is the library's format, by its rules."""

import io
import json
import subprocess
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from runstone.errors import InvalidModelFolder, ModelFileChanged, UsageError
from runstone.flavors import mlmodel
from runstone.flavors import sklearn as flavor
from runstone.flavors import skops as ours
from runstone.flavors.trust import Trust
from tests.flavors.boosters import edit
from tests.flavors.support import ALLOWED, digests_of
from tests.support import run_python

theirs = pytest.importorskip("skops.io", reason="skops is not installed")

EXPECTED = [1.0, 2.0, 3.0]
X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
TABLE = pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=["x", "y"] * 20)
COLUMNS = ColumnTransformer([("one", OneHotEncoder(), ["kind"]), ("scale", StandardScaler(), ["a", "b"])])

FAMILIAR: dict[str, tuple[Any, Any]] = {
    "forest": (RandomForestRegressor(n_estimators=3, random_state=np.random.RandomState(3), max_depth=4), X),
    "tree": (DecisionTreeClassifier(class_weight={0: 1, 1: 2}), X),
    "pipeline": (make_pipeline(COLUMNS, PCA(2), LogisticRegression()), TABLE),
    "imputer": (make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), X),
    "vectors": (SVC(random_state=0), X),
    "clusters": (KMeans(2, n_init=1, random_state=0), X),
}
RARE: dict[str, tuple[Any, Any]] = {
    "search": (GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2), X),
    "boosting": (GradientBoostingClassifier(n_estimators=2), X),
    "neighbors": (KNeighborsClassifier(3), X),
    "function": (make_pipeline(FunctionTransformer(np.abs), LogisticRegression()), X),
}


# --- the format


@pytest.mark.parametrize("kind", FAMILIAR)
def test_the_library_reads_what_we_write_and_we_what_it_writes(kind: str) -> None:
    """The same predictions, the same types to trust."""
    model, x = FAMILIAR[kind]
    model.fit(x, Y)
    expected = model.predict(x).tolist()
    data, types = ours.dumps(model)
    written = theirs.dumps(model)
    assert theirs.get_untrusted_types(data=written) == theirs.get_untrusted_types(data=data) == types
    for loaded in (ours.loads(data, types), theirs.loads(data, trusted=types), ours.loads(written, types)):
        assert type(model) is type(loaded)
        assert expected == loaded.predict(x).tolist()
        assert model.get_params().keys() == loaded.get_params().keys()
        if kind == "forest":
            assert repr(model.random_state.get_state()) == repr(loaded.random_state.get_state())


@pytest.mark.parametrize("kind", RARE)
def test_what_is_rare_is_left_to_the_library(tmp_path: Path, kind: str) -> None:
    """It is saved as skops all the same, and loads with the digests that git recorded."""
    model, x = RARE[kind]
    model.fit(x, Y)
    with pytest.raises(ours.Unfamiliar):
        ours.dumps(model)
    flavor.save(model, tmp_path / "m")
    assert "skops" == format_of(tmp_path / "m")[0]
    loaded = flavor.load(tmp_path / "m", trust=Trust(digests_of(tmp_path / "m")))
    assert model.predict(x).tolist() == loaded.predict(x).tolist()


def test_what_is_shared_stays_shared() -> None:
    """One array in two places is written once and read once."""
    array = np.arange(3.0)
    model = LinearRegression()
    model.coef_, model.both = array, [array, array]
    data, _ = ours.dumps(model)
    assert 2 == len(zipfile.ZipFile(io.BytesIO(data)).namelist())
    loaded = ours.loads(data, ())
    assert loaded.coef_ is loaded.both[0] is loaded.both[1]


@pytest.mark.parametrize(
    "value",
    [
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(["a", "bc"]),
        np.array([[1, "a"], [None, 2.5]], dtype=object),
        np.array(["a", None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "<i8"), ("b", "<f8")]),
        np.array([1, 2], dtype=">i4"),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.array(5),
        np.zeros((0, 3)),
        np.float32(1.5),
        np.bool_(True),
        float("nan"),
        {"a": (1, [2.5, None, True]), "b": {}},
        {1: "one", 2: "two"},
        np.float64,
    ],
    ids=repr,
)
def test_values_come_back_as_they_were(value: Any) -> None:
    """Arrays with order, dtype and shape; numbers of numpy's; lists, tuples and maps."""
    model = LinearRegression()
    model.value = value
    data, _ = ours.dumps(model)
    for loaded in (ours.loads(data, ()).value, theirs.loads(data).value):
        assert type(value) is type(loaded)
        assert repr(value) == repr(loaded)
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.shape) == (loaded.dtype, loaded.shape)
            assert loaded.flags.writeable


def test_a_vocabulary_is_read(tmp_path: Path) -> None:
    """Text, regular expressions and a map of thousands of words."""
    texts = ["to be or not to be", "that is the question"]
    model = TfidfVectorizer().fit(texts)
    data, _ = ours.dumps(model)
    assert model.transform(texts).toarray().tolist() == ours.loads(data, ()).transform(texts).toarray().tolist()


def test_a_value_that_holds_itself_is_left_out_of_skops(tmp_path: Path) -> None:
    """The library does not end on it, so it is a pickle."""
    model = LinearRegression()
    model.me = model
    with pytest.raises(ours.Unfamiliar):
        ours.dumps(model)
    flavor.save(model, tmp_path / "m")
    assert ("cloudpickle", None) == format_of(tmp_path / "m")


# --- what a file may not have us do


def craft(change: dict[str, Any]) -> bytes:
    """A skops file of a regression, one attribute of which is a hand-made node."""
    data, _ = ours.dumps(LinearRegression())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
    schema["content"]["content"]["copy_X"] = change
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


JSON = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "1"}


@pytest.mark.parametrize(
    "node",
    [
        {"__class__": "system", "__module__": "os", "__loader__": "TypeNode"},
        {"__class__": "eval", "__module__": "builtins", "__loader__": "TypeNode"},
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        {"__class__": "Path", "__module__": "pathlib", "__loader__": "ObjectNode", "content": JSON},
        {"__class__": "fetch_openml", "__module__": "sklearn.datasets", "__loader__": "ObjectNode", "content": JSON},
        {
            "__class__": "Tree",
            "__module__": "sklearn.tree._tree",
            "__loader__": "TreeNode",
            "__reduce__": {"args": JSON},
        },
        {"__class__": "list", "__module__": "os", "__loader__": "ListNode", "content": []},
        {"__class__": "dict", "__module__": "os", "__loader__": "DictNode", "content": {}, "key_types": JSON},
        {
            "__class__": "load",
            "__module__": "numpy",
            "__loader__": "NdArrayNode",
            "type": "numpy",
            "file": "schema.json",
        },
    ],
    ids=lambda node: f"{node['__loader__']} {node['__module__']}.{node['__class__']}",
)
def test_a_file_names_only_what_is_harmless(tmp_path: Path, model: LinearRegression, node: dict[str, Any]) -> None:
    """Functions, other classes, trees: neither we nor the library make them on the word of the file."""
    with pytest.raises((ours.Unfamiliar, ours.Untrusted, ValueError)):
        ours.loads(craft(node), ())
    flavor.save(model, tmp_path / "m")
    (tmp_path / "m" / "model.skops").write_bytes(craft(node))
    edit(tmp_path / "m", "skops_trusted_types: []", f"skops_trusted_types: [{node['__module__']}.{node['__class__']}]")
    with pytest.raises(InvalidModelFolder):
        flavor.load(tmp_path / "m", trust=Trust())


# --- the flavor


def forest() -> RandomForestRegressor:
    """A forest, whose trees are not of a type that skops trusts by itself."""
    return RandomForestRegressor(n_estimators=3, random_state=0).fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0])


def format_of(folder: Path) -> tuple[Any, Any]:
    """What the MLmodel file says of the format, and of the types to trust."""
    settings = mlmodel.read(folder).flavors["sklearn"]
    return settings["serialization_format"], settings["skops_trusted_types"]


class Unknown(BaseEstimator):  # type: ignore[misc]  # mypy does not follow the library
    """An estimator that no library has."""


def test_the_safest_format_that_can_hold_the_model_is_chosen(tmp_path: Path, model: LinearRegression) -> None:
    """skops, with the types that it does not trust by itself; cloudpickle for classes of nobody's library."""
    boosting = HistGradientBoostingRegressor(max_iter=1).fit([[0.0], [1.0]], [0.0, 1.0])
    for i, estimator in enumerate((model, forest(), boosting, Unknown())):
        flavor.save(estimator, tmp_path / str(i))
    predictor = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
    expected = [
        ("skops", []),
        ("skops", ["sklearn.tree._tree.Tree"]),
        ("skops", [predictor]),
        ("cloudpickle", None),
    ]
    assert expected == [format_of(tmp_path / str(i)) for i in range(4)]
    for i in range(4):
        loaded = flavor.load(tmp_path / str(i), trust=Trust(digests_of(tmp_path / str(i))))
        assert type(loaded) is type((model, forest(), boosting, Unknown())[i])
    assert "skops" in (tmp_path / "0" / "requirements.txt").read_text()


def test_skops_needs_no_trust_for_its_own_types_and_refuses_others(
    tmp_path: Path, model: LinearRegression, frame: pd.DataFrame
) -> None:
    """A skops file is data, so it loads from anywhere; types beyond scikit-learn's it loads only if someone vouches."""
    flavor.save(model, tmp_path / "m", serialization_format="skops")
    assert EXPECTED == pytest.approx(list(flavor.load(tmp_path / "m", trust=Trust()).predict(frame)))
    odd = FunctionTransformer(subprocess.getoutput)
    with pytest.raises(
        UsageError, match=r"skops would refuse to load this model, since it holds subprocess\.getoutput"
    ):
        flavor.save(odd, tmp_path / "odd", serialization_format="skops")
    types = ["subprocess.getoutput"]
    flavor.save(odd, tmp_path / "odd", serialization_format="skops", skops_trusted_types=types)
    with pytest.raises(InvalidModelFolder) as error:
        flavor.load(tmp_path / "odd", trust=Trust())
    assert (
        f"The model folder {tmp_path / 'odd'}: `model.skops` holds what skops does not know to be harmless: "
        "subprocess.getoutput. If you trust whoever made it, say so: `allow_pickle=True`, "
        "on the command line `--allow-pickle`"
    ) == str(error.value)
    loaded = flavor.load(tmp_path / "odd", trust=Trust(digests_of(tmp_path / "odd")))
    assert subprocess.getoutput is loaded.func


def test_types_are_trusted_on_the_word_of_git_and_not_of_the_folder(tmp_path: Path) -> None:
    """A forest of a bare folder is refused although its MLmodel file names the type; recorded or allowed, it loads."""
    flavor.save(forest(), tmp_path / "m")
    with pytest.raises(InvalidModelFolder, match=r"sklearn\.tree\._tree\.Tree.*`allow_pickle=True`"):
        flavor.load(tmp_path / "m", trust=Trust())
    recorded = digests_of(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for trust in (Trust(recorded), ALLOWED):
            loaded = flavor.load(tmp_path / "m", trust=trust)
            assert forest().predict([[1.5]]).tolist() == loaded.predict([[1.5]]).tolist()
    edit(tmp_path / "m", "sklearn.tree._tree.Tree", "os.system")
    with pytest.raises(ModelFileChanged):
        flavor.load(tmp_path / "m", trust=Trust(recorded))


@pytest.mark.parametrize("damage", ["no zip", "no schema", "no map", "cut off", "another class"])
def test_a_damaged_skops_file_is_named(tmp_path: Path, model: LinearRegression, damage: str) -> None:
    """Whatever it raises inside, the error is ours."""
    flavor.save(model, tmp_path / "m")
    file = tmp_path / "m" / "model.skops"
    whole = file.read_bytes()
    if damage == "no zip":
        file.write_bytes(b"no zip")
    elif damage == "cut off":
        file.write_bytes(whole[: len(whole) // 2])
    else:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            schema = archive.read("schema.json").decode()
        with zipfile.ZipFile(file, "w") as archive:
            if damage == "no map":
                archive.writestr("schema.json", "[]")
            elif damage == "another class":
                archive.writestr("schema.json", schema.replace("LinearRegression", "NoSuchRegression"))
    with pytest.raises(InvalidModelFolder, match=r"`model\.skops` (is no skops file|holds what skops does not know)"):
        flavor.load(tmp_path / "m", trust=Trust())


def test_without_the_library_it_is_a_pickle_unless_skops_is_wanted(tmp_path: Path) -> None:
    """Whoever loads the file may need the library, so what it is written with has it."""
    code = """
from pathlib import Path
from sklearn.linear_model import LinearRegression
from runstone.errors import MissingLibrary
from runstone.flavors import environment, sklearn

installed = environment.installed_version
environment.installed_version = lambda name: None if name == "skops" else installed(name)
sklearn.save(LinearRegression(), Path("m"))
print(Path("m/model.pkl").is_file())
try:
    sklearn.save(LinearRegression(), Path("n"), serialization_format="skops")
except MissingLibrary as error:
    print(error, Path("n").exists())
"""
    expected = "`skops` is needed to save a model so, and is not installed. Install it: `pip install skops` False"
    assert ["True", expected] == run_python(code, cwd=tmp_path).stdout.splitlines()
