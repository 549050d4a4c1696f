"""Ray Serve: the file by Ray's own schema, and on a local Ray, asked over HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

for _module in ("ray.serve", "dvc", "sklearn", "uvicorn", "orjson", "prometheus_client"):
    pytest.importorskip(
        _module, reason="the extras `ray-serve`, `dvc`, `serve` and `sklearn` are not installed", exc_type=ImportError
    )

from runstone.client import Client  # noqa: E402  # after what may skip the file
from runstone.errors import ArtifactCorrupt, UsageError  # noqa: E402  # after what may skip the file
from runstone.serving import ray_app  # noqa: E402  # after what may skip the file
from tests.cli.support import environment, run_cli  # noqa: E402  # after what may skip the file
from tests.deploy.rendered import deployment, load_yaml, text_of  # noqa: E402  # after what may skip the file
from tests.scoring.support import linear  # noqa: E402  # after what may skip the file
from tests.sharing import Team  # noqa: E402  # after what may skip the file
from tests.support import git  # noqa: E402  # after what may skip the file


def validate(document: Any) -> Any:
    """The configuration as Ray reads it; raises what pydantic raises."""
    from ray.serve.schema import ServeDeploySchema

    return ServeDeploySchema.model_validate(document)


def test_the_file_is_what_ray_takes() -> None:
    """With a repository or a folder, with a number of replicas or a range of them."""
    made = [
        deployment("churn", source="https://host/team/churn.git", replicas=2, cpu="500m", memory="512Mi"),
        deployment("Fraud", source="/mnt/models/fraud/3", max_replicas=5, timeout_s=90.5),
    ]
    read = validate(load_yaml(text_of("ray-serve", made, "serve.yaml")))
    first, second = read.applications
    assert ("churn", "/churn", "runstone.serving.ray_app:build") == (first.name, first.route_prefix, first.import_path)
    assert {
        "uri": "models:/churn/3",
        "repo": "https://host/team/churn.git",
        "digest": made[0].digest,
        "timeout_s": 60.0,
    } == first.args
    assert (2, 0.5, 512 * 2**20) == (
        first.deployments[0].num_replicas,
        first.deployments[0].ray_actor_options.num_cpus,
        first.deployments[0].ray_actor_options.memory,
    )
    assert {"uri": "/mnt/models/fraud/3", "digest": made[1].digest, "timeout_s": 90.5} == second.args
    assert (1, 5) == (
        second.deployments[0].autoscaling_config["min_replicas"],
        second.deployments[0].autoscaling_config["max_replicas"],
    )
    assert 101 == second.deployments[0].graceful_shutdown_timeout_s
    assert 90.5 == read.http_options.request_timeout_s


@pytest.mark.parametrize(
    "broken",
    [
        {"applications": [{"name": "a", "import_path": "nothing"}]},
        {"applications": [{"name": "a", "import_path": "a:b", "deployments": [{"name": "m", "num_replicas": -1}]}]},
        {"proxy_location": "Moon", "applications": []},
    ],
)
def test_the_schema_refuses_what_is_broken(broken: dict[str, Any]) -> None:
    """So that the test above can fail."""
    import pydantic

    with pytest.raises(pydantic.ValidationError):
        validate(broken)


def test_the_deployment_has_the_name_that_the_file_says() -> None:
    """Ray refuses settings of a deployment that the application has not."""
    application = ray_app.build({"uri": "/nowhere"})
    config = load_yaml(text_of("ray-serve", [deployment(source="/mnt")], "serve.yaml"))
    assert config["applications"][0]["deployments"][0]["name"] == application._bound_deployment.name


def test_arguments_that_are_none() -> None:
    """Are told by name, before a replica starts."""
    with pytest.raises(UsageError, match=r"^There is no argument 'digst'\. Under `args` stand `uri`, `repo`, "):
        ray_app.build({"uri": "models:/churn/1", "digst": "md5:x"})
    with pytest.raises(UsageError, match=r"^The argument `uri` is missing\."):
        ray_app.build({})


@pytest.fixture
def published(team: Team, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a repository that others pushed a model to, with a version in Production."""
    import runstone.sklearn

    clone = team.clone("dora")
    monkeypatch.chdir(clone)
    git("commit", "-q", "--allow-empty", "-m", "Code", cwd=clone)
    model, x = linear()
    with runstone.start_run():
        made = runstone.sklearn.log_model(model, "model", input_example=x)
    runstone.register_model(made.model_uri, "churn")
    client = Client(clone)
    client.transition_model_version_stage("churn", 1, "Production")
    git("push", "-q", "origin", "HEAD", cwd=clone)
    client.sync()
    return clone


@contextmanager
def ray_at_work(config: Path) -> Iterator[None]:
    """`serve run`, until the block ends."""
    log = config.with_suffix(".log")
    variables = environment({"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_USAGE_STATS_ENABLED": "0"})
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.serve.scripts", "run", str(config)],
            cwd=config.parent,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    except BaseException:
        print(log.read_text()[-6000:])
        raise
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """One request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.timeout(300)
def test_a_local_ray_serves_what_the_file_says(published: Path, team: Team, tmp_path: Path) -> None:
    """The version in Production, out of the git repository, under its own prefix; all paths of the server are there."""
    url = team.remote.as_uri()
    options = ("--stage", "Production", "--from", url, "--cpu", "500m", "--memory", "256Mi")
    done = run_cli("render", "ray-serve", *options, cwd=published)
    assert (0, "") == (done.returncode, done.stderr)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "serve.yaml"
    config.write_text(done.stdout.replace("port: 8000", f"port: {port}"))
    _, x = linear()
    with ray_at_work(config):
        end = time.monotonic() + 200
        status = 0
        while status != 200 and time.monotonic() < end:
            with suppress(OSError):
                status, _ = ask(port, "GET", "/churn/ping")
            time.sleep(0.5)
        assert 200 == status
        status, answer = ask(port, "GET", "/churn/version")
        told = json.loads(answer)
        assert (200, "churn", 1, "models:/churn/1") == (status, told["model"], told["version"], told["pinned"])
        frame = json.loads(x.to_json(orient="split"))
        status, answer = ask(port, "POST", "/churn/invocations", {"dataframe_split": frame})
        assert (200, pytest.approx([0, 2, 1, 8], abs=1e-9)) == (status, json.loads(answer)["predictions"])
        assert 200 == ask(port, "GET", "/churn/v2/health/ready")[0]
        status, answer = ask(port, "POST", "/churn/invocations", {"dataframe_split": 1})
        assert (400, "BAD_REQUEST") == (status, json.loads(answer)["error_code"])


def test_a_replica_refuses_another_model(published: Path, team: Team) -> None:
    """Whatever the repository says by then; the error is what `serve status` shows."""
    served = ray_app.Served("models:/churn/1", team.remote.as_uri(), f"md5:{'0' * 32}.dir", check=False)
    with pytest.raises(ArtifactCorrupt):
        ray_app._Replica(served)
