"""What is to run: chosen out of a real registry, with its images."""

import warnings
from pathlib import Path

import pytest

from runstone.deploy.chosen import Chosen, choose
from runstone.deploy.deployment import Resources, Settings, deploy
from runstone.errors import (
    AliasNotFound,
    ImageRefused,
    InvalidName,
    InvalidQuantity,
    ModelNotFound,
    NothingInStage,
    RegistryUnread,
    StageNotFound,
    UsageError,
    VersionNotFound,
)
from runstone.git.repository import Repository
from runstone.registry import branch
from runstone.registry.alias import set_alias
from runstone.registry.retire import retire_version
from runstone.registry.stage import set_stage
from runstone.registry.version import register_version
from runstone.tracking.workspace import Workspace
from tests.registry.support import log_model
from tests.support import git

IMAGE = "registry.example.org/{model}:{version}"


@pytest.fixture
def stocked(workspace: Workspace) -> Workspace:
    """`churn` with v1 and v2 in Production and v3 as `champion`, `Fraud/eu` with v1 in Production, `idle` in none."""
    for number in (1, 2, 3):
        register_version(workspace, "churn", log_model(workspace, f"churn-{number}", text=str(number)))
    register_version(workspace, "Fraud/eu", log_model(workspace, "fraud-1"))
    register_version(workspace, "idle", log_model(workspace, "idle-1"))
    for name, number in (("churn", 1), ("churn", 2), ("Fraud/eu", 1)):
        set_stage(workspace.repo, name, number, "Production")
    set_alias(workspace.repo, "churn", "champion", 3)
    return workspace


def told(found: list[Chosen]) -> list[tuple[str, int, str | None, str | None]]:
    """Model, version, stage, alias."""
    return [(each.version.name, each.version.version, each.stage, each.alias) for each in found]


def test_a_stage(stocked: Workspace) -> None:
    """Every model that has a version in it, the newest of several, however the stage is written."""
    expected = [("Fraud/eu", 1, "Production", None), ("churn", 2, "Production", None)]
    assert expected == told(choose(stocked.repo, [], "Production"))
    assert expected == told(choose(stocked.repo, [], "production"))
    assert expected == told(choose(stocked.repo, ["churn", "Fraud/eu"], "PRODUCTION"))
    assert expected[1:] == told(choose(stocked.repo, ["churn"], "Production"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/churn@champion", (3, None, "champion")),
        ("churn@champion", (3, None, "champion")),
        ("churn@v1", (1, None, None)),
        ("models:/churn@v1", (1, None, None)),
        ("churn/2", (2, None, None)),
        ("models:/churn/2", (2, None, None)),
        ("models:/churn/production", (2, "Production", None)),
        ("models:/churn/latest", (3, None, None)),
    ],
)
def test_a_version_by_name(stocked: Workspace, text: str, expected: tuple[int, str | None, str | None]) -> None:
    """By an alias, by a number in three ways, by a stage; beside a stage, too."""
    assert [("churn", *expected)] == told(choose(stocked.repo, [text], None))
    assert [("churn", *expected)] == told(choose(stocked.repo, [text], "Staging"))


@pytest.mark.parametrize(
    ("wanted", "stage", "error", "says"),
    [
        ([], None, UsageError, "Name what is to run: models, or a stage: `--stage Production`"),
        ([], "Staging", NothingInStage, "No model has a version in the stage 'Staging'. There are versions in Product"),
        (["idle"], "Production", StageNotFound, "The model 'idle' has no version in the stage 'Production'."),
        (["nobody"], "Production", ModelNotFound, "The registry has no model 'nobody'."),
        (["churn@nobody"], None, AliasNotFound, ""),
        (["churn/9"], None, VersionNotFound, ""),
        (
            ["churn"],
            None,
            UsageError,
            "Which version of 'churn'? Name its stage: `--stage Production`; or `NAME@ALIAS`",
        ),
        (
            ["runs:/churn-1/model"],
            None,
            UsageError,
            "'runs:/churn-1/model' is no version of a model, so nobody has app",
        ),
        (["churn/1", "churn@champion"], None, UsageError, "The model 'churn' is named twice; one folder holds one ver"),
        ([], "latest", InvalidName, ""),
        ([], "../x", InvalidName, ""),
    ],
)
def test_what_cannot_be_chosen(
    stocked: Workspace, wanted: list[str], stage: str | None, error: type[Exception], says: str
) -> None:
    """A stage without versions, models and versions that there are not, and what is no version."""
    with pytest.raises(error) as caught:
        choose(stocked.repo, wanted, stage)
    assert str(caught.value).startswith(says)


def test_an_empty_registry(workspace: Workspace) -> None:
    """Has nothing in any stage."""
    with pytest.raises(NothingInStage, match="No version of any model is in a stage"):
        choose(workspace.repo, [], "Production")


def test_a_version_that_is_retired(stocked: Workspace) -> None:
    """Is not run, though a file still says so; nor is an older one in its place."""
    path = Path("registry/churn/stages/Production.yaml")
    folder = stocked.repo.work_tree
    assert folder is not None
    text = (folder / path).read_text()
    set_stage(stocked.repo, "churn", 2, "None")
    retire_version(stocked, "churn", 2, reason="wrong data")
    (folder / path).write_text(text)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "Back", cwd=folder)
    for wanted in ([], ["churn"]):
        with pytest.raises(VersionNotFound):
            choose(Workspace.open(folder).repo, wanted, "Production")


def test_a_file_that_cannot_be_read(stocked: Workspace) -> None:
    """Is an error: what it says is not known, and that a model left the stage would be a guess."""
    folder = stocked.repo.work_tree
    assert folder is not None
    (folder / "registry/churn/stages/Production.yaml").write_text("schema: runstone/stage/v1\nversions: [two]\n")
    git("commit", "-q", "-a", "-m", "Break", cwd=folder)
    for wanted in ([], ["churn"]):
        with pytest.raises(RegistryUnread, match=r"^Nothing was rendered, as a file of the registry cannot be read: "):
            choose(Repository.open(folder), wanted, "Production")
    assert [("Fraud/eu", 1, "Production", None)] == told(choose(Repository.open(folder), ["Fraud/eu"], "Production"))


def test_a_registry_that_has_diverged(stocked: Workspace, bare_remote: Path) -> None:
    """Is told, and the side that counts is rendered: without reviews what is here, with reviews what is there."""
    folder = stocked.repo.work_tree
    assert folder is not None
    git("remote", "add", "origin", bare_remote, cwd=folder)
    git("push", "-q", "origin", "main", cwd=folder)
    git("fetch", "-q", cwd=folder)
    set_stage(stocked.repo, "churn", 3, "Production")
    git(
        "update-ref",
        "refs/remotes/origin/main",
        git("commit-tree", "-p", "HEAD~1", "-m", "x", "HEAD~1^{tree}", cwd=folder).strip(),
        cwd=folder,
    )
    with pytest.warns(branch.BranchesDiffer):
        found = choose(Workspace.open(folder).repo, ["churn"], "Production")
    assert 3 == found[0].version.version
    (folder / "runstone.yaml").write_text("promotion: review\n")
    with pytest.warns(branch.BranchesDiffer):
        found = choose(Repository.open(folder), ["churn"], "Production")
    assert 2 == found[0].version.version


def test_images(stocked: Workspace) -> None:
    """A template for all, and one of its own for a model; a digest is what pins."""
    chosen = choose(stocked.repo, [], "Production")
    pinned = f"registry.example.org:5000/a/b@sha256:{'a' * 64}"
    fraud, churn = deploy(chosen, Settings(), images=[IMAGE, f"Fraud/eu={pinned}"])
    assert (pinned, True) == (fraud.image, fraud.is_pinned)
    assert ("registry.example.org/churn:2", False) == (churn.image, churn.is_pinned)
    assert ("churn", "models:/churn/2", "churn-2") == (churn.name, churn.uri, churn.run)
    version = chosen[1].version
    assert (version.digest, version.commit) == (churn.digest, churn.commit)
    assert fraud.name.startswith("fraud-eu-")
    staged = deploy(chosen, Settings(suffix="-staging"), images=[IMAGE])[1]
    assert ("churn-staging", "registry.example.org/churn:2") == (staged.name, staged.image)


@pytest.mark.parametrize(
    ("images", "error", "says"),
    [
        (
            ["registry.example.org/{model}"],
            ImageRefused,
            "it has neither a tag nor a digest, so it is whatever is `lat",
        ),
        (["registry.example.org:5000/{model}"], ImageRefused, "it has neither a tag nor a digest"),
        (["r.example.org/{model}:latest"], ImageRefused, "`latest` is another image tomorrow"),
        (["R.example.org/{model}:UP CASE"], ImageRefused, "no engine takes such a name"),
        (["r.example.org/{model}:1;rm -rf /"], ImageRefused, "no engine takes such a name"),
        ([f"r.example.org/x@sha256:{'a' * 63}"], ImageRefused, "no engine takes such a name"),
        (["r.example.org/one:1"], ImageRefused, "'Fraud/eu' and 'churn' would both run in it"),
        (["r.example.org/{modle}:1"], UsageError, "`{modle}` in 'r.example.org/{modle}:1' stands for nothing."),
        (["churn=r.example.org/x:1"], UsageError, "No image is named for 'Fraud/eu': `--image 'Fraud/eu=NAME'`"),
        ([IMAGE, "chrun=r.example.org/x:1"], UsageError, "`--image chrun=…` names a model that is not rendered."),
        ([IMAGE, "r.example.org/x:1"], UsageError, "Several images are named for all models."),
    ],
)
def test_images_that_are_refused(stocked: Workspace, images: list[str], error: type[Exception], says: str) -> None:
    """What is not surely the image that was meant, and what is no image."""
    with pytest.raises(error) as caught:
        deploy(choose(stocked.repo, [], "Production"), Settings(), images=images)
    assert says in str(caught.value)


def test_settings_that_contradict() -> None:
    """Are refused before anything is written."""
    with pytest.raises(UsageError, match=r"^The limit of 500m processors is less than the 1 that are asked for\.$"):
        Resources(cpu_limit="500m")
    with pytest.raises(UsageError, match=r"^The limit of 1G memory is less than the 1Gi asked for\.$"):
        Resources(memory_limit="1G")
    with pytest.raises(UsageError, match=r"^`--max-replicas 1` is less than `--replicas 2`\.$"):
        Settings(replicas=2, max_replicas=1)
    with pytest.raises(InvalidQuantity):
        Resources(cpu="1x")
    with pytest.raises(InvalidName):
        Settings(namespace="No Space")
    with pytest.raises(UsageError, match=r"^The label `app\.kubernetes\.io/name` is set by what is rendered\."):
        Settings(labels={"app.kubernetes.io/name": "x"})


def test_a_suffix_that_is_none(stocked: Workspace) -> None:
    """A name must stay one; `/` would be a folder."""
    for suffix in ("/..", "-", "-X", "x" * 60):
        with pytest.raises(InvalidName):
            deploy(choose(stocked.repo, ["churn/1"], None), Settings(suffix=suffix), images=[IMAGE])


def test_no_warning_without_a_reason(stocked: Workspace) -> None:
    """A plain registry is read in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 2 == len(choose(stocked.repo, [], "Production"))
