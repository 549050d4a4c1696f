"""Models from code: a script in place of a pickle, ours or MLflow's, run by us or by MLflow."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged, UntrustedModel, UsageError
from runstone.flavors import pyfunc
from runstone.flavors.trust import Trust
from runstone.models import ModelConfig
from runstone.pyfunc import load_model, save_model
from tests.flavors.support import ALLOWED, digests_of
from tests.support import run_python

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # MLflow's, at every class and function without hints

INSTANCE = """
from {library}.models import ModelConfig, set_model
from {library}.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return [value * settings.get("factor") for value in model_input["a"].tolist()]

settings = ModelConfig(development_config={{"factor": 100}})
set_model(Model())
"""
FUNCTION = """
from {library}.models import set_model

def shout(model_input: list[str]) -> list[str]:
    return [word.upper() for word in model_input]

set_model(shout)
"""
FRAME = pd.DataFrame({"a": [1.0, 2.0]})


def ours(path: Path, **options: Any) -> Any:
    """Loaded by us."""
    return load_model(str(path), allow_pickle=True, **options)


def theirs(path: Path, **options: Any) -> Any:
    """Loaded by MLflow."""
    return mlflow.pyfunc.load_model(str(path), **options)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes the script `model.py`."""

    def write(text: str, name: str = "model.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


MATRIX = [
    ("runstone", save_model, ours),
    ("runstone", save_model, theirs),
    ("mlflow", save_model, ours),
    ("mlflow", save_model, theirs),
    ("mlflow", mlflow.pyfunc.save_model, ours),
    ("mlflow", mlflow.pyfunc.save_model, theirs),
]
EVERYBODY = pytest.mark.parametrize(
    ("library", "save", "load"),
    MATRIX,
    ids=["ours", "ours in MLflow", "its script", "its script in MLflow", "its folder", "its folder in MLflow"],
)


@pytest.mark.mlflow
@EVERYBODY
def test_a_script_is_a_model_for_everybody(
    tmp_path: Path, write: Callable[..., Path], library: str, save: Callable[..., None], load: Callable[..., Any]
) -> None:
    """Whose names it uses, who saves and who loads: the same predictions, with the settings of the moment."""
    script = write(INSTANCE.format(library=library))
    save(
        path=str(tmp_path / "m"),
        python_model=str(script),
        model_config={"factor": 3},
        pip_requirements=["a"],
        input_example=FRAME,
    )
    assert [3.0, 6.0] == load(tmp_path / "m").predict(FRAME)
    assert [5.0, 10.0] == load(tmp_path / "m", model_config={"factor": 5}).predict(FRAME)
    assert not list((tmp_path / "m").glob("*.pkl"))


@pytest.mark.mlflow
@EVERYBODY
def test_a_script_may_set_a_function(
    tmp_path: Path, write: Callable[..., Path], library: str, save: Callable[..., None], load: Callable[..., Any]
) -> None:
    """With the signature of its hints."""
    script = write(FUNCTION.format(library=library))
    save(path=str(tmp_path / "m"), python_model=str(script), pip_requirements=["a"])
    model = load(tmp_path / "m")
    assert ["A"] == model.predict(["a"]) == model.predict(pd.DataFrame({"any": ["a"]}))
    assert '[{"type": "string", "required": true}]' == model.metadata.get_input_schema().to_json()


def test_the_folder_says_nothing_of_this_machine(tmp_path: Path, write: Callable[..., Path]) -> None:
    """MLflow writes the script's whole path; we write its name, which is all that either reads."""
    save_model(tmp_path / "m", python_model=write(FUNCTION.format(library="runstone")))
    text = (tmp_path / "m" / "MLmodel").read_text()
    assert (True, False) == ("model_code_path: model.py" in text, str(tmp_path) in text)
    assert not (tmp_path / "m" / "requirements.txt").read_text().startswith("cloudpickle")


def test_mlflow_is_not_needed_and_not_imported(tmp_path: Path, write: Callable[..., Path]) -> None:
    """By a script that does not ask for it."""
    script = write(INSTANCE.format(library="runstone"))
    code = f"""
import sys, runstone, pandas as pd
runstone.pyfunc.save_model("m", python_model={str(script)!r}, model_config={{"factor": 2}})
print(runstone.pyfunc.load_model("m", allow_pickle=True).predict(pd.DataFrame({{"a": [1]}})), "mlflow" in sys.modules)
"""
    assert "[2] False" == run_python(code, cwd=tmp_path).stdout.strip()


def test_a_script_can_be_run_by_itself(tmp_path: Path, write: Callable[..., Path]) -> None:
    """Then its development settings count, and setting the model does nothing."""
    script = write(INSTANCE.format(library="runstone") + "\nprint(settings.to_dict())\n")
    assert "{'factor': 100}" == run_python(script, cwd=tmp_path).stdout.strip()


def test_nothing_of_a_script_stays_behind(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The places where it leaves its model and finds its settings are as they were, MLflow's too."""
    monkeypatch.setattr(mlflow.models.model, "__mlflow_model__", None)
    script = write(INSTANCE.format(library="mlflow"))
    save_model(tmp_path / "m", python_model=script, model_config={"factor": 3})
    ours(tmp_path / "m")
    assert (None, None) == (mlflow.models.model.__mlflow_model__, mlflow.models.model_config.__mlflow_model_config__)
    with pytest.raises(UsageError):
        ModelConfig()


def test_a_script_that_sets_nothing_does_not_get_the_model_of_another(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from an earlier script nor from what MLflow still remembers."""
    monkeypatch.setattr(mlflow.models.model, "__mlflow_model__", len)
    save_model(tmp_path / "m", python_model=write(FUNCTION.format(library="runstone")))
    with pytest.raises(UsageError) as error:
        save_model(tmp_path / "n", python_model=write("import mlflow\n", "empty.py"))
    assert (
        f"`python_model`: the script {tmp_path / 'empty.py'} made no model: it must call "
        "`runstone.models.set_model(model)`."
    ) == str(error.value)
    assert mlflow.models.model.__mlflow_model__ is len


# --- neighbours


def test_neighbours_travel_as_code_paths(tmp_path: Path, write: Callable[..., Path]) -> None:
    """A file and a package beside the script, found where it is saved and where it is loaded."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "rs_near.py").write_text("def twice(x): return 2 * x\n")
    (tmp_path / "lib" / "rs_pack").mkdir()
    (tmp_path / "lib" / "rs_pack" / "__init__.py").write_text("ADD = 1\n")
    script = write(
        "from rs_near import twice\nimport runstone\n\ndef f(model_input):\n    from rs_pack import ADD\n"
        "    return [twice(x) + ADD for x in model_input]\n\nrunstone.models.set_model(f)\n"
    )
    paths = [tmp_path / "lib" / "rs_near.py", tmp_path / "lib" / "rs_pack"]
    save_model(tmp_path / "m", python_model=script, code_paths=paths, input_example=[1, 2])
    assert str(tmp_path / "lib") not in sys.path
    code = """
import sys, runstone, mlflow.pyfunc
for load in (lambda: runstone.pyfunc.load_model("m", allow_pickle=True), lambda: mlflow.pyfunc.load_model("m")):
    print(load().unwrap_python_model().predict(None, [1, 2]))
    for name in ("rs_near", "rs_pack"):
        sys.modules.pop(name)
"""
    assert ["[3, 5]", "[3, 5]"] == run_python(code, cwd=tmp_path).stdout.split("\n")[:2]


def test_two_versions_of_one_neighbour_do_not_meet(tmp_path: Path, write: Callable[..., Path]) -> None:
    """Each model is loaded with its own code, in any order, in one process; the one before keeps its own."""
    script = write("import rs_twin, runstone\nrunstone.models.set_model(lambda model_input: rs_twin.VALUE)\n")
    for number in (1, 2):
        (tmp_path / "rs_twin.py").write_text(f"VALUE = {number}\n")
        code = f"""
import runstone
runstone.pyfunc.save_model("m{number}", python_model={str(script)!r}, code_paths=["rs_twin.py"])
"""
        run_python(code, cwd=tmp_path)
    one, two = ours(tmp_path / "m1"), ours(tmp_path / "m2")
    assert (1, 2, 1) == (one.predict(0), two.predict(0), ours(tmp_path / "m1").predict(0))


def test_code_is_found_again_where_somebody_set_the_path_back(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As test runners and notebooks do between two loadings of one model."""
    script = write("import rs_again, runstone\nrunstone.models.set_model(lambda model_input: rs_again.VALUE)\n")
    (tmp_path / "rs_again.py").write_text("VALUE = 1\n")
    code = f"""
import runstone
runstone.pyfunc.save_model("m", python_model={str(script)!r}, code_paths=["rs_again.py"])
"""
    run_python(code, cwd=tmp_path)
    before = list(sys.path)
    assert 1 == ours(tmp_path / "m").predict(0)
    monkeypatch.setattr(sys, "path", before)
    monkeypatch.delitem(sys.modules, "rs_again")
    assert 1 == ours(tmp_path / "m").predict(0)


# --- trust


def test_a_script_needs_trust(tmp_path: Path, write: Callable[..., Path]) -> None:
    """It is not run on the word of its folder; with the digests of git it is, unless it or its neighbour changed."""
    (tmp_path / "rs_side.py").write_text("VALUE = 1\n")
    script = write(
        f"from pathlib import Path\nimport runstone\n\nPath({str(tmp_path / 'ran')!r}).touch()\n"
        "def f(model_input):\n    import rs_side\n    return rs_side.VALUE\n\nrunstone.models.set_model(f)\n"
    )
    save_model(tmp_path / "m", python_model=script, code_paths=[tmp_path / "rs_side.py"])
    (tmp_path / "ran").unlink()
    digests = digests_of(tmp_path / "m")
    with pytest.raises(UntrustedModel) as error:
        load_model(str(tmp_path / "m"))
    assert "model.py" == error.value.file
    assert not (tmp_path / "ran").exists()
    assert 1 == pyfunc.load(tmp_path / "m", trust=Trust(digests)).predict(0)
    (tmp_path / "ran").unlink()
    for file in ("code/rs_side.py", "model.py"):
        (tmp_path / "m" / file).write_text((tmp_path / "m" / file).read_text() + "# more\n")
        with pytest.raises(ModelFileChanged):
            pyfunc.load(tmp_path / "m", trust=Trust(digests))
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["../model.py", "/tmp/../model.py", "C:\\x\\model.py"])
def test_only_the_name_of_a_script_counts(tmp_path: Path, write: Callable[..., Path], path: str) -> None:
    """As MLflow writes the place where it was; nothing outside the folder is run."""
    save_model(tmp_path / "m", python_model=write(FUNCTION.format(library="runstone")))
    write("raise SystemExit('outside')\n")
    text = (tmp_path / "m" / "MLmodel").read_text()
    (tmp_path / "m" / "MLmodel").write_text(text.replace("model_code_path: model.py", f"model_code_path: '{path}'"))
    assert ["A"] == pyfunc.load(tmp_path / "m", trust=ALLOWED).predict(["a"])


# --- scripts that fail


def test_a_script_that_fails_says_where(tmp_path: Path, write: Callable[..., Path]) -> None:
    """The message says what it raised, and the cause shows its line, even when the folder is gone."""
    script = write(FUNCTION.format(library="runstone"))
    save_model(tmp_path / "m", python_model=script)
    (tmp_path / "m" / "model.py").write_text("weights = {}\nweights['missing']  # here\n")
    with pytest.raises(InvalidModelFolder) as error:
        ours(tmp_path / "m")
    assert (
        f"The model folder {tmp_path / 'm'}: its script `model.py` raised KeyError: 'missing'. "
        "See the cause above, correct it, and save it again."
    ) == str(error.value)
    (tmp_path / "m" / "model.py").unlink()
    assert "weights['missing']  # here" in "".join(traceback.format_exception(error.value))
    assert [] == [name for name, module in sys.modules.items() if name.startswith("runstone_model_") and not module]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x =", "raised SyntaxError: invalid syntax (model.py, line 1)"),
        (
            "import runstone\nrunstone.models.set_model(7)",
            "raised UsageError: A int is no model of one's own. Give an instance of `runstone.pyfunc.PythonModel`, a "
            "function of the data, or the path of a script that calls `runstone.models.set_model`.",
        ),
        (
            "import runstone\nrunstone.models.ModelConfig(development_config={'a': 1})",
            "raised UsageError: The script asks for settings, and there are none. Save the model with `model_config`.",
        ),
    ],
)
def test_a_script_that_makes_no_model_is_not_saved(
    tmp_path: Path, write: Callable[..., Path], text: str, why: str
) -> None:
    """Each with the words for it, and nothing is written."""
    with pytest.raises(UsageError) as error:
        save_model(tmp_path / "m", python_model=write(text))
    assert why in str(error.value)
    assert not (tmp_path / "m").exists()


def test_settings_tell_which_there_are(tmp_path: Path) -> None:
    """From a map or a file."""
    (tmp_path / "c.yaml").write_text("a: 1\nb: 2\n")
    settings = ModelConfig(development_config=tmp_path / "c.yaml")
    assert (1, {"a": 1, "b": 2}) == (settings.get("a"), settings.to_dict())
    with pytest.raises(KeyError, match="no setting 'c'; there are a, b"):
        settings.get("c")


def test_scripts_run_one_at_a_time(tmp_path: Path, write: Callable[..., Path]) -> None:
    """Sixteen threads load two scripts, with settings through MLflow's one place: each gets its own."""
    from concurrent.futures import ThreadPoolExecutor

    slow = INSTANCE.format(library="mlflow").replace("settings =", "import time; time.sleep(0.05)\nsettings =")
    script = write(slow)
    for factor in (2, 3):
        save_model(tmp_path / f"m{factor}", python_model=script, model_config={"factor": factor})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda factor: ours(tmp_path / f"m{factor}").predict(FRAME)[0], [2, 3] * 8))
    assert [2.0, 3.0] * 8 == found
