"""spaCy pipelines as model folders: `model.spacy`, as `Language.to_disk` writes it. A text categorizer predicts.

Such a folder holds settings and arrays, and no pickles. Its `config.cfg` names registered functions to build the
pipeline with: spaCy's own are data to us, and such a pipeline is loaded from anywhere. Others, callbacks and
components taken from other models run code, so they need git or the caller to vouch for the folder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from runstone.errors import InputMismatch, InvalidModelFolder, ModelFileChanged, UntrustedModel, UsageError
from runstone.flavors import environment, mlmodel
from runstone.flavors.checked_files import checked
from runstone.flavors.code import add_code, own_modules
from runstone.flavors.mlmodel import flavor_settings
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.saving import Weights, check_version, library, save_folder
from runstone.flavors.trust import Trust

name = "spacy"

WEIGHTS = "model.spacy"

_CODE = frozenset({"@callbacks", "@readers"})  # they may load other models, or read files anywhere


def version() -> str | None:
    """The installed spaCy; None if there is none."""
    return environment.installed_version("spacy")


def save(
    model: Any,
    folder: Path,
    options: SaveOptions = SaveOptions(),  # noqa: B008  # frozen
) -> None:
    """Save a spaCy pipeline as a model folder, which MLflow loads too.

    It predicts by `pyfunc` only if it has a text categorizer, as in MLflow.

    Args:
        model: A `spacy.Language`.
        folder: Where; it must be new or empty.
        options: What is saved beside the weights.

    Writes:
        The folder: MLmodel, weights, requirements.txt, python_env.yaml, conda.yaml, input example, code.

    Raises:
        UsageError: The model is no pipeline of spaCy.
        InvalidModelFolder: The folder is not empty.
        MissingLibrary: spaCy is not installed.
    """
    spacy = library("spacy", "save a spaCy pipeline")
    if not isinstance(model, spacy.language.Language):
        raise UsageError(f"A spaCy pipeline is a `spacy.Language`, and this is a {type(model).__name__}.")
    predicts = any(isinstance(part, spacy.pipeline.TextCategorizer) for _, part in model.pipeline)

    def write(target: Path, code: str | None) -> Weights:
        del code
        model.to_disk(target / WEIGHTS)
        return Weights(
            settings={"data": WEIGHTS, "spacy_version": version()},
            requirements=["pandas", "spacy"] if predicts else ["spacy"],
            modules={type(part).__module__ for _, part in model.pipeline},
            pyfunc={"loader_module": "mlflow.spacy", "data": WEIGHTS} if predicts else None,
            predict=(lambda data: SpacyPredictor(model).predict(data, {})) if predicts else None,
        )

    save_folder(folder, name, options, write)


def load(folder: Path, *, trust: Trust) -> Any:
    """The `spacy.Language` of a model folder, be it ours or MLflow's.

    Raises:
        UntrustedModel: It is built by functions that are not spaCy's own, and neither git nor the caller vouches.
        ModelFileChanged: A file is not the recorded one.
        InvalidModelFolder: The folder cannot be understood, or is of another flavor.
        MissingLibrary: spaCy is not installed.
    """
    settings = flavor_settings(folder, mlmodel.read(folder, trust=trust), name)
    check_version(folder, "spacy", settings.get("spacy_version"))
    spacy = library("spacy", "load this model")
    path = settings.get("data", WEIGHTS)
    with checked(folder, path, trust=trust) as place:
        try:
            config = spacy.util.load_config(place / "config.cfg").interpolate()
            if trust.runs_code and settings.get("code") and not _has_all(spacy, config):
                add_code(folder, settings["code"], trust=trust)
                for module in own_modules(folder, settings["code"]):
                    import_module(module)  # a component registers itself when it is imported
            if trust.runs_code or all(_is_known(key, value) for key, value in _functions(config)):
                return spacy.load(place)
        except (InvalidModelFolder, ModelFileChanged):
            raise
        except Exception as error:  # of spaCy, of its configuration, of msgpack: they share no class
            raise InvalidModelFolder(
                folder,
                f"spaCy cannot load `{path}`: {error}",
                next_step="If the pipeline has components of your own, import them first, or save it with "
                "`code_paths=[...]`.",
            ) from error
        raise UntrustedModel(folder, f"{path}/config.cfg")


@dataclass(frozen=True, slots=True)
class SpacyPredictor:
    """A pipeline with a text categorizer behind `predict`."""

    raw: Any

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Predict.

        Args:
            data: A text, a list of texts, or a DataFrame whose one column holds them.
            params: None are passed on.

        Returns:
            A DataFrame whose column `predictions` maps each category to its score.

        Raises:
            InputMismatch: The data are something else.
        """
        import pandas

        if hasattr(data, "columns") and data.shape[1] != 1:
            raise InputMismatch(f"the model takes one column of texts, and this has {data.shape[1]}")
        texts = (
            data.iloc[:, 0] if hasattr(data, "columns") else pandas.Series([data] if isinstance(data, str) else data)
        )
        if not all(isinstance(text, str) for text in texts):
            raise InputMismatch("the model takes texts, and some of these are none")
        found = pandas.Series([document.cats for document in self.raw.pipe(texts)], index=texts.index, dtype=object)
        return pandas.DataFrame({"predictions": found})


def load_pyfunc(folder: Path, *, trust: Trust) -> SpacyPredictor:
    """The pipeline behind `predict`; raises as `load`."""
    return SpacyPredictor(load(folder, trust=trust))


def _has_all(spacy: Any, config: Mapping[str, Any]) -> bool:
    """Whether all components of the pipeline are known here."""
    return all(spacy.Language.has_factory(part.get("factory", "")) for part in config["components"].values())


def _functions(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What spaCy looks up to build the pipeline: registered functions, and other models to take components from.

    The sections on training are not looked into when a pipeline is loaded.
    """
    waiting: list[Any] = [config.get("nlp"), config.get("components")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            yield from ((key, value) for key, value in part.items() if key[:1] == "@" or key == "source")
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _is_known(key: str, value: object) -> bool:
    is_own = isinstance(value, str) and value.startswith(("spacy.", "spacy-legacy.")) and "FromFile" not in value
    return is_own and key != "source" and key not in _CODE
