"""Weights of estimators in scikit-learn's manner: as skops, which is data, or as a pickle, which is code.

skops loads what it knows to be harmless, and other types only when they are named. Which others a model holds was
seen when it was saved; that list is believed only of a folder that git recorded, or that the caller vouches for,
never of the folder alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstone.errors import InvalidModelFolder, MissingLibrary, RunstoneError, UsageError
from runstone.flavors import environment, pickled, skops
from runstone.flavors.saving import library
from runstone.flavors.trust import Trust

FORMATS = ("skops", *pickled.FORMATS)

_REVIEWED = frozenset({"catboost", "lightgbm", "numpy", "scipy", "sklearn", "xgboost"})
_REVIEWED_TYPES = frozenset({"collections.OrderedDict"})
_VOUCH = "If you trust whoever made it, say so: `allow_pickle=True`, on the command line `--allow-pickle`"


@dataclass(frozen=True, slots=True)
class Stored:
    """An estimator that was written.

    Attributes:
        file: Its name in the folder.
        format: What it was written as.
        types: The types beyond skops' own that it holds; None if it is no skops file.
        modules: The modules it names.
    """

    file: str
    format: str
    types: list[str] | None
    modules: frozenset[str]


def check_format(format_: str | None) -> None:
    """Refuse a format that does not exist; raises `UsageError`."""
    if format_ is not None and format_ not in FORMATS:
        raise UsageError(f"`serialization_format` must be one of {', '.join(FORMATS)}, but is {format_!r}.")


def dump(model: Any, folder: Path, format_: str | None, types: Sequence[str] | None) -> Stored:
    """Write an estimator into a folder.

    Args:
        model: The estimator.
        folder: The model folder.
        format_: How; None chooses skops where it is installed and can hold the model, else cloudpickle.
        types: Types that the caller has reviewed, beyond those of the libraries that we know.

    Writes:
        `model.skops` or `model.pkl` in the folder.

    Raises:
        UsageError: It is to be skops, and holds types that nobody reviewed.
        InvalidModelFolder: It cannot be written in this format.
        MissingLibrary: The format's library is not installed.
    """
    if format_ == "skops" or (format_ is None and environment.installed_version("skops") is not None):
        try:
            return _dump_skops(model, folder, types)
        except (UsageError, InvalidModelFolder):
            if format_ is not None:
                raise
    format_ = format_ or "cloudpickle"
    modules = pickled.dump(model, folder, "model.pkl", format_)
    return Stored("model.pkl", format_, None, frozenset(modules))


def load(folder: Path, weights: object, settings: Mapping[str, Any], *, default: str, trust: Trust) -> Any:
    """The estimator of a model folder.

    Args:
        folder: The model folder.
        weights: The file, as the MLmodel file gives it.
        settings: What the MLmodel file says of the flavor: the format, the types, the code.
        default: The format where it says none.
        trust: Why it may be loaded.

    Raises:
        UntrustedModel: Its weights run code when loaded, and neither git nor the caller vouches for them.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or needs what is not here.
    """
    format_ = settings.get("serialization_format", default)
    if format_ not in FORMATS:
        raise InvalidModelFolder(folder, f"its serialization format {format_!r} is not known")
    if format_ != "skops":
        return pickled.load(folder, weights, format_, code=settings.get("code"), trust=trust)
    types = settings.get("skops_trusted_types") if trust.runs_code else None
    data = trust.read(folder, weights)
    try:
        return _load_skops(data, [kind for kind in types or () if isinstance(kind, str)])
    except skops.Untrusted as error:
        problem = f"`{weights}` holds what skops does not know to be harmless: {error}"
        raise InvalidModelFolder(folder, problem, next_step=_VOUCH) from None
    except RunstoneError:
        raise
    except Exception as error:  # odd files make zipfile, json, numpy and skops raise odd errors
        raise InvalidModelFolder(folder, f"`{weights}` is no skops file: {error!r}") from None


def _load_skops(data: bytes, types: Sequence[str]) -> Any:
    try:
        return skops.loads(data, types)
    except skops.Unfamiliar:
        reader = library("skops.io", "load this model", "skops")
    try:
        return reader.loads(data, trusted=types)
    except reader.exceptions.UntrustedTypesFoundException:
        unknown = [kind for kind in reader.get_untrusted_types(data=data) if kind not in types]
        raise skops.Untrusted(", ".join(unknown)) from None


def _dump_skops(model: Any, folder: Path, types: Sequence[str] | None) -> Stored:
    if environment.installed_version("skops") is None:
        raise MissingLibrary("skops", "save a model so", "skops")  # whoever loads it may need the library
    try:
        data, found = skops.dumps(model)
    except skops.Unfamiliar:
        data, found = _dump_with_library(model, folder)
    unknown = sorted(kind for kind in found if not _is_reviewed(kind, types or ()))
    if unknown:
        raise UsageError(
            f"skops would refuse to load this model, since it holds {', '.join(unknown)}. "
            f"If these are safe to load: `skops_trusted_types={unknown}`"
        )
    (folder / "model.skops").write_bytes(data)
    return Stored("model.skops", "skops", found, frozenset(skops.names(data) | {"skops"}))


def _dump_with_library(model: Any, folder: Path) -> tuple[bytes, list[str]]:
    writer = library("skops.io", "save a model so", "skops")
    try:
        data: bytes = writer.dumps(model)
        return data, list(writer.get_untrusted_types(data=data))
    except Exception as error:  # UnsupportedTypeException, and what odd types raise
        raise InvalidModelFolder(
            folder,
            f"the {type(model).__name__} cannot be saved as skops: {error}".rstrip("."),
            next_step="Nothing was written. `serialization_format='cloudpickle'` holds the most.",
        ) from error


def _is_reviewed(kind: str, types: Sequence[str]) -> bool:
    return kind in types or kind in _REVIEWED_TYPES or kind.partition(".")[0] in _REVIEWED
