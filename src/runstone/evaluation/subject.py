"""Who is evaluated: a model by URI, loaded, or as a function; its predictions and, where it has them, probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runstone import models, pyfunc
from runstone.errors import RunstoneError, UsageError
from runstone.flavors.enforce import enforce_input
from runstone.flavors.pyfunc import PyFuncModel
from runstone.registry.resolve import resolve_version
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, parse_uri


@dataclass(frozen=True, slots=True)
class Subject:
    """What predicts.

    Attributes:
        model: A `PyFuncModel`, an object with `predict`, or a function of the data; None if predictions were given.
        uri: What it is, for people: `models:/churn/3`, however it was named.
        digest: `md5:<hex>.dir` of the model's folder as git recorded it; None for what git does not know.
        params: Values for params of the signature.
    """

    model: Any = None
    uri: str | None = None
    digest: str | None = None
    params: Mapping[str, Any] | None = None

    @property
    def raw(self) -> Any:
        """The model as its library knows it; None if it is only a function."""
        if isinstance(self.model, PyFuncModel):
            return self.model.get_raw_model()
        return self.model if hasattr(self.model, "predict") else None

    @property
    def classes(self) -> Any:
        """The classes in the order of the columns of its probabilities, if it says; else None."""
        found = getattr(self.raw, "classes_", None)
        return found if found is not None and getattr(found, "ndim", 1) == 1 and len(found) > 1 else None

    def predict(self, features: Any) -> Any:
        """What it answers, as an array: (n_samples,) or (n_samples, n_outputs)."""
        import numpy as np

        data = features.copy() if hasattr(features, "copy") else features
        try:
            if isinstance(self.model, PyFuncModel):
                found = self.model.predict(data, self.params)
            elif hasattr(self.model, "predict"):
                found = self.model.predict(data)
            else:
                found = self.model(data)
        except RunstoneError:
            raise
        except Exception as error:  # a model may raise anything, mostly because of data that do not fit it
            told = " ".join(str(error).split())
            raise UsageError(f"The model cannot predict on these data: {type(error).__name__}: {told:.300}") from error
        if isinstance(found, Mapping) and len(found) == 1:
            (found,) = found.values()
        values = np.asarray(found)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim not in (1, 2) or len(values) != len(features):
            raise UsageError(
                f"For {len(features)} rows the model must give as many predictions, but gives the shape {values.shape}."
            )
        return values

    def probabilities(self, features: Any) -> Any:
        """(n_samples, n_classes), in the order of `classes`; None if it has no `predict_proba`."""
        import numpy as np

        method = getattr(self.raw, "predict_proba", None)
        if method is None:
            return None
        found = np.asarray(method(self.enforced(features)))
        return found if found.ndim == 2 and len(found) == len(features) else None

    def enforced(self, features: Any) -> Any:
        """The data as the library's own model gets them: checked and ordered by the signature."""
        schema = self.model.metadata.get_input_schema() if isinstance(self.model, PyFuncModel) else None
        return features if schema is None else enforce_input(features, schema)


def open_subject(
    workspace: Workspace,
    model: Any,
    *,
    params: Mapping[str, Any] | None = None,
    model_config: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
) -> Subject:
    """What `model` means.

    Args:
        workspace: The repository.
        model: `models:/…`, `runs:/…` or a folder; a loaded model; or a function of the data.
        params: Values for params of the signature.
        model_config: Settings to load it with.
        allow_pickle: The caller trusts a folder.

    Raises:
        UsageError: It is none of these.
        VersionNotFound: There is no such version; and likewise what `pyfunc.load_model` raises.
    """
    if model is None:
        return Subject()
    if not isinstance(model, str):
        if not callable(model) and not hasattr(model, "predict"):
            raise UsageError(f"`model` must be a URI, a model or a function, but is a {type(model).__name__}.")
        return Subject(model, params=params)
    uri, digest = model, None
    if model.startswith(("runs:/", "models:/")):
        parsed = parse_uri(model)
        if isinstance(parsed, ModelUri):  # pinned, so that what is recorded and what is loaded are one
            version = resolve_version(workspace.repo, parsed)
            uri, digest = str(ModelUri(parsed.name, version=version.version)), version.digest
        else:
            digest = models.get_model_info(model).digest
    loaded = pyfunc.load_model(uri, model_config=model_config, allow_pickle=allow_pickle)
    return Subject(loaded, uri, digest, params)
