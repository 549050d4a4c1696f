"""Kubernetes: a Deployment and a Service for each model, a budget and an autoscaler where asked, and kustomizations.

The container's arguments are added to those of the image (`templates/Dockerfile`), and name the digest once more: an
image with other bytes in it does not start, whoever built it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runstone.deploy.deployment import Deployment

USER = 10001
"""The user of the image; a number, as a cluster cannot tell of a name that it is not root's."""

_PRE_STOP_S = 5
_START_S = 300
_PERIOD_S = 5


def render(deployments: Sequence[Deployment]) -> Mapping[str, Mapping[str, Any]]:
    """Path → manifest; see `render.Target`."""
    files: dict[str, Mapping[str, Any]] = {}
    for each in deployments:
        own = {"deployment.yaml": _deployment(each), "service.yaml": _service(each)}
        if each.settings.replicas > 1:
            own["pdb.yaml"] = _budget(each)
        if each.settings.max_replicas is not None:
            own["hpa.yaml"] = _autoscaler(each)
        own["kustomization.yaml"] = _kustomization(list(own))
        files |= {f"{each.name}/{name}": document for name, document in own.items()}
    files["kustomization.yaml"] = _kustomization([each.name for each in deployments])
    return files


def labels(deployment: Deployment) -> dict[str, str]:
    """What objects are found by; the version is among them, so it is in no selector."""
    return {
        **deployment.settings.labels,
        **_selector(deployment),
        "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/managed-by": "runstone",
        "app.kubernetes.io/version": str(deployment.version),
    }


def annotations(deployment: Deployment) -> dict[str, str]:
    """Which model version it is, as whoever looks at the cluster wants to know; names stand as they are."""
    told = {
        "runstone.dev/model": deployment.model,
        "runstone.dev/version": str(deployment.version),
        "runstone.dev/stage": deployment.stage,
        "runstone.dev/alias": deployment.alias,
        "runstone.dev/digest": deployment.digest,
        "runstone.dev/run": deployment.run,
        "runstone.dev/commit": deployment.commit,
    }
    return {key: value for key, value in told.items() if value is not None}


def arguments(deployment: Deployment, port: int) -> list[str]:
    """What is added to the `runstone serve` of the image."""
    settings = deployment.settings
    return [
        f"--digest={deployment.digest}",
        f"--port={port}",
        f"--workers={settings.workers}",
        f"--timeout={settings.timeout_s:g}",
    ]


def container(deployment: Deployment, port: int) -> dict[str, Any]:
    """The server as a container of a pod, without ports and probes."""
    resources = deployment.settings.resources
    return {
        "image": deployment.image,
        "args": arguments(deployment, port),
        "env": [{"name": "HOME", "value": "/tmp"}],
        "resources": {
            "requests": {"cpu": resources.cpu, "memory": resources.memory},
            "limits": {"cpu": resources.most_cpu, "memory": resources.most_memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def probes(port: int | str) -> dict[str, Any]:
    """When it is started, is sent requests, and is started anew.

    `/ping` answers once the model is loaded. `/health` fails when a prediction hangs, which only a new process heals.
    `/v2/health/ready` fails so too, and once the server is told to stop.
    """
    return {
        "startupProbe": _probe("/ping", port, periodSeconds=2, failureThreshold=_START_S // 2),
        "readinessProbe": _probe("/v2/health/ready", port, periodSeconds=_PERIOD_S, failureThreshold=2),
        "livenessProbe": _probe("/health", port, periodSeconds=2 * _PERIOD_S, failureThreshold=3),
    }


def slow_probes(port: int) -> dict[str, Any]:
    """As `probes`, where there is none for the start: then the process has two minutes before it is started anew."""
    known = probes(port)
    alive = known["livenessProbe"] | {"initialDelaySeconds": 60, "failureThreshold": 6}
    return {"readinessProbe": known["readinessProbe"], "livenessProbe": alive}


def end_s(deployment: Deployment) -> int:
    """Seconds from the order to stop until the pod may be killed: all accepted requests are answered by then.

    First the cluster has time to send requests elsewhere, then the server's own end begins.
    """
    return _PRE_STOP_S + deployment.settings.end_s


def volumes() -> list[dict[str, Any]]:
    """The only place that can be written."""
    return [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]


def metadata(deployment: Deployment) -> dict[str, Any]:
    """Name, namespace, labels and annotations of an object."""
    namespace = deployment.settings.namespace
    place = {"namespace": namespace} if namespace is not None else {}
    return {
        "name": deployment.name,
        **place,
        "labels": labels(deployment),
        "annotations": annotations(deployment),
    }


def _selector(deployment: Deployment) -> dict[str, str]:
    return {"app.kubernetes.io/name": deployment.name}


def _probe(path: str, port: int | str, **timing: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 4, **timing}


def _deployment(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    # An autoscaler owns the number: were it stated here, each sync would take it back.
    replicas = {"replicas": settings.replicas} if settings.max_replicas is None else {}
    scraped = {"scrape": "true", "path": "/metrics", "port": str(settings.port)}
    notes = annotations(deployment) | {f"prometheus.io/{key}": value for key, value in scraped.items()}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _selector(deployment)},
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": end_s(deployment),
        "topologySpreadConstraints": [spread],
        "containers": [
            {
                "name": "server",
                **container(deployment, settings.port),
                "ports": [{"name": "http", "containerPort": settings.port}],
                **probes("http"),
                "lifecycle": {"preStop": {"sleep": {"seconds": _PRE_STOP_S}}},
            }
        ],
        "volumes": volumes(),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment),
        "spec": {
            **replicas,
            "selector": {"matchLabels": _selector(deployment)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels(deployment), "annotations": notes},
                "spec": pod,
            },
        },
    }


def _service(deployment: Deployment) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment),
        "spec": {
            "selector": _selector(deployment),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def _budget(deployment: Deployment) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployment),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _selector(deployment)}},
    }


def _autoscaler(deployment: Deployment) -> dict[str, Any]:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(deployment),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.name},
            "minReplicas": deployment.settings.replicas,
            "maxReplicas": deployment.settings.max_replicas,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }


def _kustomization(resources: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    }
