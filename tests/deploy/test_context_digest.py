"""A folder without a repository, served by the digest that git recorded, and by no other."""

import json
from pathlib import Path

import pytest

for _module in ("uvicorn", "httptools", "orjson", "prometheus_client", "sklearn"):
    pytest.importorskip(_module, reason="the extras `serve` and `sklearn` are not installed")

from runstone.errors import ArtifactCorrupt, ModelFileChanged, UntrustedModel  # noqa: E402  # after what may skip the file
from runstone.serving.packed import digest_of, hash_files  # noqa: E402  # after what may skip the file
from runstone.serving.resolve import identify, load  # noqa: E402  # after what may skip the file
from tests.cli.support import run_cli  # noqa: E402  # after what may skip the file
from tests.serving.support import save_odd, serving  # noqa: E402  # after what may skip the file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with pickled weights and code of its own."""
    return save_odd(tmp_path / "model")


def test_the_digest_vouches_for_the_folder(folder: Path) -> None:
    """With it the pickle loads, and without it does not."""
    digest = digest_of(hash_files(folder))
    identity = identify(None, str(folder), digest=digest)
    assert digest == identity.digest
    assert load(None, identity).identity.digest == digest
    with pytest.raises(UntrustedModel):
        load(None, identify(None, str(folder)))


def test_another_digest(folder: Path) -> None:
    """It is refused before anything is read of the model."""
    wanted = "md5:" + "0" * 32 + ".dir"
    with pytest.raises(ArtifactCorrupt) as caught:
        identify(None, str(folder), digest=wanted)
    found = digest_of(hash_files(folder)).removeprefix("md5:")
    assert (
        f"{folder} should hold the artifact bytes {wanted}, but its content has md5:{found}: it was damaged or "
        "changed, and was not used. Serve what was meant: get it again, or pin the digest that git recorded."
    ) == str(caught.value)


@pytest.mark.parametrize("change", ["model.pkl", "MLmodel", "new.txt"])
def test_a_folder_that_changes_after_it_was_identified(folder: Path, change: str) -> None:
    """As between the start of a server and that of its workers: the digest counts when the model is loaded."""
    identity = identify(None, str(folder), digest=digest_of(hash_files(folder)))
    with (folder / change).open("ab") as file:
        file.write(b"\n")
    with pytest.raises((ArtifactCorrupt, ModelFileChanged)):
        load(None, identity)


def test_a_server_by_a_digest(folder: Path, tmp_path: Path) -> None:
    """It serves the pickle, tells the digest, and takes no `--follow` beside it."""
    digest = digest_of(hash_files(folder))
    with serving(str(folder), "--digest", digest, cwd=tmp_path) as served:
        assert 200 == served.odd("answer")[0]
        assert digest == json.loads(served.get("/version")[1])["digest"]
        assert 0 == served.stop()
    done = run_cli("serve", str(folder), "--digest", digest, "--follow", cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert "`--follow` takes up other models than the one of `--digest`: give one of the two." in done.stderr
