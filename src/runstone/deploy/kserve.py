"""KServe: an InferenceService for each model; our server in a container of its own, or KServe's runtime for MLflow.

Ours speaks the Open Inference Protocol v2, which KServe learns of a custom container from the variable `PROTOCOL`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runstone.deploy import k8s
from runstone.deploy.deployment import Deployment
from runstone.deploy.dockerfile import PORT


def render(deployments: Sequence[Deployment]) -> Mapping[str, Mapping[str, Any]]:
    """Path → manifest; see `render.Target`.

    Source: KServe, `config/crd/full/serving.kserve.io_inferenceservices.yaml`, v1beta1.
    """
    files = {f"{each.name}/inferenceservice.yaml": _service(each) for each in deployments}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    return {**files, "kustomization.yaml": kustomization}


def _service(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    predictor: dict[str, Any] = {
        "minReplicas": settings.replicas,
        "maxReplicas": settings.max_replicas or settings.replicas,
        "timeout": math.ceil(settings.timeout_s),
    }
    predictor |= _of_mlflow(deployment) if deployment.source is not None else _of_ours(deployment)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": k8s.metadata(deployment),
        "spec": {"predictor": predictor},
    }


def _of_ours(deployment: Deployment) -> dict[str, Any]:
    container = k8s.container(deployment, PORT)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": k8s.end_s(deployment),
        "containers": [
            {
                "name": "kserve-container",
                **container,
                "env": [*container["env"], {"name": "PROTOCOL", "value": "v2"}],
                "ports": [{"containerPort": PORT, "protocol": "TCP"}],
                **k8s.slow_probes(PORT),  # Knative, below KServe, long knew no probe of the start
            }
        ],
        "volumes": k8s.volumes(),
    }


def _of_mlflow(deployment: Deployment) -> dict[str, Any]:
    resources = k8s.container(deployment, PORT)["resources"]
    return {
        "model": {
            "modelFormat": {"name": "mlflow"},
            "protocolVersion": "v2",
            "storageUri": deployment.source,
            "resources": resources,
        }
    }
