"""`runstone render`, from the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from runstone.client import Client
from runstone.registry.stage import set_stage
from runstone.registry.version import register_version
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.registry.support import log_model

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke

IMAGE = ("--image", "registry.example.org/{model}:{version}")
PRODUCTION = ("--stage", "Production")


@pytest.fixture
def stocked(workspace: Workspace) -> Workspace:
    """`churn` and `fraud`, each with v1 in Production."""
    for name in ("churn", "fraud"):
        register_version(workspace, name, log_model(workspace, f"{name}-1"))
        set_stage(workspace.repo, name, 1, "Production")
    return workspace


def test_the_check_of_a_pipeline(stocked: Workspace, tmp_path: Path, git_repo: Path, invoke: "Invoke") -> None:
    """A promotion makes it fail and say which files; the same command without it mends that, and only that."""
    folder = tmp_path / "deploy"
    command = ("render", "k8s", *PRODUCTION, *IMAGE, "-o", str(folder))
    missing = invoke(*command, "--check", code=1)
    assert "churn/deployment.yaml: missing\n" in missing.stdout
    assert not folder.exists()
    done = invoke(*command)
    assert "fraud/service.yaml: new\n" in done.stdout
    assert "7 files for churn v1, fraud v1: 7 changes\n" in done.stdout
    assert "7 files for churn v1, fraud v1: all as they should be\n" == invoke(*command, "--check").stdout
    register_version(stocked, "churn", log_model(stocked, "churn-2", text="other"))
    set_stage(stocked.repo, "churn", 2, "Production")
    set_stage(stocked.repo, "fraud", 1, "Archived")
    stale = invoke(*command, "--check", code=1)
    assert [
        "churn/deployment.yaml: differs",
        "churn/service.yaml: differs",
        "fraud/deployment.yaml: not in the registry any more",
        "fraud/kustomization.yaml: not in the registry any more",
        "fraud/service.yaml: not in the registry any more",
        "kustomization.yaml: differs",
        "7 files for churn v2: 6 differences",
    ] == stale.stdout.splitlines()
    assert "the same command without `--check`" in stale.stderr
    told = json.loads(invoke(*command, "--json").stdout)
    assert {"removed": 3, "changed": 3, "same": 1} == {
        change: sum(file["change"] == change for file in told["files"]) for change in ("removed", "changed", "same")
    }
    (deployment,) = told["deployments"]
    assert ("churn", 2, "churn-2", "registry.example.org/churn:2") == (
        deployment["model"],
        deployment["version"],
        deployment["run"],
        deployment["image"],
    )
    assert Client(git_repo).get_model_version("churn", 2).digest == deployment["digest"]
    assert ["churn", "kustomization.yaml"] == sorted(path.name for path in folder.iterdir())
    invoke(*command, "--check")


def test_the_last_model_leaves_the_stage(stocked: Workspace, tmp_path: Path, invoke: "Invoke") -> None:
    """Is an error that leaves the files: to take everything down is a decision of its own."""
    command = ("render", "compose", *PRODUCTION, *IMAGE, "-o", str(tmp_path / "out"))
    invoke(*command)
    for name in ("churn", "fraud"):
        set_stage(stocked.repo, name, 1, "Archived")
    for options in ((), ("--check",)):
        done = invoke(*command, *options, code=1)
        assert "No model has a version in the stage 'Production'. There are versions in Archived." in done.stderr
    assert ["compose.yaml"] == [path.name for path in (tmp_path / "out").iterdir()]


@pytest.mark.parametrize("target", ["k8s", "kserve", "compose"])
def test_a_stream_on_standard_output(stocked: Workspace, target: str, invoke: "Invoke") -> None:
    """YAML and nothing else; that a tag may move is said beside it, and not of a digest."""
    done = invoke("render", target, "churn", *PRODUCTION, *IMAGE)
    assert "A tag may be moved to another image: registry.example.org/churn:1. Pin it by its digest" in done.stderr
    assert list(yaml.safe_load_all(done.stdout))
    pinned = f"registry.example.org/churn@sha256:{'a' * 64}"
    done = invoke("render", target, "churn@v1", "--image", pinned)
    assert ("", True) == (done.stderr, pinned in done.stdout)
    told = json.loads(invoke("render", target, "churn/1", "--image", pinned, "--json").stdout)
    assert pinned == told["deployments"][0]["image"]
    assert all(file["text"].startswith("# Rendered by `runstone render ") for file in told["files"])


def test_the_runtime_of_kserve_is_warned_of(stocked: Workspace, invoke: "Invoke") -> None:
    """It does not look at digests; and it is it or ours."""
    done = invoke("render", "kserve", *PRODUCTION, "--storage-uri", "s3://models/{model}/{version}")
    uris = [document["spec"]["predictor"]["model"]["storageUri"] for document in yaml.safe_load_all(done.stdout)]
    assert ["s3://models/churn/1", "s3://models/fraud/1"] == uris
    assert "KServe's own runtime holds no model against its digest" in done.stderr
    for options in ((), (*IMAGE, "--storage-uri", "s3://x")):
        assert (
            "Give either `--image`, for our server" in invoke("render", "kserve", *PRODUCTION, *options, code=2).stderr
        )


def test_where_replicas_of_ray_get_the_model(stocked: Workspace, git_repo: Path, invoke: "Invoke") -> None:
    """From the git remote, without what nobody else should read; or from what is named."""
    from tests.support import git

    command = ("render", "ray-serve", *PRODUCTION)
    assert "There is no git remote that nodes of a cluster could reach." in invoke(*command, code=2).stderr
    git("remote", "add", "origin", "/some/where.git", cwd=git_repo)
    assert "There is no git remote that nodes of a cluster could reach." in invoke(*command, code=2).stderr
    git("remote", "set-url", "origin", "https://kim:secret@host/team/churn.git", cwd=git_repo)
    done = invoke(*command)
    found = yaml.safe_load(done.stdout)["applications"][0]["args"]
    assert ("https://host/team/churn.git", "models:/churn/1") == (found["repo"], found["uri"])
    found = yaml.safe_load(invoke(*command, "--folder", "/mnt/{model}/{version}").stdout)["applications"][1]["args"]
    assert ("/mnt/fraud/1", False) == (found["uri"], "repo" in found)
    assert "must begin with `/`" in invoke(*command, "--folder", "mnt/{model}", code=2).stderr
    both = ("--from", "https://x/y.git", "--folder", "/mnt")
    assert "Give one of `--from` and `--folder`." in invoke(*command, *both, code=2).stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Servers need an image, which `runstone models build-docker` makes. Name one: `--image '"),
        (
            ("--image", "registry.example.org/{model}"),
            "it has neither a tag nor a digest, so it is whatever is `latest`",
        ),
        ((*IMAGE, "--cpu", "1x"), "'1x' is no amount of processors. Write `2` or `0.5` or `500m`."),
        ((*IMAGE, "--memory", "lots"), "'lots' is no amount of memory. Write `512Mi` or `2G`."),
        ((*IMAGE, "--port", "80"), "80 is not in the range 1024<=x<=65535"),
        ((*IMAGE, "--port", "65536"), "65536 is not in the range 1024<=x<=65535"),
        ((*IMAGE, "--replicas", "0"), "0 is not in the range 1<=x<=10000"),
        ((*IMAGE, "--replicas", "3", "--max-replicas", "2"), "`--max-replicas 2` is less than `--replicas 3`."),
        ((*IMAGE, "--timeout", "0"), "0"),
        ((*IMAGE, "--label", "a b=c"), "The label 'a b' cannot be used"),
        ((*IMAGE, "--namespace", "Prod"), "The namespace 'Prod' cannot be used"),
        ((*IMAGE, "--check"), "`--check` compares a folder with the registry. Name it: `-o DIR`"),
    ],
)
def test_wrong_calls(stocked: Workspace, options: tuple[str, ...], says: str, invoke: "Invoke") -> None:
    """Exit code 2, and nothing on standard output."""
    done = invoke("render", "k8s", *PRODUCTION, *options, code=2)
    assert says in done.stderr
    assert "" == done.stdout


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (("nobody",), "The registry has no model 'nobody'."),
        (("churn@nobody",), "nobody"),
        (("--stage", "Staging"), "No model has a version in the stage 'Staging'. There are versions in Production."),
    ],
)
def test_nothing_to_render(stocked: Workspace, wanted: tuple[str, ...], says: str, invoke: "Invoke") -> None:
    """Exit code 1."""
    given = wanted if "--stage" in wanted else (*wanted, *PRODUCTION)
    assert says in invoke("render", "k8s", *given, *IMAGE, code=1).stderr


def test_a_diverged_registry_is_told(stocked: Workspace, git_repo: Path) -> None:
    """On standard error, so that what is piped stays YAML."""
    from tests.support import git

    git("remote", "add", "origin", "https://host/x.git", cwd=git_repo)
    other = git("commit-tree", "-p", "HEAD~1", "-m", "x", "HEAD~1^{tree}", cwd=git_repo).strip()
    git("update-ref", "refs/remotes/origin/main", other, cwd=git_repo)
    done = run_cli("render", "compose", *PRODUCTION, *IMAGE, cwd=git_repo)
    assert 0 == done.returncode
    assert "each have commits of their own, so the main that is here counts. Join the two: `git pull`" in done.stderr
    assert {"churn", "fraud"} == set(yaml.safe_load(done.stdout)["services"])
