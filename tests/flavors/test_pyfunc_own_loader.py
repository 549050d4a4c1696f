"""Models that bring the module that loads them: MLflow's `loader_module` and `data_path`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest

from runstone.errors import InvalidModelFolder, ModelFileChanged, UnknownFlavor, UntrustedModel, UsageError
from runstone.flavors import pyfunc
from runstone.flavors.trust import Trust
from runstone.pyfunc import load_model, save_model
from tests.flavors.support import ALLOWED, digests_of

LOADER = """
from pathlib import Path

class Model:
    def __init__(self, path, config):
        self.path, self.config = Path(path), config

    def predict(self, data, params=None):
        text = self.path.read_text() if self.path.is_file() else sorted(p.name for p in self.path.iterdir())
        return [text, (self.config or {}).get("sign"), data]

def _load_pyfunc(path, model_config=None):
    return Model(path, model_config)
"""


@pytest.fixture
def loader(tmp_path: Path) -> Path:
    """A module of a name that no other test imports."""
    path = tmp_path / f"rs_loader_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(LOADER)
    (tmp_path / "weights.txt").write_text("42")
    return path


def ours(path: Path) -> Any:
    """Loaded by us."""
    return load_model(str(path), allow_pickle=True)


def theirs(path: Path) -> Any:
    """Loaded by MLflow."""
    return mlflow.pyfunc.load_model(str(path))


@pytest.mark.mlflow
@pytest.mark.parametrize("load", [ours, theirs])
@pytest.mark.parametrize("save", [save_model, mlflow.pyfunc.save_model])
def test_a_module_of_the_folder_loads_its_data(
    tmp_path: Path, loader: Path, save: Callable[..., None], load: Callable[[Path], Any]
) -> None:
    """Whoever saves and loads; with settings it is given them."""
    for name, config in (("m", None), ("c", {"sign": "-"})):
        save(
            path=str(tmp_path / name),
            loader_module=loader.stem,
            data_path=str(tmp_path / "weights.txt"),
            code_paths=[str(loader)],
            model_config=config,
            pip_requirements=["a"],
        )
        assert ["42", (config or {}).get("sign"), 7] == load(tmp_path / name).predict(7)


@pytest.mark.mlflow
def test_data_may_be_a_folder_or_the_model_folder_itself(tmp_path: Path, loader: Path) -> None:
    """A package may load it, too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w").write_text("")
    save_model(tmp_path / "m", loader.stem, tmp_path / "data", code_paths=[loader])
    save_model(tmp_path / "n", loader.stem, code_paths=[loader])
    assert ["w"] == ours(tmp_path / "m").predict(0)[0] == theirs(tmp_path / "m").predict(0)[0]
    found = pyfunc.load(tmp_path / "n", trust=Trust(digests_of(tmp_path / "n"))).predict(0)[0]
    assert ["MLmodel", "code", "conda.yaml", "python_env.yaml", "requirements.txt"] == found
    package = tmp_path / f"rs_package_{loader.stem}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text(LOADER)
    save_model(tmp_path / "p", f"{package.name}.inner", tmp_path / "weights.txt", code_paths=[package])
    assert "42" == ours(tmp_path / "p").predict(0)[0] == theirs(tmp_path / "p").predict(0)[0]


def test_the_module_needs_trust(tmp_path: Path, loader: Path) -> None:
    """It is code: not imported on the word of the folder, nor when it is not what git recorded."""
    loader.write_text(f"{LOADER}\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    save_model(tmp_path / "m", loader.stem, tmp_path / "weights.txt", code_paths=[loader])
    digests = digests_of(tmp_path / "m")
    with pytest.raises(UntrustedModel):
        pyfunc.load(tmp_path / "m", trust=Trust())
    for file in (f"code/{loader.name}", "data/weights.txt"):
        original = (tmp_path / "m" / file).read_text()
        (tmp_path / "m" / file).write_text(f"{original}\n")
        with pytest.raises(ModelFileChanged):
            pyfunc.load(tmp_path / "m", trust=Trust(digests))
        assert not (tmp_path / "ran").exists()
        (tmp_path / "m" / file).write_text(original)
    assert "42" == pyfunc.load(tmp_path / "m", trust=Trust(digests)).predict(0)[0]


def test_a_file_that_git_did_not_record_is_no_loader(
    tmp_path: Path, loader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With digests, what somebody laid beside the recorded code is not there."""
    save_model(tmp_path / "m", loader.stem, tmp_path / "weights.txt", code_paths=[loader])
    digests = digests_of(tmp_path / "m")
    text = (tmp_path / "m" / "MLmodel").read_text()
    (tmp_path / "m" / "MLmodel").write_text(text.replace(loader.stem, "rs_added"))
    (tmp_path / "m" / "code" / "rs_added.py").write_text(LOADER)
    with pytest.raises(UnknownFlavor):
        pyfunc.load(tmp_path / "m", trust=Trust({**digests, "MLmodel": digests_of(tmp_path / "m")["MLmodel"]}))
    assert "rs_added" not in sys.modules


def test_an_installed_module_does_not_stand_in_for_the_folders_own(tmp_path: Path, loader: Path) -> None:
    """A name that is imported already, as `json`, is an error and not a call of that module."""
    (tmp_path / "json.py").write_text(LOADER)
    save_model(tmp_path / "m", "json", tmp_path / "weights.txt", code_paths=[tmp_path / "json.py"])
    with pytest.raises(InvalidModelFolder, match=r"its module `json` was not imported, since .* is imported already"):
        ours(tmp_path / "m")


@pytest.mark.parametrize("name", ["os", "runstone.flavors.sklearn", "../loader", "", "a b"])
def test_a_loader_that_is_not_in_the_code_is_refused(tmp_path: Path, loader: Path, name: str) -> None:
    """At saving, as it would be at loading."""
    with pytest.raises(UsageError) as error:
        save_model(tmp_path / "m", name, tmp_path / "weights.txt", code_paths=[loader])
    assert f"`loader_module`: {name} is not in `code_paths`. Give its file or folder there." == str(error.value)
    with pytest.raises(UsageError, match="`data_path`: there is no"):
        save_model(tmp_path / "m", loader.stem, tmp_path / "missing", code_paths=[loader])
    assert not (tmp_path / "m").exists()


def test_a_module_that_fails_is_an_error_that_says_so(tmp_path: Path, loader: Path) -> None:
    """With the cause attached."""
    loader.write_text("def _load_pyfunc(path):\n    raise OSError('no weights')\n")
    save_model(tmp_path / "m", loader.stem, tmp_path / "weights.txt", code_paths=[loader])
    with pytest.raises(InvalidModelFolder) as error:
        pyfunc.load(tmp_path / "m", trust=ALLOWED)
    assert f"its module `{loader.stem}` raised OSError: no weights" == error.value.problem
    assert isinstance(error.value.__cause__, OSError)
