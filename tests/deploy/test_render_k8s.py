"""Kubernetes' manifests: by its published schemas, and by what the server does that they start."""

import copy
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

for _module in ("kubernetes_validate", "sklearn", "uvicorn", "orjson", "prometheus_client"):
    pytest.importorskip(_module, reason="the extras `serve`, `sklearn` and `test` are not installed")

from runstone.cli.serve import serve  # noqa: E402  # after what may skip the file
from runstone.deploy.dockerfile import HOME, write_dockerfile  # noqa: E402  # after what may skip the file
from runstone.serving.packed import Packed, digest_of, hash_files  # noqa: E402  # after what may skip the file
from runstone.templates import read as read_template  # noqa: E402  # after what may skip the file
from tests.cli.support import run_cli  # noqa: E402  # after what may skip the file
from tests.deploy.rendered import DIGEST, IMAGE, deployment, documents  # noqa: E402  # after what may skip the file
from tests.serving.support import save_odd, serving  # noqa: E402  # after what may skip the file

HOSTILE = "a\u2028---\nkind: Secret\n# $(HOME) ${HOME} {{ x }} 'é\""


def validate(document: Any) -> None:
    """Hold a manifest against the schemas of the newest Kubernetes, and of the oldest that knows `preStop.sleep`."""
    import kubernetes_validate

    for version in (kubernetes_validate.latest_version(), "1.30"):
        kubernetes_validate.validate(document, version, strict=True)


def everything() -> dict[str, Any]:
    """All kinds of manifests, of a model with a name that is none to a cluster."""
    settings: dict[str, Any] = {
        "replicas": 3,
        "max_replicas": 9,
        "namespace": "ml",
        "labels": {"example.org/team": "growth"},
    }
    return documents("k8s", [deployment("churn"), deployment(HOSTILE, alias="champion", **settings)])


def test_the_manifests_are_valid() -> None:
    """Of one server and of several that scale, none of them with a key that the schemas do not know."""
    kinds = []
    for path, document in everything().items():
        if path.endswith("kustomization.yaml"):
            continue
        validate(document)
        kinds.append(document["kind"])
    one, more = ["Deployment", "Service"], ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
    assert one + more == kinds


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.replicas", "many"),
        ("spec.template.spec.containers.0.livenessProbe.httpGet", {"path": "/ping"}),
        ("spec.template.spec.containers.0.securityContext.readOnlyRootfilesystem", True),
        ("spec.strategy.rollingUpdate.maxUnavailable", {"no": 1}),
        ("spec.template.spec.containers.0.resources.limits", ["cpu"]),
        ("kind", "Deploymint"),
    ],
)
def test_the_schemas_refuse_what_is_broken(path: str, value: Any) -> None:
    """So that the test above can fail: a wrong type, a misspelt key, a missing one, an unknown kind."""
    import kubernetes_validate

    document = documents("k8s", [deployment()])["churn/deployment.yaml"]
    at: Any = document
    *parts, last = path.split(".")
    for part in parts:
        at = at[int(part)] if part.isdecimal() else at[part]
    at[last] = value
    with pytest.raises((kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError)):
        validate(document)


def test_kustomizations_list_what_is_there() -> None:
    """Each file of a model, and each model's folder."""
    files = everything()
    (name,) = {path.partition("/")[0] for path in files} - {"churn", "kustomization.yaml"}
    assert ["churn", name] == files["kustomization.yaml"]["resources"]
    for folder in ("churn", name):
        listed = files[f"{folder}/kustomization.yaml"]["resources"]
        assert sorted(path for path in files if path.startswith(f"{folder}/")) == sorted(
            f"{folder}/{each}" for each in [*listed, "kustomization.yaml"]
        )
        assert {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}.items() <= files[
            f"{folder}/kustomization.yaml"
        ].items()


def test_what_an_operator_relies_on() -> None:
    """No moment without a server, no root, no writable root, and the model that git means."""
    document = documents("k8s", [deployment()])["churn/deployment.yaml"]
    spec = document["spec"]
    assert {"maxSurge": 1, "maxUnavailable": 0} == spec["strategy"]["rollingUpdate"]
    assert 1 == spec["replicas"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert IMAGE == container["image"]
    assert f"--digest={DIGEST}" in container["args"]
    assert {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    } == container["securityContext"]
    assert "USER 10001:10001" in read_template("Dockerfile").splitlines()
    assert [{"name": "tmp", "mountPath": "/tmp"}] == container["volumeMounts"]
    assert {"cpu": "1", "memory": "1Gi"} == container["resources"]["limits"] == container["resources"]["requests"]
    assert {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": "/metrics",
        "prometheus.io/port": "8080",
    }.items() <= spec["template"]["metadata"]["annotations"].items()


def test_the_pod_lives_until_all_requests_are_answered() -> None:
    """The time to be taken out of the service, one whole request, and what the server adds to it."""
    from runstone.serving import server, supervisor

    pod = documents("k8s", [deployment(timeout_s=90.5)])["churn/deployment.yaml"]["spec"]["template"]["spec"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    ours = 91 + max(server.DRAIN_S + 1 + 1, supervisor._PATIENCE_S)
    assert before + ours <= pod["terminationGracePeriodSeconds"] <= before + ours + 10


def test_a_selector_never_changes() -> None:
    """Another version, stage or label is another pod of the same Deployment; a selector cannot be changed."""
    one = documents("k8s", [deployment()])
    two = documents("k8s", [deployment(labels={"team": "growth"}, alias="champion", replicas=4)])
    for document in (one, two):
        spec = document["churn/deployment.yaml"]["spec"]
        assert {"app.kubernetes.io/name": "churn"} == spec["selector"]["matchLabels"]
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
        assert spec["selector"]["matchLabels"] == document["churn/service.yaml"]["spec"]["selector"]
    assert "3" == one["churn/deployment.yaml"]["metadata"]["labels"]["app.kubernetes.io/version"]


def test_an_autoscaler_owns_the_number_of_servers() -> None:
    """Stated in the Deployment too, each sync would take back what it did."""
    files = documents("k8s", [deployment(replicas=2, max_replicas=5)])
    assert "replicas" not in files["churn/deployment.yaml"]["spec"]
    scaler = files["churn/hpa.yaml"]["spec"]
    assert (2, 5, "churn") == (scaler["minReplicas"], scaler["maxReplicas"], scaler["scaleTargetRef"]["name"])
    assert files["churn/pdb.yaml"]["spec"]["maxUnavailable"] == 1


def test_hostile_names_stay_text() -> None:
    """In annotations as they are, in names and labels not at all; no second document begins."""
    (document,) = [
        each
        for path, each in everything().items()
        if path.endswith("deployment.yaml") and not path.startswith("churn/")
    ]
    assert HOSTILE == document["metadata"]["annotations"]["runstone.dev/model"]
    rest = copy.deepcopy(document)
    for metadata in (rest["metadata"], rest["spec"]["template"]["metadata"]):
        del metadata["annotations"]
    assert "HOME)" not in str(rest)
    assert re.fullmatch(r"a-kind-secret-home-home-x-[0-9a-f]{8}", document["metadata"]["name"])
    assert "1e5" + "0" * 37 == document["metadata"]["annotations"]["runstone.dev/commit"]


def test_the_server_takes_the_arguments_behind_those_of_the_image() -> None:
    """What is added wins: the port, and the digest that git has now, whatever the image was built with."""
    packed = Packed("models:/churn/3", "models:/churn/3", "churn", 3, None, None, "md5:other.dir", "3.11", {})
    text = write_dockerfile(packed, base_image="python:3.11-slim", by_hash=False)
    assert not re.search(r"^CMD ", text, re.MULTILINE)
    (entrypoint,) = re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    image = json.loads(entrypoint)
    assert ["-m", "runstone", "serve"] == image[2:5]
    added = documents("k8s", [deployment(port=9000, workers=4)])["churn/deployment.yaml"]
    words = added["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--digest=md5:other.dir" in image
    context = serve.make_context("serve", [*image[5:], *words])
    taken = {key: context.params[key] for key in ("uri", "digest", "host", "port", "workers", "timeout")}
    assert {
        "uri": HOME,
        "digest": DIGEST,
        "host": "0.0.0.0",
        "port": 9000,
        "workers": 4,
        "timeout": 60.0,
    } == taken


def test_the_probes_ask_what_the_server_answers(tmp_path: Path) -> None:
    """A server with the container's own arguments passes all three; one with another model in it does not start."""
    folder = save_odd(tmp_path / "model")
    digest = digest_of(hash_files(folder))
    container = documents("k8s", [deployment()])["churn/deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]
    words = [word.replace(DIGEST, digest) for word in container["args"] if not word.startswith("--port")]
    with serving(str(folder), *words, cwd=tmp_path) as served:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert 200 == served.get(container[probe]["httpGet"]["path"])[0], probe
        assert 200 == served.get("/metrics")[0]
    other = run_cli("serve", str(folder), *container["args"], cwd=tmp_path)
    assert 1 == other.returncode, shlex.join(container["args"])
    assert DIGEST.removeprefix("md5:") in other.stderr


def test_a_hanging_model_fails_the_probes(tmp_path: Path) -> None:
    """Of life and of readiness both: then the cluster starts it anew."""
    folder = save_odd(tmp_path / "model")
    container = documents("k8s", [deployment()])["churn/deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]
    with serving(str(folder), "--allow-pickle", "--timeout", "1", cwd=tmp_path) as served:
        assert 504 == served.odd("sleep", 30)[0]
        for probe in ("readinessProbe", "livenessProbe"):
            assert 503 == served.get(container[probe]["httpGet"]["path"])[0], probe
