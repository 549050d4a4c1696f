"""A URI leads to the files that were recorded, each with its digest; what was changed is not handed out."""

from pathlib import Path
from urllib.parse import quote

import pytest

from runstone.errors import (
    AliasNotFound,
    ArtifactCorrupt,
    ArtifactMissing,
    ArtifactNotFound,
    InvalidUri,
    ModelNotFound,
    RunNotFound,
    StageNotFound,
    VersionNotFound,
)
from runstone.registry.alias import set_alias
from runstone.registry.resolve import checked_out, resolve
from runstone.registry.version import ModelVersion, register_version
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import join_run, start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.registry.support import log_model
from tests.support import git


@pytest.mark.parametrize("name", ["churn", "team/my model", "a@b", "100%", "日本"])
def test_every_way_to_say_a_version(workspace: Workspace, model: RunUri, name: str) -> None:
    """By number, by alias, the latest, by run; names as they are or percent-encoded."""
    register_version(workspace, name, model)
    register_version(workspace, name, log_model(workspace, "second-run", text="better"))
    set_alias(workspace.repo, name, "champion", 1)
    first, second = (
        resolve(workspace, "runs:/first-run/model").digests,
        resolve(workspace, "runs:/second-run/model").digests,
    )
    assert (True, {"MLmodel", "sub/weights.bin"}) == (first != second, set(first))
    for written in {name.replace("%", "%25"), quote(name, safe="")}:
        assert first == resolve(workspace, f"models:/{written}/1").digests
        assert first == resolve(workspace, f"models:/{written}@champion").digests
        assert second == resolve(workspace, f"models:/{written}/latest").digests
    with checked_out(workspace, resolve(workspace, "runs:/second-run/model")) as folder:
        assert "better" == (folder / "sub" / "weights.bin").read_text()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("models:/churn/2", VersionNotFound),
        ("models:/other/1", ModelNotFound),
        ("models:/churn@none", AliasNotFound),
        ("models:/churn/Production", StageNotFound),
        ("models:/churn", InvalidUri),
        ("s3://bucket/x", InvalidUri),
        ("runs:/unknown/model", RunNotFound),
        ("runs:/first-run/none", ArtifactNotFound),
        ("runs:/first-run/../x", InvalidUri),
    ],
)
def test_what_leads_nowhere_is_an_error_of_its_kind(
    workspace: Workspace, version: ModelVersion, uri: str, error: type[Exception]
) -> None:
    """Each says what there is."""
    with pytest.raises(error):
        resolve(workspace, uri)


def test_a_model_is_what_it_was_logged_as(workspace: Workspace, version: ModelVersion, tmp_path: Path) -> None:
    """Files that come into its folder later, and a model logged anew over an older one, do not mix."""
    (tmp_path / "extra.txt").write_text("x")
    with join_run(workspace, "first-run") as run:
        run.log_artifact(tmp_path / "extra.txt", "model")
    for uri in ("models:/churn/1", "runs:/first-run/model"):
        assert {"MLmodel", "sub/weights.bin"} == set(resolve(workspace, uri).digests)
    smaller = tmp_path / "smaller"
    smaller.mkdir()
    (smaller / "MLmodel").write_text("flavors: {other: {}}\n")
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id="twice")
    for folder in (workspace.repo.common_dir / "model-of-first-run", smaller):
        run.log_model(folder, "model", ["sklearn"], None)
    assert {"MLmodel"} == set(resolve(workspace, "runs:/twice/model").digests)
    run.end()
    made = register_version(workspace, "churn", RunUri("twice", "model"))
    assert {"MLmodel"} == set(resolve(workspace, f"models:/churn/{made.version}").digests)


def test_bytes_that_were_changed_are_refused(workspace: Workspace, version: ModelVersion) -> None:
    """A file in the cache, and the listing of the folder."""
    resolved = resolve(workspace, "models:/churn/1")
    cache = workspace.artifacts.cache
    for digest in (resolved.digests["sub/weights.bin"], version.digest.removeprefix("md5:")):
        path = cache.path(digest)
        path.chmod(0o644)
        before = path.read_bytes()
        path.write_bytes(before.replace(b"weights", b"WEIGHTS"))
        with pytest.raises(ArtifactCorrupt), checked_out(workspace, resolve(workspace, "models:/churn/1")):
            pass
        path.write_bytes(before)


@pytest.mark.dvc
def test_a_model_is_found_where_plain_dvc_pushed_only_the_run(workspace: Workspace, version: ModelVersion) -> None:
    """Then only the listing of all artifacts is there, and it must still give the digest of the tag."""
    expected = resolve(workspace, "models:/churn/1").digests
    listing = workspace.artifacts.cache.path(version.digest.removeprefix("md5:"))
    text = listing.read_bytes()
    listing.unlink()
    assert (
        expected == resolve(workspace, "models:/churn/1").digests == resolve(workspace, "runs:/first-run/model").digests
    )
    model = RunUri("first-run", "model")
    assert 2 == register_version(workspace, "churn", model).version
    with join_run(workspace, "first-run") as run:
        run.log_bytes(b"more", "model/extra.txt")
    assert expected == resolve(workspace, "models:/churn/1").digests
    with pytest.raises(ArtifactMissing, match="was not registered"):
        register_version(workspace, "churn", model)
    listing.write_bytes(text)
    assert 3 == register_version(workspace, "churn", model).version
    listing.unlink()
    with pytest.raises(ArtifactCorrupt):
        resolve(workspace, "models:/churn/3")
    assert "churn@v3" in git("tag", cwd=workspace.repo.common_dir)
