"""scikit-learn models: log, save and load them. Names and order of arguments are MLflow's."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.models import ModelInfo, load_trusted, log_folder

if TYPE_CHECKING:
    from runstone.flavors.signature import ModelSignature

__all__ = ["load_model", "log_model", "save_model"]

_Paths = Sequence[str | PathLike[str]]
_Requirements = Sequence[str] | str | PathLike[str] | None


def save_model(
    sk_model: Any,
    path: str | PathLike[str],
    conda_env: Mapping[str, Any] | str | PathLike[str] | None = None,
    code_paths: _Paths | None = None,
    mlflow_model: None = None,
    serialization_format: str | None = None,
    signature: "ModelSignature | Literal[False] | None" = None,
    input_example: Any = None,
    pip_requirements: _Requirements = None,
    extra_pip_requirements: _Requirements = None,
    pyfunc_predict_fn: str = "predict",
    metadata: Mapping[str, Any] | None = None,
    skops_trusted_types: Sequence[str] | None = None,
) -> None:
    """Save an estimator or pipeline as a model folder, which MLflow loads too.

    Args:
        sk_model: The estimator.
        path: A new or empty folder.
        conda_env: A conda environment, in place of the requirements found.
        code_paths: Python files and folders that loading needs.
        mlflow_model: For MLflow's signature only.
        serialization_format: `cloudpickle` (if not said), `pickle` or `skops`.
        signature: The types of inputs and outputs; taken from `input_example` if not given.
        input_example: Data that `predict` takes.
        pip_requirements: All requirements, in place of those found.
        extra_pip_requirements: More requirements.
        pyfunc_predict_fn: The method that `pyfunc` predicts with.
        metadata: Anything to keep in the MLmodel file.
        skops_trusted_types: Types beyond scikit-learn's own that skops may load.

    Raises:
        UsageError: An option is not understood.
        InvalidModelFolder: The folder is not empty, or the model cannot be pickled.
    """
    options = SaveOptions(
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
        conda_env=conda_env,
        code_paths=tuple(code_paths or ()),
        metadata=metadata,
    )
    flavor.save(
        sk_model,
        Path(path),
        options,
        serialization_format=serialization_format or "cloudpickle",
        pyfunc_predict_fn=pyfunc_predict_fn,
        skops_trusted_types=skops_trusted_types,
    )


def log_model(  # noqa: D417  # the other arguments are those of save_model
    sk_model: Any,
    artifact_path: str | None = None,
    conda_env: Mapping[str, Any] | str | PathLike[str] | None = None,
    code_paths: _Paths | None = None,
    serialization_format: str | None = None,
    registered_model_name: str | None = None,
    signature: "ModelSignature | Literal[False] | None" = None,
    input_example: Any = None,
    await_registration_for: int | None = None,
    pip_requirements: _Requirements = None,
    extra_pip_requirements: _Requirements = None,
    pyfunc_predict_fn: str = "predict",
    metadata: Mapping[str, Any] | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    name: str | None = None,
    skops_trusted_types: Sequence[str] | None = None,
) -> ModelInfo:
    """Save an estimator among the active run's artifacts; a run is begun if there is none.

    Args:
        sk_model: The estimator.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        registered_model_name: Make it a version of this model when the run ends.
        await_registration_for: For MLflow's signature only.
        params: Params of the run to record with it.
        name: As `artifact_path`.

    The other arguments are those of `save_model`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """

    def save(folder: Path, options: SaveOptions) -> None:
        flavor.save(
            sk_model,
            folder,
            options,
            serialization_format=serialization_format or "cloudpickle",
            pyfunc_predict_fn=pyfunc_predict_fn,
            skops_trusted_types=skops_trusted_types,
        )

    options = SaveOptions(
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
        conda_env=conda_env,
        code_paths=tuple(code_paths or ()),
        metadata=metadata,
    )
    return log_folder(save, options, name or artifact_path or "model", registered_model_name, params)


def load_model(model_uri: str, dst_path: str | PathLike[str] | None = None, *, allow_pickle: bool = False) -> Any:
    """Load the estimator that was logged.

    Pickled weights run code when they are loaded. From `runs:/…` and `models:/…` they are loaded only when their
    digest is the one git recorded; from a folder only if you say that you trust it.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    return load_trusted(model_uri, dst_path, allow_pickle, lambda folder, trust: flavor.load(folder, trust=trust))
