"""Hugging Face pipelines as model folders, laid out as MLflow does: `model/` in safetensors, `components/` beside it.

Such a folder is data, and is loaded from anywhere: safetensors, JSON, and class names that are looked up among those
of transformers itself. Pickled weights, kernels fetched by name and code of the model's own need git or the caller to
vouch for the folder, the last also `trust_remote_code`. Nothing is ever fetched from the Hub.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from runstone.errors import InvalidModelFolder, UntrustedModel, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.checked_files import checked, list_files
from runstone.flavors.code import add_code
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.pipeline import PROMPT_TASKS, SIGNATURES, TASKS, PipelinePredictor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust, resolve

name = "transformers"

MODEL = "model"
COMPONENTS = "components"
_SHARD = "500MB"  # as MLflow's: what changes in a part of the weights is not stored again as a whole
_PARTS = {
    "tokenizer": ("PreTrainedTokenizerBase", "AutoTokenizer"),
    "feature_extractor": ("FeatureExtractionMixin", "AutoFeatureExtractor"),
    "image_processor": ("ImageProcessingMixin", "AutoImageProcessor"),
    "processor": ("ProcessorMixin", "AutoProcessor"),
}
"""What a pipeline has beside its model: the class that it must be of, and the one that finds its class by itself."""


def version() -> str | None:
    """The installed transformers; None if there is none."""
    return environment.installed_version("transformers")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
    *,
    processor: Any = None,
    task: str | None = None,
    torch_dtype: Any = None,
    model_config: Mapping[str, Any] | None = None,
    prompt_template: str | None = None,
) -> None:
    """Save a pipeline as a model folder, which MLflow loads too.

    Args:
        model: A `transformers.Pipeline`, or its parts: a map of `model`, `tokenizer` and so on.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights. If neither signature nor example is given, the task says both.
        processor: A processor to keep with it; it can then be loaded as its parts only.
        task: What the parts are for, such as `text-classification`; a pipeline knows it.
        torch_dtype: The type that the weights are to be loaded in, if not the one that they have.
        model_config: What `pyfunc` calls the pipeline with, such as `{"max_new_tokens": 20}`.
        prompt_template: A text with `{prompt}` in it, which `pyfunc` puts around each input.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: An option is not understood, or the model is no pipeline.
        InvalidModelFolder: The folder is not empty.
        MissingLibrary: transformers is not installed.
    """
    transformers = library("transformers", "save a pipeline")
    pipeline = _as_pipeline(transformers, model, task)
    if prompt_template is not None:
        _check_template(prompt_template, pipeline.task)
        options = replace(options, metadata={**(options.metadata or {}), "prompt_template": prompt_template})
        if pipeline.task == "text-generation":
            model_config = {"return_full_text": False, **(model_config or {})}
    config = dict(model_config or {})
    predicts = pipeline.task in TASKS and processor is None
    parts = {part: found for part in _PARTS if (found := getattr(pipeline, part, None)) is not None}
    parts.pop("processor", None)  # MLflow keeps only the one that it is given
    kept = parts if processor is None else parts | {"processor": processor}

    def write(target: Path, code: str | None) -> Weights:
        del code
        with _quiet(transformers):
            pipeline.model.save_pretrained(target / MODEL, max_shard_size=_SHARD)
            for part, instance in kept.items():
                instance.save_pretrained(target / COMPONENTS / part)
        origin = f"{getattr(pipeline.model, 'name_or_path', '')}"
        return Weights(
            settings={
                "task": pipeline.task,
                "instance_type": type(pipeline).__name__,
                "framework": getattr(pipeline, "framework", None),
                "torch_dtype": str(torch_dtype or getattr(pipeline.model, "dtype", "")) or None,
                "pipeline_model_type": type(pipeline.model).__name__,
                "source_model_name": "" if Path(origin).exists() else origin,  # a path says nothing elsewhere
                "model_binary": MODEL,
                "components": list(parts),
                "transformers_version": version(),
            }
            | {f"{part}_type": type(instance).__name__ for part, instance in kept.items()},
            requirements=["numpy", "pandas", "safetensors", "torch", "transformers"],
            pyfunc={"loader_module": "mlflow.transformers", "config": config or None} if predicts else None,
            predict=PipelinePredictor(pipeline, config, prompt_template).predict_once if predicts else None,
            signature=SIGNATURES.get(pipeline.task) if predicts else None,
        )

    save_folder(folder, name, options, write)


def load(
    folder: Path,
    *,
    trust: Trust,
    return_type: str = "pipeline",
    device: Any = None,
    dtype: Any = None,
    trust_remote_code: bool = False,
) -> Any:
    """The pipeline of a model folder, be it ours or MLflow's.

    Args:
        folder: The model folder.
        trust: Why it may be loaded.
        return_type: `pipeline`, or `components` for a map of its parts and its task.
        device: Where the pipeline computes, as `transformers.pipeline` has it.
        dtype: The type of the weights, if not the one that was saved.
        trust_remote_code: Run the code that lies beside the weights, if the model is of no class of transformers.

    Raises:
        UntrustedModel: It runs code, and neither git nor the caller vouches for it.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, is of another flavor, or its weights are on the Hub.
        MissingLibrary: transformers or PyTorch is not installed.
    """
    if return_type not in ("pipeline", "components"):
        raise UsageError(f"`return_type` must be `pipeline` or `components`, but is {return_type!r}.")
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "transformers", settings.get("transformers_version"))
    if settings.get("processor_type") and return_type == "pipeline":
        step = "Load its parts: `return_type='components'`"
        raise InvalidModelFolder(folder, "it has a processor, and is no pipeline", next_step=step)
    if "model_binary" not in settings or settings.get("peft_adaptor"):
        raise InvalidModelFolder(
            folder,
            "its weights, or a part of them, are on the Hugging Face Hub and not in the folder",
            next_step="Save it with its weights: `runstone.transformers.save_model(pipeline, path)`",
        )
    if trust_remote_code and not trust.runs_code:
        raise UntrustedModel(folder, f"{settings['model_binary']}")
    if trust.runs_code and settings.get("code"):
        add_code(folder, settings["code"], trust=trust)
    transformers = library("transformers", "load this model")
    parts = {"model": _load_model(transformers, folder, settings, trust, dtype, trust_remote_code)}
    listed = settings.get("components")
    for part, (base, auto) in _PARTS.items():
        if part in (listed if isinstance(listed, list) else ()) or (
            part == "processor" and "processor_type" in settings
        ):
            kind = _class(transformers, settings.get(f"{part}_type"), base) or getattr(transformers, auto)
            with checked(folder, f"{COMPONENTS}/{part}", trust=trust) as place, _as_folder_error(folder, part):
                parts[part] = kind.from_pretrained(place, local_files_only=True, trust_remote_code=trust_remote_code)
    task = settings.get("task")
    if return_type == "components":
        return {"task": task, **parts}
    with _as_folder_error(folder, f"{task} pipeline"):
        return transformers.pipeline(task=task, device=device, trust_remote_code=trust_remote_code, **parts)


def load_pyfunc(folder: Path, *, trust: Trust, model_config: Mapping[str, Any] | None = None) -> PipelinePredictor:
    """The pipeline behind `predict`, called with `model_config` or else what was saved as such; raises as `load`."""
    described = mlmodel.read(folder, trust=trust)
    settings = flavor_settings(folder, described, name)
    task, chat = settings.get("task"), settings.get("inference_task")
    if task not in TASKS or chat:
        raise InvalidModelFolder(
            folder,
            f"`pyfunc` does not predict for its task `{chat or task}`, but for {', '.join(TASKS)}",
            next_step="Load the pipeline itself: `runstone.transformers.load_model(...)`",
        )
    saved = flavor_settings(folder, described, mlmodel.PYFUNC).get("config")
    config = (saved if isinstance(saved, dict) else {}) if model_config is None else model_config
    template = (described.metadata or {}).get("prompt_template")
    if template is not None:
        try:
            _check_template(template, f"{task}")
        except UsageError as error:
            raise InvalidModelFolder(folder, f"its prompt template is wrong: {error}") from None
    return PipelinePredictor(load(folder, trust=trust), dict(config), template)


def _load_model(
    transformers: Any, folder: Path, settings: Mapping[str, Any], trust: Trust, dtype: Any, remote_code: bool
) -> Any:
    path = settings["model_binary"]
    names = list_files(folder, path, trust=trust)
    kind = _class(transformers, settings.get("pipeline_model_type"), "PreTrainedModel")
    is_code = kind is None or not any(file.endswith(".safetensors") for file in names)
    with checked(folder, path, trust=trust) as place, _as_folder_error(folder, path):
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        if (is_code or _names_kernel(config)) and not trust.runs_code:
            raise UntrustedModel(folder, f"{path}")
        for file in _named_weights(place, config):
            resolve(folder, str(PurePosixPath(path) / file))
            if not trust.runs_code and not file.endswith((".safetensors", ".safetensors.index.json")):
                raise UntrustedModel(folder, f"{path}/{file}")
        if kind is None:
            kind = _class_with_code(transformers, folder, settings, config, remote_code)
        return kind.from_pretrained(
            place,
            local_files_only=True,
            trust_remote_code=remote_code,
            use_safetensors=None if trust.runs_code else True,
            **_dtype(folder, settings.get("torch_dtype") if dtype is None else dtype),
        )


def _named_weights(place: Path, config: Any) -> Iterator[str]:
    """The files that an index of weights, or the model's settings, would have read in place of the usual ones."""
    explicit = config.get("transformers_weights") if isinstance(config, dict) else None
    if explicit is not None:
        yield f"{explicit}"
    for index in place.rglob("*.safetensors.index.json"):
        document = json.loads(index.read_bytes())
        files = document.get("weight_map") if isinstance(document, dict) else None
        yield from {f"{file}" for file in (files.values() if isinstance(files, dict) else ())}


def _class(transformers: Any, wanted: object, base: str) -> Any:
    """A class of transformers' own by its name; None if it has none of this kind."""
    found = getattr(transformers, wanted, None) if isinstance(wanted, str) and wanted.isidentifier() else None
    return found if isinstance(found, type) and issubclass(found, getattr(transformers, base)) else None


def _class_with_code(
    transformers: Any, folder: Path, settings: Mapping[str, Any], config: Any, remote_code: bool
) -> Any:
    """What loads a model of a class that transformers does not have, from the code beside its weights."""
    wanted = settings.get("pipeline_model_type")
    places = config.get("auto_map") if isinstance(config, dict) else None
    for auto, place in (places or {}).items():
        if auto.startswith("AutoModel") and f"{place}".endswith(f".{wanted}") and "--" not in place:
            if not remote_code:
                raise InvalidModelFolder(
                    folder,
                    f"its class `{wanted}` is none of transformers', and its code lies beside its weights",
                    next_step="If you trust whoever made it, have it run: `trust_remote_code=True`",
                )
            return getattr(transformers, auto)
    raise InvalidModelFolder(
        folder,
        f"its class `{wanted}` is none of transformers {version()}, and its code is not in the folder",
        next_step="Install the transformers it was saved with.",
    )


def _names_kernel(config: Any) -> bool:
    """Whether the settings of the model name compiled code to fetch, which they do by `owner/name`."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if any("implementation" in key and "/" in json.dumps(value) for key, value in part.items()):
                return True
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return False


def _dtype(folder: Path, wanted: object) -> dict[str, Any]:
    """The argument for the type of the weights, which transformers renamed in 4.56."""
    if not wanted:
        return {}
    torch = library("torch", "load this model")
    found = getattr(torch, f"{wanted}".removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise InvalidModelFolder(folder, f"its weights are to be {wanted!r}, which is no type of PyTorch's")
    major, minor, *_ = (int(part) for part in (version() or "5.0").split(".")[:2])
    return {"dtype" if (major, minor) >= (4, 56) else "torch_dtype": found}


def _as_pipeline(transformers: Any, model: Any, task: str | None) -> Any:
    if isinstance(model, Mapping) and "model" in model:
        if task is None:
            raise UsageError("The parts of a pipeline do not say what it is for. Say it: `task='text-classification'`")
        model = transformers.pipeline(task=task, **model)
    if not isinstance(model, transformers.Pipeline):
        raise UsageError(
            f"A model of transformers is a `transformers.Pipeline` or a map of its parts, and this is a "
            f"{type(model).__name__}. Make one: `transformers.pipeline(task, model=model, tokenizer=tokenizer)`"
        )
    if type(model.model).__module__.partition(".")[0] == "peft":
        raise UsageError("An adapter is saved within its model. Merge it: `model.merge_and_unload()`")
    return model


def _check_template(template: object, task: str) -> None:
    from string import Formatter

    if task not in PROMPT_TASKS:
        raise UsageError(f"A prompt template is for {', '.join(PROMPT_TASKS)}, and not for {task}.")
    try:
        parts = list(Formatter().parse(template)) if isinstance(template, str) else []
    except ValueError:
        parts = []
    if [part[1:] for part in parts if part[1] is not None] != [("prompt", "", None)]:
        raise UsageError(f"A prompt template is a text with one `{{prompt}}` in it, and this is {template!r}.")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars: they belong to whoever called."""
    logging = transformers.utils.logging
    was = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was:
            logging.enable_progress_bar()


@contextmanager
def _as_folder_error(folder: Path, what: str) -> Iterator[None]:
    """What transformers says of files that it cannot read, as an error of the folder."""
    import transformers

    try:
        with _quiet(transformers):
            yield
    except (InvalidModelFolder, UntrustedModel):
        raise
    except Exception as error:  # of transformers, safetensors, tokenizers, JSON: they share no class
        first = f"{error}".partition("\n")[0].rstrip(".") or type(error).__name__
        raise InvalidModelFolder(folder, f"transformers cannot load `{what}`: {first}") from error
