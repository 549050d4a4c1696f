"""What the flavors share: a model folder into the active run, its registration, and out with the trust it earns."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

import runstone
from runstone.errors import ArtifactCorrupt, InvalidModelFolder, InvalidName, NotYetRegistered, UntrustedModel
from tests.support import run_python

pytestmark = pytest.mark.usefixtures("here")

X = np.arange(12.0).reshape(6, 2)
Y = X.sum(axis=1)


def test_a_logged_model_is_in_the_record_and_loads_again() -> None:
    """From the live run and from the recorded one; what `log_model` returns says where."""
    with runstone.start_run() as run:
        made = runstone.sklearn.log_model(
            LinearRegression().fit(X, Y), "model", input_example=X[:2], params={"kind": "linear"}
        )
        assert np.allclose(Y, runstone.sklearn.load_model(made.model_uri).predict(X))
    (reference,) = runstone.get_run(run.id).models
    assert (f"runs:/{run.id}/model", reference.digest, reference.size, reference.flavors) == (
        made.model_uri,
        made.digest,
        made.size,
        made.flavors,
    )
    assert (True, {"kind": "linear"}) == (made.signature is not None, runstone.get_run(run.id).params)
    assert np.allclose(Y, runstone.pyfunc.load_model(made.model_uri).predict(X).ravel())


def test_a_model_is_registered_when_its_run_ends() -> None:
    """The tag needs the run's commit; also where the block fails, as the model was logged before."""
    with pytest.raises(ZeroDivisionError), runstone.start_run():  # noqa: PT012  # the block is what is tested
        made = runstone.sklearn.log_model(LinearRegression().fit(X, Y), "model", registered_model_name="linear")
        assert "linear" == made.registered_model_name
        assert [] == list(runstone.Client().search_model_versions())
        1 / 0  # noqa: B018  # the point
    version = runstone.Client().get_model_version("linear", 1)
    assert (made.run_id, made.digest) == (version.run_id, version.digest)
    assert np.allclose(Y, runstone.sklearn.load_model("models:/linear/latest").predict(X))


def test_what_would_refuse_the_registration_is_said_at_once(here: Path) -> None:
    """A bad name, and a run that another process will end."""
    model = LinearRegression().fit(X, Y)
    with runstone.start_run(run_id="parent"):
        with pytest.raises(InvalidName):
            runstone.sklearn.log_model(model, "model", registered_model_name="a\nb")
        with pytest.raises(NotYetRegistered):
            runstone.register_model("runs:/parent/model", "linear")
        code = """
import runstone, runstone.sklearn
from sklearn.linear_model import LinearRegression
from runstone.errors import NotYetRegistered
with runstone.start_run():
    try:
        runstone.sklearn.log_model(LinearRegression(), 'model', registered_model_name='linear')
    except NotYetRegistered:
        print('refused')
"""
        assert "refused" == run_python(code, cwd=here, env={"RUNSTONE_RUN_ID": "parent"}).stdout.strip()
    assert [] == list(runstone.Client().search_registered_models())


def test_changed_weights_are_not_loaded(here: Path) -> None:
    """A pickle in the cache that is not the one git recorded: nothing of it is run."""
    with runstone.start_run():
        made = runstone.sklearn.log_model(LinearRegression().fit(X, Y), "model", serialization_format="pickle")
    cache = runstone.Client().workspace.artifacts.cache
    (weights,) = [e.md5 for e in cache.read_dir(made.digest.removeprefix("md5:")) if e.path.endswith(".pkl")]
    path = cache.path(weights)
    path.chmod(0o644)
    path.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    for load in (runstone.sklearn.load_model, runstone.pyfunc.load_model):
        with pytest.raises(ArtifactCorrupt):
            load(made.model_uri)
    assert not (here / "pwned").exists()


def test_a_copy_is_kept_and_a_folder_needs_trust(tmp_path: Path) -> None:
    """`dst_path` keeps the folder; loading from it again needs the caller's word, since no digest vouches for it."""
    with runstone.start_run() as run:
        made = runstone.sklearn.log_model(LinearRegression().fit(X, Y), "deep/model", serialization_format="pickle")
    runstone.sklearn.load_model(made.model_uri, tmp_path)
    with pytest.raises(UntrustedModel):
        runstone.sklearn.load_model(str(tmp_path / "model"))
    assert np.allclose(Y, runstone.sklearn.load_model(str(tmp_path / "model"), allow_pickle=True).predict(X))
    with pytest.raises(
        InvalidModelFolder, match=r"it is neither a folder nor a .* URI\. Name a folder, or `models:/NAME/VERSION`"
    ):
        runstone.sklearn.load_model(str(tmp_path / "missing"))
    with pytest.raises(InvalidModelFolder, match="is a file, and a model is a folder"):
        runstone.sklearn.load_model(f"runs:/{run.id}/deep/model/MLmodel")
