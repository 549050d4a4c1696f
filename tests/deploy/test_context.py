"""Writing serving contexts: what is in them, what stands in their way, and that they appear whole or not at all."""

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

import runstone
from runstone.deploy import own_wheel
from runstone.deploy.context import Choices, write_context
from runstone.errors import (
    ContextRefused,
    InvalidModelFolder,
    InvalidValue,
    ModelNotFound,
    OutputRefused,
    RemoteNotConfigured,
    WheelhouseFailed,
)
from runstone.serving import packed
from runstone.serving.resolve import identify
from runstone.tracking.workspace import Workspace
from tests.support import run_python

MLMODEL = "artifact_path: model\nflavors:\n  python_function:\n    loader_module: runstone.none\n"
PYTHON = "python: 3.12.4\n"


def log(folder: Path, requirements: str = "numpy==2.1.0\n", python: str = PYTHON, name: str = "churn") -> str:
    """Register a model folder, written by hand; the run's id."""
    model = folder / "written"
    model.mkdir(exist_ok=True)
    (model / "MLmodel").write_text(MLMODEL)
    (model / "requirements.txt").write_text(requirements)
    (model / "python_env.yaml").write_text(python)
    with runstone.start_run() as run:
        runstone.log_artifacts(str(model), "model")
    runstone.register_model(f"runs:/{run.info.run_id}/model", name)
    return run.info.run_id


def read_all(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_in_it(here: Path, tmp_path: Path) -> None:
    """The model, what it is, what it needs, and files that anybody may read."""
    run_id = log(tmp_path, "numpy==2.1.0\nmlflow==2.17\n# words\n")
    old = os.umask(0o077)
    try:
        context = write_context(Workspace.open(here), "models:/churn/latest", tmp_path / "context")
    finally:
        os.umask(old)
    found = read_all(tmp_path / "context")
    model = {"model/MLmodel", "model/requirements.txt", "model/python_env.yaml"}
    rest = {packed.FILE, "Dockerfile", ".dockerignore", "requirements.txt", f"wheels/{own_wheel.NAME}"}
    assert model | rest == set(found)
    assert f"numpy==2.1.0\n./wheels/{own_wheel.NAME}\n" == found["requirements.txt"].decode()
    told = json.loads(found[packed.FILE])
    version = runstone.Client().get_model_version("churn", 1)
    assert ("models:/churn/latest", "models:/churn/1", "churn", 1) == (
        *(told["uri"], told["pinned"], told["model"], told["version"]),
    )
    assert (run_id, version.digest, "3.12") == (told["run"], told["digest"], told["python"])
    assert packed.read(tmp_path / "context") == context.packed
    assert "python:3.12-slim" == context.base_image
    assert b"ARG BASE_IMAGE=python:3.12-slim\n" in found["Dockerfile"]
    paths = [tmp_path / "context", *(tmp_path / "context").rglob("*")]
    assert {0o755, 0o644} == {stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_the_same_uri_gives_the_same_bytes(here: Path, tmp_path: Path) -> None:
    """On another day, in another folder, in another process; a context that is there is replaced."""
    log(tmp_path)
    workspace = Workspace.open(here)
    one, other = tmp_path / "one", tmp_path / "other"
    write_context(workspace, "models:/churn/1", one)
    code = (
        "from pathlib import Path; from runstone.deploy.context import write_context; "
        "from runstone.tracking.workspace import Workspace; "
        f"write_context(Workspace.open({str(here)!r}), 'models:/churn/1', Path({str(other)!r}))"
    )
    run_python(code, cwd=tmp_path, env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    assert read_all(one) == read_all(other)
    (one / "model" / "MLmodel").write_text("changed")
    write_context(workspace, "models:/churn/1", one)
    assert read_all(one) == read_all(other)


def test_a_folder_that_is_no_context_stays(here: Path, tmp_path: Path) -> None:
    """Nor one into which something else was put; `force` replaces either, and an empty folder is nobody's."""
    log(tmp_path)
    workspace, target = Workspace.open(here), tmp_path / "context"
    target.mkdir()
    write_context(workspace, "models:/churn/1", target)
    (target / "notes.txt").write_text("mine")
    before = read_all(target)
    with pytest.raises(OutputRefused) as caught:
        write_context(workspace, "models:/churn/1", target)
    assert (
        f"Nothing was written to {target}: it exists, and is no serving context alone. "
        "Name another folder; or, if nothing in it is needed, replace it: `--force`"
    ) == str(caught.value)
    assert before == read_all(target)
    write_context(workspace, "models:/churn/1", target, force=True)
    assert "notes.txt" not in read_all(target)
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "file").write_text("mine")
    for name in ("link", "file", "missing/context"):
        with pytest.raises(OutputRefused):
            write_context(workspace, "models:/churn/1", tmp_path / name)
    assert "mine" == (tmp_path / "file").read_text()


@pytest.mark.parametrize("name", ["", "..", "inner"])
def test_what_force_never_replaces(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A repository, what holds one's own folder, and that folder itself: a slip of the keyboard took all of it away."""
    log(tmp_path)
    (here / "inner").mkdir()
    monkeypatch.chdir(here / "inner")
    workspace = Workspace.open(here)
    with pytest.raises(OutputRefused, match="which is not replaced"):
        write_context(workspace, "models:/churn/1", here / name, force=True)
    assert (here / ".git").is_dir()


def test_nothing_is_left_of_what_fails(here: Path, tmp_path: Path) -> None:
    """Neither the folder nor the hidden one, and what was there stays."""
    log(tmp_path)
    workspace, target = Workspace.open(here), tmp_path / "out" / "context"
    target.parent.mkdir()
    write_context(workspace, "models:/churn/1", target)
    before = read_all(target)
    (tmp_path / "written" / "data.bin").write_bytes(b"weights")
    log(tmp_path)
    cached = [path for path in here.rglob("*") if path.is_file() and path.read_bytes() == b"weights"]
    assert cached, "the bytes lie in the cache"
    for path in cached:
        path.chmod(0o644)
        path.unlink()
    with pytest.raises(RemoteNotConfigured):  # where the bytes could be got from
        write_context(workspace, "models:/churn/2", target)
    with pytest.raises(ModelNotFound):
        write_context(workspace, "models:/other/1", target)
    with pytest.raises(InvalidValue):
        write_context(workspace, "models:/churn/1", target, Choices(base_image="x\nRUN evil"))
    with pytest.raises(InvalidValue, match="The platform 'windows' is none"):
        write_context(workspace, "models:/churn/1", target, Choices(has_wheels=True, platform="windows"))
    assert before == read_all(target)
    assert [target] == list(target.parent.iterdir())


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("python: 3.9.1\n", "it asks for Python 3.9, and Runstone serves with 3.11 and newer"),
        ("python: '3.12 AS x'\n", None),
        ('python: "3\\nRUN evil"\n', "it asks for Python '3\\nRUN evil', which there is not"),
        ("python: 4.0.0\n", "it asks for Python '4.0.0', which there is not"),
    ],
)
def test_the_python_that_a_model_asks_for(here: Path, tmp_path: Path, python: str, why: str | None) -> None:
    """Its minor version alone counts, and nothing else of the text goes further."""
    log(tmp_path, python=python)
    workspace = Workspace.open(here)
    if why is None:
        assert "python:3.12-slim" == write_context(workspace, "models:/churn/1", tmp_path / "c").base_image
        return
    with pytest.raises(ContextRefused) as caught:
        write_context(workspace, "models:/churn/1", tmp_path / "c")
    assert why == caught.value.why


def test_requirements_that_lead_elsewhere(here: Path, tmp_path: Path) -> None:
    """Options and paths are left out and told of; a URL is refused, and no variable of the environment goes into it."""
    text = "--extra-index-url https://example.org\n-r other.txt\n./local\nnumpy==2.1.0 \\\n  --hash=sha256:00\n"
    log(tmp_path, text)
    context = write_context(Workspace.open(here), "models:/churn/1", tmp_path / "c")
    assert ("--extra-index-url https://example.org", "-r other.txt", "./local") == context.left_out
    assert ["numpy==2.1.0", f"./wheels/{own_wheel.NAME}"] == (tmp_path / "c/requirements.txt").read_text().split()
    log(tmp_path, "evil @ https://example.org/${AWS_SECRET_ACCESS_KEY}/evil.whl\n")
    with pytest.raises(ContextRefused, match="asks for `evil` by a URL"):
        write_context(Workspace.open(here), "models:/churn/2", tmp_path / "d")


def test_what_is_no_model(here: Path, tmp_path: Path) -> None:
    """A folder of other files."""
    with runstone.start_run() as run:
        (tmp_path / "a.txt").write_text("a")
        runstone.log_artifact(str(tmp_path / "a.txt"), "folder")
    with pytest.raises(ContextRefused, match="it has no `MLmodel` file"):
        write_context(Workspace.open(here), f"runs:/{run.info.run_id}/folder", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_wheels_that_cannot_be_had(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip says is told, and nothing is written."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    log(tmp_path, "no-such-thing==1.0\n")
    with pytest.raises(WheelhouseFailed) as caught:
        write_context(Workspace.open(here), "models:/churn/1", tmp_path / "c", Choices(has_wheels=True))
    assert "No matching distribution found for no-such-thing==1.0" in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_a_context_whose_file_contradicts_itself(here: Path, tmp_path: Path) -> None:
    """It is not served, nor are files of other forms; each is told of, and none is a bug."""
    log(tmp_path)
    folder = tmp_path / "c"
    write_context(Workspace.open(here), "models:/churn/1", folder)
    document = json.loads((folder / packed.FILE).read_text())
    files = document["files"]
    for change in (
        {"digest": "md5:" + "0" * 32 + ".dir"},
        {"files": {**files, "extra": "0" * 32}},
        {"files": {**files, "../../etc/passwd": "0" * 32}},
        {"files": {**files, "MLmodel": 5}},
        {"files": None},
        {"version": "1"},
        {"version": True},
        {"model": ["x"]},
        {"digest": None},
        {"format": 2},
    ):
        (folder / packed.FILE).write_text(json.dumps({**document, **change}))
        with pytest.raises(InvalidModelFolder):
            identify(None, str(folder))
    for text in ("", "[]", "{", "[" * 100_000, '"x"'):
        (folder / packed.FILE).write_text(text)
        with pytest.raises(InvalidModelFolder):
            identify(None, str(folder))


def test_the_wheel_of_this_runstone(tmp_path: Path) -> None:
    """It holds the code, the schemas and the templates; its record is right, and it runs without this tree."""
    data = own_wheel.build()
    assert data == own_wheel.build()
    (tmp_path / own_wheel.NAME).write_bytes(data)
    with zipfile.ZipFile(tmp_path / own_wheel.NAME) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    assert {"runstone/schemas/run.v1.json", "runstone/templates/Dockerfile", "runstone/serving/app.py"} <= names
    assert not [name for name in names if "__pycache__" in name]
    code = (
        f"import sys; sys.path[:] = [{str(tmp_path / 'site')!r}, *sys.path]; import runstone; from importlib import "
        "metadata; m = metadata.distribution('runstone'); "
        "import base64, hashlib; of = lambda f: hashlib.sha256(f.locate().read_bytes()).digest(); "
        "bad = [str(f) for f in m.files if f.hash and base64.urlsafe_b64encode(of(f)).decode() != f.hash.value + '=']; "
        "print(runstone.__file__, m.version, bad)"
    )
    said = run_python(code, cwd=tmp_path).stdout.split(" ", 2)
    assert [str(tmp_path / "site/runstone/__init__.py"), runstone.__version__, "[]\n"] == said
