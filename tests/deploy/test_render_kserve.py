"""KServe's manifests, by the part of its published schema that they use."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runstone.deploy import k8s
from tests.deploy.rendered import DIGEST, IMAGE, deployment, documents

SCHEMA = Path(__file__).with_name("kserve_inferenceservice.json")
"""Of github.com/kserve/kserve (Apache-2.0), `config/crd/full/serving.kserve.io_inferenceservices.yaml`, v1beta1."""


def validate(document: Any) -> None:
    """Raise what jsonschema raises."""
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)


def ours() -> Any:
    """An InferenceService that runs our server."""
    settings: dict[str, Any] = {
        "replicas": 2,
        "max_replicas": 5,
        "timeout_s": 90.5,
        "namespace": "ml",
        "labels": {"team": "growth"},
    }
    return documents("kserve", [deployment(**settings)])["churn/inferenceservice.yaml"]


def test_our_server_in_a_container_of_its_own() -> None:
    """With the digest among its arguments, and the protocol that it speaks."""
    document = ours()
    validate(document)
    assert ("serving.kserve.io/v1beta1", "InferenceService") == (document["apiVersion"], document["kind"])
    assert "ml" == document["metadata"]["namespace"]
    predictor = document["spec"]["predictor"]
    assert (2, 5, 91) == (predictor["minReplicas"], predictor["maxReplicas"], predictor["timeout"])
    (container,) = predictor["containers"]
    assert ("kserve-container", IMAGE) == (container["name"], container["image"])
    assert f"--digest={DIGEST}" in container["args"]
    assert {"name": "PROTOCOL", "value": "v2"} in container["env"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "startupProbe" not in container
    alive = container["livenessProbe"]
    assert 120 == alive["initialDelaySeconds"] + alive["periodSeconds"] * alive["failureThreshold"]
    assert k8s.probes(8080)["readinessProbe"] == container["readinessProbe"]


def test_the_runtime_of_kserve() -> None:
    """For MLflow's format, with protocol v2; which digest it should be stands in the annotations."""
    files = documents("kserve", [deployment(image=None, source="s3://models/churn/3"), deployment("kustomization")])
    document = files["churn/inferenceservice.yaml"]
    validate(document)
    limits = {"cpu": "1", "memory": "1Gi"}
    assert {
        "modelFormat": {"name": "mlflow"},
        "protocolVersion": "v2",
        "storageUri": "s3://models/churn/3",
        "resources": {"requests": limits, "limits": limits},
    } == document["spec"]["predictor"]["model"]
    assert "containers" not in document["spec"]["predictor"]
    assert DIGEST == document["metadata"]["annotations"]["runstone.dev/digest"]
    listed = ["churn/inferenceservice.yaml", "kustomization/inferenceservice.yaml"]
    assert listed == files["kustomization.yaml"]["resources"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.predictor.minReplicas", "2"),
        ("spec.predictor.minimumReplicas", 2),
        ("spec.predictor.containers.0.image", None),
        ("spec.predictor.containers.0.livenessProbe.httpGet", {"pth": "/ping"}),
        ("spec.predictor.containers.0.securityContext.seccompProfile", {}),
        ("spec.predictor.volumes.0.name", 1),
        ("spec.predictors", {}),
    ],
)
def test_the_schema_refuses_what_is_broken(path: str, value: Any) -> None:
    """So that the tests above can fail: a wrong type, a key that there is not, one that is missing."""
    document = copy.deepcopy(ours())
    at: Any = document
    *parts, last = path.split(".")
    for part in parts:
        at = at[int(part)] if part.isdecimal() else at[part]
    at[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(document)
