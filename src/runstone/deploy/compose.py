"""Compose: one service for each model, on one host.

The image brings its own health check, and listens where it says; what is typed as the port is the host's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runstone.deploy import k8s
from runstone.deploy.deployment import Deployment
from runstone.deploy.dockerfile import PORT
from runstone.deploy.words import parse_cpu, parse_memory


def render(deployments: Sequence[Deployment]) -> Mapping[str, Mapping[str, Any]]:
    """Path → document; see `render.Target`.

    Source: Compose specification, `compose-spec.json`.
    """
    services = {each.name: _service(each, is_alone=len(deployments) == 1) for each in deployments}
    return {"compose.yaml": {"services": services}}


def _service(deployment: Deployment, *, is_alone: bool) -> dict[str, Any]:
    settings = deployment.settings
    resources = settings.resources
    told = {**settings.labels, **k8s.annotations(deployment)}
    return {
        "image": deployment.image,
        "command": k8s.arguments(deployment, PORT),
        "user": f"{k8s.USER}:{k8s.USER}",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "environment": {"HOME": "/tmp"},
        # A dollar begins a variable there, also in names that others gave.
        "labels": {key: value.replace("$", "$$") for key, value in told.items()},
        "ports": [_port(deployment, is_alone=is_alone)],
        "healthcheck": {"interval": "10s", "timeout": "5s", "start_period": "60s", "retries": 3},
        "stop_grace_period": f"{settings.end_s}s",
        "restart": "unless-stopped",
        "deploy": {
            "replicas": settings.replicas,
            "resources": {
                "limits": {"cpus": _cpus(resources.most_cpu), "memory": _bytes(resources.most_memory)},
                "reservations": {"cpus": _cpus(resources.cpu), "memory": _bytes(resources.memory)},
            },
        },
    }


def _port(deployment: Deployment, *, is_alone: bool) -> dict[str, Any]:
    """Where the host listens, on itself alone; several servers each get a free port, since none could have the one."""
    port: dict[str, Any] = {"target": PORT, "host_ip": "127.0.0.1", "protocol": "tcp"}
    if is_alone and deployment.settings.replicas == 1:
        port["published"] = str(deployment.settings.port)
    return port


def _cpus(text: str) -> str:
    return f"{parse_cpu(text).normalize():f}"


def _bytes(text: str) -> str:
    size = parse_memory(text)
    return f"{size // 2**20}m" if size % 2**20 == 0 else f"{size}b"
