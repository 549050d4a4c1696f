"""What a model needs, told from what its weights and code name."""

import io
import pickle
import sys
from importlib.metadata import version
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.requirements import find_distributions, modules_of_code, modules_of_pickle
from tests.support import run_python


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_names_its_modules(protocol: int) -> None:
    """In every protocol, the classes of the second tree included, whose names are in the memo by then."""
    forest = RandomForestRegressor(n_estimators=2).fit([[0.0], [1.0]], [0.0, 1.0])
    modules = modules_of_pickle(io.BytesIO(pickle.dumps([forest, forest.estimators_], protocol)))
    assert {"sklearn.ensemble._forest", "sklearn.tree._tree", "sklearn.tree._classes", "numpy"} <= modules
    assert ["numpy", "scikit-learn"] == find_distributions(modules)


def test_cloudpickle_names_what_a_function_uses() -> None:
    """A function of a script is kept by value, and what it uses of other modules by name."""
    script = """
import io, sys
import cloudpickle
import numpy as np
import yaml
from runstone.flavors.requirements import modules_of_pickle, find_distributions

def predict(x):
    return yaml.safe_load(str(np.sum(x)))

print(find_distributions(modules_of_pickle(io.BytesIO(cloudpickle.dumps(predict)))))
"""
    assert "['PyYAML', 'cloudpickle', 'numpy']\n" == run_python(script, cwd=Path.cwd()).stdout


def test_reading_a_pickle_runs_none_of_it(tmp_path: Path) -> None:
    """Its modules are named, not imported, and its calls not called."""
    evil = b"cno_such_module\nThing\n(S'touch'\ntR."
    assert {"no_such_module"} == modules_of_pickle(io.BytesIO(evil))
    assert "no_such_module" not in sys.modules


def test_code_names_its_imports(tmp_path: Path) -> None:
    """At the top and in functions; not its own modules, not relative ones, and no matter what is not Python."""
    package = tmp_path / "code" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import os.path, numpy.linalg as la\nfrom . import helper\nimport mine.helper\n"
    )
    (package / "helper.py").write_text("def f():\n    from sklearn.svm import SVC\n    import beside\n")
    (tmp_path / "code" / "beside.py").write_text("import yaml\n")
    (tmp_path / "code" / "old.py").write_text("print 'Python 2'\n")
    modules = modules_of_code(tmp_path / "code")
    assert {"os.path", "numpy.linalg", "sklearn.svm", "yaml"} == modules
    assert ["PyYAML", "numpy", "scikit-learn"] == find_distributions(modules)
    assert {"yaml"} == modules_of_code(tmp_path / "code" / "beside.py")


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("os.path", []),
        ("__main__", []),
        ("no_such_module", []),
        ("tests.support", []),
        ("sklearn.linear_model._base", ["scikit-learn"]),
        ("yaml", ["PyYAML"]),
        ("dateutil.parser", ["python-dateutil"]),
        ("_pytest.fixtures", ["pytest"]),
        ("attr", ["attrs"]),
    ],
)
def test_a_module_has_its_distribution(module: str, expected: list[str]) -> None:
    """By its own name, by a usual one, or by what the distributions say that they installed."""
    assert expected == find_distributions([module])


def test_a_saved_model_pins_what_its_weights_and_code_name(tmp_path: Path) -> None:
    """A pipeline of another library's step, and code that travels with it."""
    catboost = pytest.importorskip("catboost", reason="the extra `catboost` is not installed")
    (tmp_path / "mine.py").write_text("import yaml\n")
    step = catboost.CatBoostRegressor(iterations=1, verbose=0, allow_writing_files=False)
    model = make_pipeline(step).fit(np.array([[0.0], [1.0], [2.0]]), [0.0, 1.0, 2.0])
    options = SaveOptions(code_paths=[tmp_path / "mine.py"])
    flavor.save(model, tmp_path / "m", options, serialization_format="pickle")
    names = ["catboost", "numpy", "PyYAML", "scikit-learn", "scipy"]
    lines = (tmp_path / "m" / "requirements.txt").read_text().splitlines()
    assert sorted(f"{name}=={version(name)}" for name in names) == sorted(lines)


def test_finding_them_is_fast() -> None:
    """No process, no import, and no list of all that is installed: 20 ms at most for a forest of 100 trees."""
    from time import perf_counter

    x = np.arange(200.0).reshape(-1, 1)
    data = cloudpickle.dumps([RandomForestRegressor().fit(x, x.ravel()), LinearRegression()], protocol=5)
    times = []
    for _ in range(5):
        start = perf_counter()
        find_distributions(modules_of_pickle(io.BytesIO(data)))
        times.append(perf_counter() - start)
    assert min(times) < 0.02
