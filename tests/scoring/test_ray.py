"""Scoring on a local Ray: the same files, byte for byte, as on one machine."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.data", reason="the extra `ray` is not installed")

from tests.cli.support import run_cli  # after what may skip the file
from tests.scoring.support import left_in


@pytest.mark.timeout(300)
def test_the_same_result_as_here(folder: Path, table: Any, tmp_path: Path) -> None:
    """A folder of Parquet, with ids; then a file in it that is damaged: nothing is left."""
    given = tmp_path / "in"
    given.mkdir()
    for number in range(4):
        table[number * 2 : number * 2 + 2].to_parquet(given / f"{number}.parquet")
    common = ("predict", str(folder), "-i", "in", "--id", "id", "--allow-pickle", "--no-run")
    here = run_cli(*common, "-o", "here", cwd=tmp_path)
    assert 0 == here.returncode, here.stderr
    there = run_cli(*common, "-o", "there", "--engine", "ray", cwd=tmp_path)
    assert 0 == there.returncode, there.stderr
    assert left_in(tmp_path / "here") == left_in(tmp_path / "there")
    for name in left_in(tmp_path / "here"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    path = given / "2.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * (len(whole) // 3) + whole[4 + len(whole) // 3 :])
    failed = run_cli(*common, "-o", "third", "--engine", "ray", cwd=tmp_path)
    assert 1 == failed.returncode, failed.stderr
    assert "2.parquet: it cannot be read as Parquet" in failed.stderr
    assert ["here", "in", "linear", "there"] == left_in(tmp_path)


@pytest.mark.timeout(120)
def test_no_cluster_at_the_address(folder: Path, table: Any, tmp_path: Path) -> None:
    """Is told, with how to start one."""
    (tmp_path / "in").mkdir()
    table.to_parquet(tmp_path / "in" / "0.parquet")
    # Not `auto`: another test may have a cluster on this machine.
    options = ("--engine", "ray", "--address", "127.0.0.1:1", "--allow-pickle", "--no-run")
    done = run_cli("predict", str(folder), "-i", "in", "-o", "out", *options, cwd=tmp_path)
    assert 2 == done.returncode, done.stderr
    assert "There is no Ray cluster at '127.0.0.1:1'" in done.stderr
    file = run_cli("predict", str(folder), "-i", "in/0.parquet", "-o", "out.parquet", *options, cwd=tmp_path)
    assert "`--engine ray` scores a folder into a folder" in file.stderr
