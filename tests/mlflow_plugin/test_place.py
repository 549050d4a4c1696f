"""URIs of repositories, and of artifacts in them."""

from pathlib import Path

import pytest

from runstone.errors import InvalidValue, NotARepository
from runstone.mlflow_plugin.place import open_workspace, split_uri, store_place


def test_the_ways_to_write_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute, as a file URI; with what a URI would have to quote, quoted or not."""
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    for uri in (
        "runstone:.",
        "runstone:",
        "runstone:./",
        f"runstone:{here}",
        f"runstone+file://{here}",
        "runstone://./",
    ):
        assert (here, "") == split_uri(uri)
    assert (f"{here}/sub", "") == split_uri("runstone:sub")
    assert (f"{here}/sub", "") == split_uri(f"runstone+file://localhost{here}/sub")
    odd = tmp_path / "a b#c%20d"
    odd.mkdir()
    assert (str(odd), "") == split_uri(f"runstone:{odd}")
    assert (str(odd), "") == split_uri(f"runstone+file://{here}/a%20b%23c%2520d")


def test_artifacts_are_found_again(tmp_path: Path) -> None:
    """What a place makes of a run, `split_uri` reads; a name with a percent sign stays as it is."""
    folder = tmp_path / "at@home, 100%"
    folder.mkdir()
    uri = store_place(f"runstone:{folder}").run_uri("exp", "abc")
    assert (str(folder), "exp/abc/artifacts") == split_uri(uri)
    assert (str(folder), "exp/abc/artifacts/50%25.txt") == split_uri(f"{uri}/50%25.txt")


def test_a_server_s_root_is_what_clients_are_given(tmp_path: Path) -> None:
    """With its query string after the path; any other root is not heeded."""
    store = f"runstone:{tmp_path}"
    assert "mlflow-artifacts:/e/r/artifacts" == store_place(store, "mlflow-artifacts:/").run_uri("e", "r")
    rooted = store_place(store, "mlflow-artifacts://host:5000/team?x=1")
    assert "mlflow-artifacts://host:5000/team/e/models/m-1/artifacts?x=1" == rooted.model_uri("e", "m-1")
    assert store_place(store).root == store_place(store, "./mlruns").root


@pytest.mark.parametrize("uri", ["file:/x", "runstone+ssh://host/x", "/plain/path", "mlruns"])
def test_other_uris_are_refused(uri: str) -> None:
    """With what to write instead."""
    with pytest.raises(InvalidValue, match="is no `runstone:` URI"):
        split_uri(uri)


def test_another_machine_is_refused() -> None:
    """It is not taken for a folder."""
    with pytest.raises(InvalidValue, match="names the machine 'host'"):
        split_uri("runstone+file://host/path")


def test_a_folder_that_is_no_repository_is_said(tmp_path: Path) -> None:
    """As everywhere."""
    with pytest.raises(NotARepository):
        open_workspace(f"runstone:{tmp_path}")
