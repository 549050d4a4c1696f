import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runstone._version import __version__
from runstone.errors import EnvironmentFailed, EnvironmentNotBuilt, PythonMissing, RecordInvalid, RequirementRefused
from runstone.git.runs.branch import update_runs
from runstone.projects.checkout import checkout
from runstone.projects.environment import build_environment, find_package, project_name
from runstone.projects.rerun import plan_rerun, prepare
from runstone.tracking.read import need_recorded
from runstone.tracking.workspace import Workspace
from tests.projects.support import make_wheel, record
from tests.support import SOURCE, git

HERE = platform.python_version()
MINOR = ".".join(HERE.split(".")[:2])
_UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))

# A build backend of its own, so that nothing is fetched to build: it writes an editable wheel by hand.
_BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name, info = "churn-0.1-py3-none-any.whl", "churn-0.1.dist-info"
    import os
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("churn.pth", os.getcwd() + "\\n")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: churn\\nVersion: 0.1\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        files = ["churn.pth", info + "/METADATA", info + "/WHEEL", info + "/RECORD"]
        wheel.writestr(info + "/RECORD", "".join(file + ",,\\n" for file in files))
    return name
build_wheel = build_editable
"""


@pytest.fixture(params=["pip", "uv"])
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Each installer in turn, with a folder of wheels as the only index."""
    folders = [f for f in os.environ["PATH"].split(os.pathsep) if not (Path(f) / "uv").exists()]
    if request.param == "uv":
        if _UV is None:
            pytest.skip("uv is not installed")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "uv").symlink_to(_UV)
        folders.insert(0, str(tmp_path / "bin"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent / "none"), *folders]))
    index = tmp_path / "index"
    make_wheel(index, "alpha", "1.0")
    make_wheel(index, "alpha", "2.0")
    make_wheel(index, "beta", "3.1")
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
    }.items():
        monkeypatch.setenv(name, value)
    return str(request.param)


def ask(python: Path, code: str) -> str:
    """What a program prints in an environment, nothing of ours on its path."""
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_has_the_packages_as_pinned(tool: str, tmp_path: Path) -> None:
    """Exact versions; the project and Runstone from their source; what differs, and what cannot be had, is named."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "churn.py").write_text("WHERE = __file__\n")
    (project / "backend.py").write_text(_BACKEND)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "Churn"\nversion = "0.1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    text = (
        "alpha==1.0\nbeta==3.1\n# churn==0.1 (editable install)\n# runstone==0.1 (local install at 3f0c)\n"
        "# private-lib==7 (local install)\n"
    )
    told: list[str] = []
    near = f"{MINOR}.999"
    python = build_environment(tmp_path / "venv", text, near, project=project, warn=told.append)
    assert "1.0 3.1" == ask(python, "import alpha, beta; print(alpha.VERSION, beta.VERSION)")
    assert str(project / "churn.py") == ask(python, "import churn; print(churn.WHERE)")
    import runstone.errors

    assert runstone.errors.__file__ == ask(python, "import runstone.errors; print(runstone.errors.__file__)")
    assert HERE == ask(python, "import platform; print(platform.python_version())")
    assert [
        f"The run used Python {near}, and this environment has {HERE}, the nearest that is here.",
        f"The run had `runstone==0.1`; this environment has the Runstone that made it, {__version__}.",
        "Not installed, since only the machine of the run had them: private-lib==7.",
    ] == told
    assert not (tmp_path / "venv.log").exists()


def test_a_package_that_is_gone_is_named(tool: str, tmp_path: Path) -> None:
    """No such version, or no such package: the error names it, with the installer's words and a log; no half venv."""
    for number, line in enumerate(["alpha==9.9", "no-such-thing==1.0"][: 2 if tool == "uv" else 1]):  # pip is slow
        with pytest.raises(EnvironmentFailed) as caught:
            build_environment(tmp_path / f"venv-{number}", f"beta==3.1\n{line}\n", HERE, log=tmp_path / "log")
        assert line == caught.value.package
        assert f"the package `{line}` cannot be installed" in str(caught.value)
        assert line.split("==")[0] in (tmp_path / "log").read_text()
        assert not (tmp_path / f"venv-{number}").exists()


def test_a_package_that_no_longer_builds_is_named(tool: str, tmp_path: Path) -> None:
    """The build of a source package fails: the error names the package."""
    if tool == "pip":
        pytest.skip("slow; what pip says is in the table below")
    import io
    import tarfile

    with tarfile.open(tmp_path / "index" / "gamma-1.0.tar.gz", "w:gz") as archive:
        for name, text in (
            ("pyproject.toml", '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'),
            ("b.py", "def build_wheel(*args, **more):\n    raise SystemExit('no compiler')\n"),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: gamma\nVersion: 1.0\n"),
        ):
            info = tarfile.TarInfo(f"gamma-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    with pytest.raises(EnvironmentFailed) as caught:
        build_environment(tmp_path / "venv", "alpha==1.0\ngamma==1.0\n", HERE)
    assert "gamma==1.0" == caught.value.package
    assert "no compiler" in caught.value.log.read_text()


def test_a_python_that_is_not_here_is_told(tool: str, tmp_path: Path) -> None:
    """Without one of the same minor version the error says how to get it, and nothing is made."""
    with pytest.raises(PythonMissing, match=r"there is no Python 3\.4 here. Install one, and have `python3\.4` on the"):
        build_environment(tmp_path / "far", "", "3.4.1")
    assert not (tmp_path / "far").exists()


def test_a_checkout_builds_its_environment_or_goes_without(
    tool: str, workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    """The environment lies in the checkout; where it fails the rest stays, and the log is in git's folder.

    For a rerun it is no use: there the checkout is removed, and the error is that of the package.
    """
    if tool == "pip":
        pytest.skip("slow; the same but for the installer")
    run_id = record(workspace)
    file = f"{need_recorded(workspace, run_id).folder}/requirements.txt"
    update_runs(workspace.repo, lambda draft: draft.commit({file: "alpha==1.0\n"}, "Rewrite"))
    made = checkout(workspace, "past", environment=True)
    assert made.python == made.path / ".runstone" / "venv" / "bin" / "python"
    assert "1.0" == ask(made.python, "import alpha; print(alpha.VERSION)")
    assert "" == git("status", "--porcelain", cwd=made.path)
    update_runs(workspace.repo, lambda draft: draft.commit({file: "alpha==9.9\n"}, "Rewrite"))
    with pytest.raises(EnvironmentNotBuilt, match=r"the package `alpha==9\.9` cannot be installed") as caught:
        checkout(workspace, "past", tmp_path / "out", environment=True)
    assert f"All but the environment is in {tmp_path / 'out'}; remove it: " in str(caught.value)
    assert "print('trained')\n" == (tmp_path / "out" / "train.py").read_text()
    assert not (tmp_path / "out" / ".runstone" / "venv").exists()
    cause = caught.value.cause
    assert isinstance(cause, EnvironmentFailed)
    assert project / ".git" / "runstone" / "logs" / f"environment-{run_id}.log" == cause.log
    assert cause.log.exists()
    with pytest.raises(EnvironmentFailed):
        prepare(workspace, plan_rerun(workspace, "past", ["true"]), tmp_path / "again", environment=True)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("line", [f"# runstone=={__version__} (local install)", f"runstone=={__version__}"])
def test_runstone_is_the_one_that_runs_though_no_index_offers_it(tool: str, tmp_path: Path, line: str) -> None:
    """Installed as the README says, it lies among other packages, and not in a source tree: it is copied.

    Answers the report that `--env` failed with "the package runstone==0.1.0 cannot be installed".
    """
    if tool == "pip" and line.startswith("#"):
        pytest.skip("slow; the same but for the installer")
    installed = tmp_path / "site-packages"
    shutil.copytree(SOURCE / "runstone", installed / "runstone", ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "neighbour.py").touch()
    code = (
        "import sys; from pathlib import Path; from runstone.projects.environment import build_environment\n"
        f"print(build_environment(Path('venv'), {line + chr(10)!r} + 'beta==3.1\\n', None, warn=print))"
    )
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    told, python = done.stdout.splitlines()
    assert "The run did not record its version of Python; the one that runs Runstone is used." == told
    found = ask(
        Path(python), "import runstone, beta, importlib.util as u; print(runstone.__file__, u.find_spec('neighbour'))"
    )
    assert f"{next((tmp_path / 'venv' / 'lib').glob('python*'))}/site-packages/runstone/__init__.py None" == found
    version = "from importlib.metadata import version; print(version('runstone'))"
    assert __version__ == ask(Path(python), version)


def test_another_version_of_runstone_is_installed_if_it_can_be_had(tool: str, tmp_path: Path) -> None:
    """Of an index; where no index offers it, this one takes its place, and that is told."""
    if tool == "pip":
        pytest.skip("slow; the same but for the installer")
    make_wheel(tmp_path / "index", "runstone", "0.0.1", "VERSION = 'old'\n")
    told: list[str] = []
    python = build_environment(tmp_path / "one", "runstone==0.0.1\n", HERE, warn=told.append)
    assert "old" == ask(python, "import runstone; print(runstone.VERSION)")
    assert [] == told
    python = build_environment(tmp_path / "two", "runstone==0.0.2\n", HERE, warn=told.append)
    assert __version__ == ask(python, "import runstone; print(runstone.__version__)")
    assert [f"The run had `runstone==0.0.2`; this environment has the Runstone that made it, {__version__}."] == told


@pytest.mark.parametrize(
    ("text", "version", "error"), [("-r x", HERE, RequirementRefused), ("", "--help", RecordInvalid)]
)
def test_nothing_is_made_of_what_is_refused(tmp_path: Path, text: str, version: str, error: type[Exception]) -> None:
    """Options in place of packages or of a version of Python start no installer."""
    with pytest.raises(error):
        build_environment(tmp_path / "venv", text, version)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR: No matching distribution found for old.thing==1.0", "old-thing"),
        (
            "  × No solution found when resolving:\n  ╰─▶ Because there is no version of\n      old-thing==1",
            "old-thing",
        ),
        ("  ╰─▶ Because old-thing was not found in the provided package locations", "old-thing"),
        ("  × Failed to build `old-thing==1.0`", "old-thing"),
        ("  × Failed to download `old_thing @ git+https://host.example/x@3f0c`", "old-thing"),
        ("  ERROR: Failed building wheel for old-thing", "old-thing"),
        ("ERROR: Failed to build installable wheels for some pyproject.toml based projects (old-thing)", "old-thing"),
        ("ERROR: Could not install: old-thing", "old-thing"),
        ("ERROR: the disk is full", None),
        ("Collecting old-thing\nERROR: No matching distribution found for unasked==2", None),
        (
            "Collecting fine==1\nCollecting old-thing==1.0 (from -r x (line 2))\n"
            "  error: subprocess-exited-with-error\n  × Preparing metadata (pyproject.toml) did not run successfully.",
            "old-thing",
        ),
    ],
)
def test_installers_words_are_understood(said: str, expected: str | None) -> None:
    """What pip and uv print when a package cannot be had names the package; else none is named."""
    assert expected == find_package(said, ["fine", "old-thing"])


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("pyproject.toml", '[project]\nname = "My.Pkg"\n', "my-pkg"),
        ("pyproject.toml", '[tool.poetry]\nname = "pkg"\n', "pkg"),
        ("pyproject.toml", "[tool.ruff]\n", None),
        ("pyproject.toml", "broken [", None),
        ("pyproject.toml", "tool = 1\n", None),
        ("setup.cfg", "[metadata]\nname = pkg\n", "pkg"),
        ("setup.py", "setup(\n    name='pkg',\n)", "pkg"),
        ("README", "", None),
    ],
)
def test_a_source_tree_says_which_package_it_is(tmp_path: Path, file: str, text: str, expected: str | None) -> None:
    """From pyproject.toml, setup.cfg or setup.py; nothing is executed for it."""
    (tmp_path / file).write_text(text)
    assert expected == project_name(tmp_path)
