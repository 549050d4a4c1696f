"""What the tests of rendering share: model versions that run, and their files as any reader of YAML reads them."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

from runstone.deploy import render
from runstone.deploy.deployment import Deployment, Resources, Settings
from runstone.deploy.words import cluster_name

DIGEST = "md5:0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b.dir"
IMAGE = f"registry.example.org/team/churn@sha256:{'0' * 64}"


def deployment(
    model: str = "churn",
    *,
    image: str | None = IMAGE,
    source: str | None = None,
    alias: str | None = None,
    cpu: str = "1",
    memory: str = "1Gi",
    suffix: str = "",
    **settings: Any,
) -> Deployment:
    """Version 3 of a model, in Production."""
    return Deployment(
        name=f"{cluster_name(model)}{suffix}",
        model=model,
        version=3,
        run="brave-otter-17",
        commit="1e5" + "0" * 37,
        digest=DIGEST,
        stage="Production",
        alias=alias,
        image=image,
        source=source,
        settings=Settings(resources=Resources(cpu, memory), suffix=suffix, **settings),
    )


def text_of(target: str, deployments: Sequence[Deployment], path: str) -> str:
    """One of the files."""
    return render.render(target, deployments, "Production").files[path]


def load_yaml(text: str) -> Any:
    """A document as YAML 1.2 and as YAML 1.1 has it, which must be the same."""
    import ruamel.yaml
    import yaml

    found = ruamel.yaml.YAML(typ="safe", pure=True).load(StringIO(text))
    assert found == yaml.safe_load(text)
    return found


def documents(target: str, deployments: Sequence[Deployment]) -> dict[str, Any]:
    """Path → document."""
    return {path: load_yaml(text) for path, text in render.render(target, deployments, "Production").files.items()}
