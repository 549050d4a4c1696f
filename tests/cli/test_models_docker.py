"""`runstone models generate-dockerfile` and `build-docker`, from the command line.

That an image would serve is proved in tests/deploy/test_context_proof.py, by the context's own steps. No engine is at
hand here: what `build-docker` tells one is recorded by a program of that name, which builds nothing.
"""

import json
import sys
from pathlib import Path

import pytest

import runstone
from tests.cli.support import run_cli
from tests.deploy.test_context import log, read_all

ID = "sha256:" + "4f" * 32
RECORDER = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

arguments = sys.argv[1:]
context = Path(arguments[-1])
there = sorted(path.name for path in context.iterdir())
given = dict(word.partition("=")[::2] for word in arguments if word.startswith("--"))
told = {{"arguments": arguments, "files": there, "requirements": (context / "requirements.txt").read_text()}}
Path(os.environ["TOLD"]).write_text(json.dumps(told))
print("Step 1/9 of the engine")
Path(given["--iidfile"]).write_text("{ID}\\n")
sys.exit(int(os.environ.get("ENDS_WITH", "0")))
"""


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    """An empty folder that is all of the path, so that no engine of the machine is found."""
    (tmp_path / "engines").mkdir()
    return tmp_path / "engines"


@pytest.fixture
def env(engines: Path, tmp_path: Path) -> dict[str, str]:
    """Variables under which only what is put among the engines is found; git is, too."""
    import shutil

    git = shutil.which("git")
    assert git is not None
    (engines / "git").symlink_to(git)
    return {"PATH": str(engines), "TOLD": str(tmp_path / "told.json"), "TMPDIR": str(tmp_path)}


def install(engines: Path, name: str) -> None:
    """Put a recorder in the place of an engine."""
    (engines / name).write_text(RECORDER)
    (engines / name).chmod(0o755)


def test_a_context(here: Path, tmp_path: Path) -> None:
    """Its folder on standard output, what to do with it beside that; again with `--json`."""
    log(tmp_path)
    runstone.Client().set_registered_model_alias("churn", "champion", 1)
    digest = runstone.Client().get_model_version("churn", 1).digest
    done = run_cli("models", "generate-dockerfile", "churn@champion", "-o", "../my context", cwd=here)
    assert (0, "../my context\n") == (done.returncode, done.stdout)
    assert (
        "Build it: `docker build -t NAME '../my context'`\n"
        f"Serve it here: `runstone serve '../my context' --digest {digest}`\n"
    ) == done.stderr
    done = run_cli("models", "generate-dockerfile", "churn/1", "-o", "-c", "--json", cwd=here)
    assert 0 == done.returncode, done.stderr
    document = json.loads(done.stdout)
    assert ("-c", "models:/churn/1", 1, digest, "python:3.12-slim", None, []) == tuple(
        document[key] for key in "path pinned version digest base_image wheels left_out".split()
    )
    assert (here / "-c" / "Dockerfile").is_file()


def test_what_is_in_the_way(here: Path, tmp_path: Path) -> None:
    """Stays, unless `--force` is given."""
    log(tmp_path)
    (here / "out").mkdir()
    (here / "out" / "thesis.tex").write_text("mine")
    done = run_cli("models", "generate-dockerfile", "churn", "-o", "out", cwd=here)
    assert (1, "") == (done.returncode, done.stdout)
    assert "it exists, and is no serving context alone" in done.stderr
    assert {"thesis.tex": b"mine"} == read_all(here / "out")
    done = run_cli("models", "generate-dockerfile", "churn", "-o", "out", "--force", cwd=here)
    assert (0, "out\n") == (done.returncode, done.stdout)


def test_what_is_left_out_is_told(here: Path, tmp_path: Path) -> None:
    """As it stands, in quotes, without what would change a terminal."""
    log(tmp_path, "numpy==2.1.0\n--index-url http://x/\x1b[31m\n")
    done = run_cli("models", "generate-dockerfile", "churn", "-o", "out", cwd=here)
    assert 0 == done.returncode
    assert "Left out of the model's requirements, since it means nothing in an image: '--index-url" in done.stderr
    assert "\x1b[31m" not in done.stderr


def test_a_model_with_a_hostile_name(here: Path, tmp_path: Path) -> None:
    """It can be packed, and its name stands in quotes."""
    name = 'a"$HOME\\'
    log(tmp_path, name=name)
    done = run_cli("models", "generate-dockerfile", f"models:/{name}/1", "-o", "out", cwd=here)
    assert 0 == done.returncode, done.stderr
    assert 'LABEL "runstone.model"="a\\"\\$HOME\\\\"\n' in (here / "out/Dockerfile").read_text()


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_what_an_engine_is_told(here: Path, tmp_path: Path, engines: Path, env: dict[str, str], engine: str) -> None:
    """A recorder stands for the engine, so this shows the arguments alone: none can be taken for another option."""
    log(tmp_path)
    install(engines, engine)
    arguments = ("models", "build-docker", "churn/1", "-t", "registry.example.org:5000/team/churn:1")
    done = run_cli(*arguments, "--platform", "linux/arm64", cwd=here, env=env)
    name = "registry.example.org:5000/team/churn:1"
    assert (0, f"{name} {ID}\n") == (done.returncode, done.stdout), done.stderr
    assert "Step 1/9 of the engine\n" in done.stderr
    runner = "podman" if engine == "buildah" else engine
    assert f"Run it: `{runner} run --rm --read-only --tmpfs /tmp -p 8080:8080 {ID}`" in done.stderr
    assert f"`{engine} push " in done.stderr
    told = json.loads(Path(env["TOLD"]).read_text())
    verb, *options, context = told["arguments"]
    assert "build" == verb
    formats = [] if engine == "docker" else ["--format=docker"]
    assert [f"--tag={name}", f"--file={context}/Dockerfile", *formats, "--platform=linux/arm64"] == [
        option for option in options if not option.startswith("--iidfile=")
    ]
    assert [".dockerignore", "Dockerfile", "model", "requirements.txt", "runstone-serving.json", "wheels"] == (
        told["files"]
    )
    assert "numpy==2.1.0" in told["requirements"]
    assert not Path(context).exists()


def test_the_first_engine_that_is_there(here: Path, tmp_path: Path, engines: Path, env: dict[str, str]) -> None:
    """Docker, then podman; `--engine` chooses. Recorders stand for both."""
    log(tmp_path)
    install(engines, "podman")
    document = json.loads(run_cli("models", "build-docker", "churn", "-t", "c", "--json", cwd=here, env=env).stdout)
    assert ("podman", "c", ID, "models:/churn/1") == tuple(document[key] for key in "engine image id pinned".split())
    install(engines, "docker")
    for options, expected in (((), "docker"), (("--engine", "podman"), "podman")):
        done = run_cli("models", "build-docker", "churn", "-t", "c", "--json", *options, cwd=here, env=env)
        assert expected == json.loads(done.stdout)["engine"]


def test_an_engine_that_fails(here: Path, tmp_path: Path, engines: Path, env: dict[str, str]) -> None:
    """Its own words were shown, and the way to look into it is told. A recorder stands for the engine."""
    log(tmp_path)
    install(engines, "docker")
    done = run_cli("models", "build-docker", "churn/1", "-t", "c", cwd=here, env={**env, "ENDS_WITH": "17"})
    assert (1, "") == (done.returncode, done.stdout)
    assert (
        "No image was built: docker ended with 17; what it said stands above. To look into what it built from: "
        "`runstone models generate-dockerfile models:/churn/1 -o context`"
    ) in done.stderr


def test_no_engine(here: Path, tmp_path: Path, env: dict[str, str]) -> None:
    """What to install, and what can be done without one."""
    log(tmp_path)
    done = run_cli("models", "build-docker", "churn/1", "-t", "churn:1", cwd=here, env=env)
    assert (1, "") == (done.returncode, done.stdout)
    assert (
        "No image was built: neither docker nor podman nor buildah is installed. Install one; or write the folder to "
        "build from, for a machine that has one: `runstone models generate-dockerfile models:/churn/1 -o context`"
    ) in done.stderr
    done = run_cli("models", "build-docker", "churn/1", "-t", "churn:1", "--engine", "podman", cwd=here, env=env)
    assert "No image was built: `podman` is not installed." in done.stderr


@pytest.mark.parametrize("name", ["--output=x", "Churn", "a b", "a;b", "$(id)", "a\nb"])
def test_a_name_that_no_image_can_have(
    here: Path, tmp_path: Path, engines: Path, env: dict[str, str], name: str
) -> None:
    """It is refused before an engine is asked. A recorder stands for the engine."""
    log(tmp_path)
    install(engines, "docker")
    done = run_cli("models", "build-docker", "churn/1", f"--tag={name}", cwd=here, env=env)
    assert (2, "") == (done.returncode, done.stdout)
    assert f"{name!r} cannot be the name of an image" in done.stderr
    assert not Path(env["TOLD"]).exists()


def test_help_has_examples(tmp_path: Path) -> None:
    """Of both; outside any repository."""
    for command in ("generate-dockerfile", "build-docker"):
        done = run_cli("models", command, "--help", cwd=tmp_path)
        assert 0 == done.returncode
        assert f"  runstone models {command} churn" in done.stdout
