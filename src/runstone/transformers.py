"""Hugging Face transformers models: log, save and load them. Names of arguments are MLflow's."""

from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from runstone.flavors import transformers as flavor
from runstone.flavors.absent import absent
from runstone.flavors.protocol import LogArguments, SaveArguments, SaveOptions
from runstone.models import ModelInfo, load_trusted, log_folder

__all__ = ["load_model", "log_model", "save_model"]

if not TYPE_CHECKING:  # to which every name would then seem to be there
    __getattr__ = absent(__name__)


def save_model(
    transformers_model: Any,
    path: str | PathLike[str],
    *,
    processor: Any = None,
    task: str | None = None,
    torch_dtype: Any = None,
    model_config: Mapping[str, Any] | None = None,
    prompt_template: str | None = None,
    **options: Unpack[SaveArguments],
) -> None:
    """Save a pipeline as a model folder, which MLflow loads too.

    Args:
        transformers_model: A `transformers.Pipeline`, or a map of its parts.
        path: A new or empty folder.
        processor: A processor to keep with it; it can then be loaded as its parts only.
        task: What the parts are for, such as `text-classification`; a pipeline knows it.
        torch_dtype: The type that the weights are to be loaded in, if not the one that they have.
        model_config: What `pyfunc` calls the pipeline with, such as `{"max_new_tokens": 20}`.
        prompt_template: A text with `{prompt}` in it, which `pyfunc` puts around each input.
        options: As in every flavor, see `runstone.models.SaveArguments`.

    Raises:
        UsageError: An option is not understood, or the model is no pipeline.
        InvalidModelFolder: The folder is not empty.
    """
    flavor.save(
        transformers_model,
        Path(path),
        SaveOptions.of(options),
        processor=processor,
        task=task,
        torch_dtype=torch_dtype,
        model_config=model_config,
        prompt_template=prompt_template,
    )


def log_model(
    transformers_model: Any,
    artifact_path: str | None = None,
    *,
    processor: Any = None,
    task: str | None = None,
    torch_dtype: Any = None,
    model_config: Mapping[str, Any] | None = None,
    prompt_template: str | None = None,
    **options: Unpack[LogArguments],
) -> ModelInfo:
    """Save a pipeline among the active run's artifacts; a run is begun if there is none.

    Args:
        transformers_model: A `transformers.Pipeline`, or a map of its parts.
        artifact_path: The folder among the artifacts; `name` is MLflow 3's word for it. `model` if neither is given.
        processor: As for `save_model`.
        task: As for `save_model`.
        torch_dtype: As for `save_model`.
        model_config: As for `save_model`.
        prompt_template: As for `save_model`.
        options: As in every flavor, see `runstone.models.LogArguments`.

    Returns:
        Where the model is: `.model_uri` is `runs:/<run id>/<path>`.
    """
    save = partial(
        flavor.save,
        transformers_model,
        processor=processor,
        task=task,
        torch_dtype=torch_dtype,
        model_config=model_config,
        prompt_template=prompt_template,
    )
    return log_folder(save, artifact_path, options)


def load_model(
    model_uri: str,
    dst_path: str | PathLike[str] | None = None,
    *,
    return_type: str = "pipeline",
    device: Any = None,
    dtype: Any = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Any:
    """Load the pipeline that was logged.

    Nothing is fetched from the Hub. Weights in safetensors run no code when they are loaded, so they need no trust.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        dst_path: An existing folder to keep a copy of the model folder in.
        return_type: `pipeline`, or `components` for a map of its parts and its task.
        device: Where the pipeline computes, as `transformers.pipeline` has it.
        dtype: The type of the weights, if not the one that was saved.
        trust_remote_code: Run the code that lies beside the weights, if the model is of no class of transformers.
        allow_pickle: You trust the folder.

    Raises:
        UntrustedModel: A folder that runs code, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    load = partial(
        flavor.load, return_type=return_type, device=device, dtype=dtype, trust_remote_code=trust_remote_code
    )
    return load_trusted(model_uri, dst_path, allow_pickle, load)
