"""What is known of a model that was logged."""

import json
from dataclasses import dataclass

from runstone import fluent
from runstone.errors import NotAModel
from runstone.records.document import Document
from runstone.registry import resolve as registry
from runstone.uris import RunUri, parse_uri


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that was logged.

    Attributes:
        model_uri: `runs:/<run id>/<path>`.
        run_id: The run.
        artifact_path: The folder among its artifacts.
        flavors: What can load it.
        signature: The types of its inputs and outputs, if known.
        digest: `md5:<hex>.dir` of the folder.
        size: Bytes.
        registered_model_name: The model it becomes a version of when the run ends.
    """

    model_uri: str
    run_id: str
    artifact_path: str
    flavors: tuple[str, ...]
    signature: Document | None
    digest: str
    size: int
    registered_model_name: str | None = None

    @property
    def name(self) -> str:
        """MLflow 3's word for `artifact_path`."""
        return self.artifact_path

    @property
    def signature_dict(self) -> dict[str, str | None] | None:
        """The signature as an MLmodel file holds it, each part JSON text or None; MLflow 2's word."""
        if self.signature is None:
            return None
        parts = {key: self.signature.get(key) for key in ("inputs", "outputs", "params")}
        return {key: None if part is None else json.dumps(part) for key, part in parts.items()}


def get_model_info(model_uri: str) -> ModelInfo:
    """What git recorded of a logged model; nothing is fetched.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>` or `models:/<name>@<alias>`.

    Raises:
        InvalidUri: It is no such URI.
        NotAModel: The run has no such model.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    client = fluent.client()
    uri = parse_uri(model_uri)
    source = uri if isinstance(uri, RunUri) else registry.resolve_version(client.workspace.repo, uri)
    models = client.get_run(source.run_id).models
    found = next((model for model in models if model.path == source.path), None)
    if found is None:
        raise NotAModel(model_uri, [model.path for model in models])
    name = None if isinstance(uri, RunUri) else uri.name
    return ModelInfo(
        model_uri, source.run_id, found.path, found.flavors, found.signature, found.digest, found.size, name
    )
