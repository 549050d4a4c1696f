"""`--follow`: the registry moves, and so does the server, without a request that fails."""

import json
import os
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas

from runstone.client import Client
from runstone.flavors.schema import ColSpec, DataType, Schema
from runstone.flavors.signature import ModelSignature
from tests.serving.support import Served, save, serving, wait_until
from tests.sharing import Team
from tests.support import git


def publish(repo: Path, factor: float, folder: Path, *, requirement: str = "") -> int:
    """Register a model that multiplies by a factor, and share it; its version."""
    from sklearn.linear_model import LinearRegression

    x = pandas.DataFrame({"x": [0.0, 1.0]})
    model = LinearRegression().fit(x, [0.0, factor])
    save(model, folder, ModelSignature(Schema([ColSpec(DataType.double, "x")])))
    if requirement:
        with (folder / "requirements.txt").open("a") as file:
            file.write(f"\n{requirement}\n")
    client = Client(repo)
    run = client.create_run("0")
    from runstone.flavors import mlmodel

    flavors, signature = mlmodel.describe(folder)
    run.log_model(folder, "model", flavors, signature)
    client.set_terminated(run.info.run_id)
    return int(client.create_model_version("m", f"runs:/{run.info.run_id}/model").version)


def version_of(served: Served) -> Any:
    """Which version is served."""
    return json.loads(served.get("/version")[1])["version"]


def test_a_promotion_elsewhere_is_taken_up(team: Team, tmp_path: Path) -> None:
    """Somebody else moves the alias; the server fetches, loads and swaps, and no request fails meanwhile."""
    ann = team.folder / "ann"
    publish(ann, 2.0, tmp_path / "one")
    Client(ann).set_registered_model_alias("m", "champion", 1)
    git("push", "-q", "origin", "main", cwd=ann)
    bob = team.clone("bob")
    git("fetch", "-q", "origin", "+refs/heads/runs:refs/remotes/origin/runs", "refs/tags/*:refs/tags/*", cwd=bob)
    arguments = ["models:/m@champion", "--follow", "--follow-every", "1"]
    with serving(*arguments, cwd=bob) as served:
        assert 1 == version_of(served)
        answers: list[tuple[int, Any]] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                answers.append(served.post("/invocations", {"inputs": {"x": [1.0]}}))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            publish(ann, 3.0, tmp_path / "two")
            Client(ann).set_registered_model_alias("m", "champion", 2)
            git("push", "-q", "origin", "main", cwd=ann)
            wait_until(lambda: version_of(served) == 2, 60)
            wait_until(lambda: round(answers[-1][1]["predictions"][0]) == 3)
        finally:
            done.set()
            thread.join()
        assert {200} == {status for status, _ in answers}
        assert [2, 3] == sorted({round(answer["predictions"][0]) for _, answer in answers})
        assert 'runstone_model_swaps_total{outcome="loaded"} 1.0' in served.get("/metrics")[1].decode()
        # What cannot be resolved any more changes nothing.
        team.remote.rename(team.folder / "away.git")
        wait_until(lambda: any(line["event"] == "follow-failed" for line in served.log()), 60)
        assert (200, {"predictions": [3.0]}) == rounded(served.post("/invocations", {"inputs": {"x": [1.0]}}))
        assert 0 == served.stop()


def failures(served: Served) -> list[str]:
    """What the log says went wrong with following."""
    return [line["error"] for line in served.log() if line["event"] == "follow-failed"]


def test_what_cannot_be_served_leaves_the_old_model(git_repo: Path, tmp_path: Path) -> None:
    """A version whose packages are not here, an alias that is gone: the old model goes on, and the log says why."""
    publish(git_repo, 2.0, tmp_path / "one")
    client = Client(git_repo)
    client.set_registered_model_alias("m", "champion", 1)
    for number, line in ((2, "no-such-thing==1.0"), (3, "")):
        folder = tmp_path / f"v{number}"
        publish(git_repo, float(number + 1), folder, requirement=line)
    with serving("models:/m@champion", "--follow", "--workers", "2", cwd=git_repo) as served:
        client.set_registered_model_alias("m", "champion", 2)
        wait_until(lambda: any("no-such-thing==1.0 is asked for" in each for each in failures(served)), 60)
        assert 1 == version_of(served)
        client.delete_registered_model_alias("m", "champion")
        wait_until(lambda: any(each.startswith("AliasNotFound") for each in failures(served)), 60)
        assert 1 == version_of(served)
        client.set_registered_model_alias("m", "champion", 3)
        wait_until(lambda: {version_of(served) for _ in range(10)} == {3}, 60)
        # Ten answers may all be of one worker: what they count together tells that both have swapped.
        wait_until(lambda: {"1": "0.0", "3": "1.0"} == shown(served), 60)
        assert 0 == served.stop()


def shown(served: Served) -> dict[str, str]:
    """What the metrics say of each version: 1 if it is what is served, 0 if it no longer is."""
    lines = [line for line in served.get("/metrics")[1].decode().splitlines() if "model_info{" in line]
    return dict(re.findall('version="(.)".* (.+)', "\n".join(lines)))


def test_a_fetch_that_hangs(git_repo: Path, tmp_path: Path) -> None:
    """Keeps nobody from seeing what moves here, and not the server from ending."""
    publish(git_repo, 2.0, tmp_path / "one")
    publish(git_repo, 3.0, tmp_path / "two")
    client = Client(git_repo)
    client.set_registered_model_alias("m", "champion", 1)
    begun = tmp_path / "begun"
    git("remote", "add", "origin", "ssh://example.org/none", cwd=git_repo)
    git("config", "core.sshCommand", f"echo $$ >> {begun}; exec sleep 600 #", cwd=git_repo)
    try:
        with serving("models:/m@champion", "--follow", "--follow-every", "0.5", cwd=git_repo) as served:
            wait_until(begun.exists, 60)
            client.set_registered_model_alias("m", "champion", 2)
            wait_until(lambda: version_of(served) == 2, 60)
            assert 0 == served.stop()
    finally:
        for pid in begun.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def rounded(answer: tuple[int, Any]) -> tuple[int, Any]:
    """An answer without the last bits."""
    return answer[0], {"predictions": [round(value, 6) for value in answer[1]["predictions"]]}
