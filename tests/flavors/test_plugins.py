"""Flavors of other distributions: a real one, built into a wheel and installed; broken ones; and ones that lie."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runstone.errors import BrokenFlavor, UnknownFlavor
from runstone.flavors import flavor_names, get_flavor, get_flavor_by_loader
from tests.support import run_python

FLAVOR = '''
"""Numbers in a text file."""
from dataclasses import dataclass
from typing import Any

from runstone.flavors import mlmodel
from runstone.flavors.saving import Weights, save_folder

name = "acme"
loader_modules = ("acme_models.flavor", "mlflow.sklearn")

def version():
    return "1"

def save(model, folder, options):
    def write(target, code):
        (target / "number.txt").write_text(str(model))
        return Weights(settings={"data": "number.txt"}, requirements=[], pyfunc={"loader_module": loader_modules[0]})

    save_folder(folder, name, options, write)

def load(folder, *, trust):
    settings = mlmodel.flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    return float(trust.read(folder, settings["data"]))

@dataclass
class Predictor:
    raw: Any

    def predict(self, data, params):
        return [self.raw * value for value in data]

def load_pyfunc(folder, *, trust):
    return Predictor(load(folder, trust=trust))
'''
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "acme-models"
version = "1.2"
[project.entry-points."runstone.flavors"]
acme = "acme_models.flavor"
sklearn = "acme_models.flavor"
[tool.hatch.build.targets.wheel]
packages = ["acme_models"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution installed: what an installer does with a wheel without scripts is to unpack it."""
    project = tmp_path_factory.mktemp("acme")
    (project / "acme_models").mkdir()
    (project / "acme_models" / "__init__.py").touch()
    (project / "acme_models" / "flavor.py").write_text(FLAVOR)
    (project / "pyproject.toml").write_text(PROJECT)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=project, check=True)
    (wheel,) = (project / "dist").glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def install(site: Path, entry: str, module: str | None = None) -> None:
    """A distribution as it stands in a folder of packages: what importlib.metadata reads, and its module."""
    info = site / "broken_models-0.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-models\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(f"[runstone.flavors]\n{entry}\n")
    if module is not None:
        (site / "rs_broken_flavor.py").write_text(module)


def test_an_installed_flavor_saves_loads_and_predicts(site: Path, tmp_path: Path) -> None:
    """By its name and through `pyfunc`, with no trust since its weights are read as data."""
    code = f"""
import sys; sys.path.insert(0, {str(site)!r})
from pathlib import Path
import runstone
from runstone.flavors import get_flavor, flavor_names
from runstone.flavors.protocol import SaveOptions
get_flavor("acme").save(3, Path("m"), SaveOptions())
print(runstone.pyfunc.load_model("m").predict([1, 2]), "acme" in flavor_names(), get_flavor("sklearn").__name__)
"""
    assert "[3.0, 6.0] True runstone.flavors.sklearn" == run_python(code, cwd=tmp_path).stdout.strip()


def test_a_flavor_of_ours_cannot_be_replaced(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by an entry point of its name nor by a claim to its loader."""
    monkeypatch.syspath_prepend(str(site))
    assert "runstone.flavors.sklearn" == getattr(get_flavor("sklearn"), "__name__", "")
    assert "runstone.flavors.sklearn" == getattr(get_flavor_by_loader("mlflow.sklearn"), "__name__", "")
    assert "acme_models.flavor" == getattr(get_flavor_by_loader("acme_models.flavor"), "__name__", "")
    assert 1 == flavor_names().count("sklearn")


def test_plug_ins_are_not_imported_for_flavors_of_ours(tmp_path: Path) -> None:
    """A broken one is in nobody's way, and no metadata is read."""
    install(tmp_path, "rs_broken = rs_broken_flavor", "raise SystemExit('imported')")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from runstone.flavors import get_flavor, get_flavor_by_loader
get_flavor("sklearn"), get_flavor_by_loader("mlflow.pyfunc.model")
print("rs_broken_flavor" in sys.modules, "runstone.flavors.plugins" in sys.modules)
"""
    assert "False False" == run_python(code, cwd=tmp_path).stdout.strip()


BROKEN = {
    "it raises": ("raise OSError('no licence')", "importing it raised OSError: no licence"),
    "it ends": ("raise SystemExit(1)", "importing it raised SystemExit: 1"),
    "it is not there": (None, "importing it raised ModuleNotFoundError: No module named 'rs_broken_flavor'"),
    "it lacks verbs": (
        "name = 'rs_broken'\ndef save(): ...",
        "`rs_broken_flavor` has no `version`, `load`, `load_pyfunc`",
    ),
    "it has another name": (
        FLAVOR,
        "`rs_broken_flavor` calls itself 'acme'",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plug_in_is_named(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its distribution, what is wrong, and how to be rid of it; also where a loader is looked for in vain."""
    module, problem = BROKEN[what]
    install(tmp_path, "rs_broken = rs_broken_flavor", module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "rs_broken_flavor", raising=False)
    looks: list[tuple[Callable[[str], object], str]]
    looks = [(get_flavor, "rs_broken"), (get_flavor_by_loader, "rs_unknown_loader")]
    for look, name in looks:
        with pytest.raises(BrokenFlavor) as error:
            look(name)
        assert (
            f"The flavor `rs_broken` of broken-models 0.3 cannot be used: {problem}. "
            "Update or remove it: `pip uninstall broken-models`"
        ) == str(error.value)
    with pytest.raises(UnknownFlavor):
        get_flavor("rs_other")
    sys.modules.pop("rs_broken_flavor", None)


def test_a_broken_plug_in_does_not_hide_one_that_works(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are asked before the broken one is told."""
    install(tmp_path / "first", "rs_broken = rs_broken_flavor")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    assert "acme" == get_flavor_by_loader("acme_models.flavor").name
