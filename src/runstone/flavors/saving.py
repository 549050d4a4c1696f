"""What saving and loading have in common in every flavor: the folder, and what stands in it beside the weights."""

import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, MissingLibrary, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.code import copy_code
from runstone.flavors.example import split_params, write_example
from runstone.flavors.mlmodel import MLmodel
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.requirements import find_distributions, modules_of_code
from runstone.flavors.signature import ModelSignature

EXTRA_FILES = "extra_files"


@dataclass(frozen=True, slots=True)
class Weights:
    """What a flavor has written into a model folder.

    Attributes:
        settings: What the MLmodel file says under the flavor's name; None is left out.
        requirements: The distributions that loading and predicting need: they are pinned as installed.
        modules: Modules that the weights name: the distributions that they come from are needed too.
        pyfunc: Settings of the python_function beside the usual ones, `loader_module` and `model_path` among them;
            None if the model does not predict.
        predict: Predicts for an input example, to infer the signature's outputs.
        signature: What is known of the types without an example; used where neither is given.
        extra: Further keys of the MLmodel file.
    """

    settings: Mapping[str, Any]
    requirements: Sequence[str]
    modules: Collection[str] = ()
    pyfunc: Mapping[str, Any] | None = None
    predict: Callable[[Any], Any] | None = None
    signature: ModelSignature | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def save_folder(folder: Path, name: str, options: SaveOptions, write: Callable[[Path, str | None], Weights]) -> None:
    """Save a model folder.

    Args:
        folder: Where; it must be new or empty.
        name: The flavor.
        options: What is saved beside the weights.
        write: Writes the weights into the folder; it is told where the model's code lies in it.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        InvalidModelFolder: The folder is not empty.
        UsageError: An option is not understood.
    """
    with new_folder(folder):
        code = copy_code(folder, options.code_paths or ())
        weights = write(folder, code)
        info = None if options.input_example is None else write_example(folder, options.input_example)
        signature = _signature(weights, options)
        extra = _copy_extra_files(folder, options.extra_files or ())
        flavors: dict[str, Mapping[str, Any]] = {name: {"code": code, **weights.settings, **extra}}
        if weights.pyfunc is not None:
            flavors[mlmodel.PYFUNC] = mlmodel.pyfunc_settings(code=code, **weights.pyfunc)
        model = MLmodel(
            flavors=flavors,
            signature=signature,
            run_id=options.run_id,
            artifact_path=options.artifact_path,
            saved_input_example_info=info,
            metadata=options.metadata,
            model_size_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            extra=dict(weights.extra),
        )
        mlmodel.write(folder, model)
        environment.write_environment(folder, _requirements(folder, code, weights, signature), options)


def _requirements(folder: Path, code: str | None, weights: Weights, signature: ModelSignature | None) -> list[str]:
    modules = {*weights.modules, *(modules_of_code(folder / code) if code else ())}
    needed = {*weights.requirements, *find_distributions(modules)}
    if signature and signature.inputs and not signature.inputs.is_tensor_spec():
        needed.add("pandas")  # it is held against a DataFrame
    return environment.pin(sorted(needed))


def _copy_extra_files(folder: Path, paths: Sequence[str | PathLike[str]]) -> dict[str, Any]:
    """Copy what the caller wants to have beside the weights; what the MLmodel file says of it."""
    listed = []
    for path in map(Path, paths):
        target = folder / EXTRA_FILES / path.resolve().name
        if not path.exists():
            raise UsageError(f"`extra_files`: there is no {path}.")
        if target.exists():
            raise UsageError(f"`extra_files`: two of them are called `{target.name}`. Rename one.")
        if folder.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"`extra_files`: {path} holds the model folder {folder}. Save it elsewhere.")
        target.parent.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
        listed.append({"path": f"{EXTRA_FILES}/{target.name}"})
    return {EXTRA_FILES: listed} if listed else {}


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder to save into, and remove it again if saving fails.

    Raises:
        InvalidModelFolder: It exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidModelFolder(folder, "it exists and is not empty", next_step="Save to a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it was new or empty: nothing but ours is in it
        raise


def check_version(folder: Path, distribution: str, saved_with: object) -> None:
    """Hold the library that a model was saved with against the installed one.

    Warns:
        UserWarning: It is another one.

    Raises:
        MissingLibrary: It is not installed.
    """
    installed = environment.installed_version(distribution)
    known = saved_with.partition("+")[0] if isinstance(saved_with, str) and saved_with.isprintable() else None
    if installed is None:
        raise MissingLibrary(distribution, "load this model", f"{distribution}=={known}" if known else distribution)
    if known is not None and known != installed:
        warnings.warn(
            f"The model in {folder} was saved with {distribution} {known}, and {installed} is installed; it may "
            f"fail or predict otherwise. Install the other: `pip install {distribution}=={known}`",
            stacklevel=3,
        )


def library(module: str, purpose: str, install: str | None = None) -> Any:
    """Import what is optional; the name is one of ours, never one from a model folder.

    Raises:
        MissingLibrary: It is not installed.
    """
    from importlib import import_module

    first = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != first:
            raise  # it is here, and lacks something itself
        raise MissingLibrary(first, purpose, install or first) from None


def _signature(weights: Weights, options: SaveOptions) -> ModelSignature | None:
    if options.signature is not None:
        return options.signature or None
    if options.input_example is None:
        return weights.signature
    from runstone.flavors.infer import infer_or_none, infer_params

    data, params = split_params(options.input_example)
    output = None
    if weights.predict is not None:
        try:
            output = weights.predict(data)
        except Exception as error:
            warnings.warn(
                f"The model could not predict for its own input example, so its signature says nothing of its "
                f"output: {error!r}",
                stacklevel=5,
            )
    inputs = None if data is None else infer_or_none(data, "input")
    outputs = None if output is None else infer_or_none(output, "output")
    if inputs is None and outputs is None and not params:
        return None
    return ModelSignature(inputs, outputs, infer_params(params) if params else None)
