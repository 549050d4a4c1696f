"""Ray Serve: one file for `serve deploy`, with an application for each model; KubeRay takes it as `serveConfigV2`.

A cluster has one such file and runs what it names, no more. Replicas get the model themselves, by its version and held
against its digest: out of the git repository, or from a folder that all nodes have. See `serving.ray_app`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runstone.deploy.deployment import Deployment
from runstone.deploy.words import parse_cpu, parse_memory
from runstone.serving.ray_app import DEPLOYMENT

_IMPORT = "runstone.serving.ray_app:build"
_PORT = 8000
_AT_ONCE = 100


def render(deployments: Sequence[Deployment]) -> Mapping[str, Mapping[str, Any]]:
    """Path → document; see `render.Target`.

    Source: Ray, `ray.serve.schema.ServeDeploySchema`.
    """
    longest = max(each.settings.timeout_s for each in deployments)
    http = {"host": "0.0.0.0", "port": _PORT, "request_timeout_s": longest}
    applications = [_application(each) for each in deployments]
    return {"serve.yaml": {"proxy_location": "EveryNode", "http_options": http, "applications": applications}}


def _application(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    is_folder = str(deployment.source).startswith("/")
    where = {"uri": deployment.source} if is_folder else {"uri": deployment.uri, "repo": deployment.source}
    return {
        "name": deployment.name,
        "route_prefix": f"/{deployment.name}",
        "import_path": _IMPORT,
        "args": {**where, "digest": deployment.digest, "timeout_s": settings.timeout_s},
        "deployments": [
            {
                "name": DEPLOYMENT,
                **_scale(deployment),
                "max_ongoing_requests": _AT_ONCE,
                "graceful_shutdown_timeout_s": settings.end_s,
                "ray_actor_options": {
                    "num_cpus": float(parse_cpu(settings.resources.cpu)),
                    "memory": parse_memory(settings.resources.memory),
                },
            }
        ],
    }


def _scale(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    if settings.max_replicas is None:
        return {"num_replicas": settings.replicas}
    return {"autoscaling_config": {"min_replicas": settings.replicas, "max_replicas": settings.max_replicas}}
