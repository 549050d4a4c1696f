"""Hugging Face pipelines behind `predict`: what each task is given and answers, as MLflow has it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runstone.errors import InputMismatch
from runstone.flavors.schema import ColSpec, DataType, Schema, TensorSpec
from runstone.flavors.signature import ModelSignature

_TEXT = Schema([ColSpec(DataType.string)])
_TEXT_TO_TEXT = ModelSignature(_TEXT, _TEXT)

SIGNATURES = {
    "feature-extraction": ModelSignature(_TEXT, Schema([TensorSpec("float64", (-1,), "double")])),
    "fill-mask": _TEXT_TO_TEXT,
    "summarization": _TEXT_TO_TEXT,
    "text-classification": ModelSignature(
        _TEXT, Schema([ColSpec(DataType.string, "label"), ColSpec(DataType.double, "score")])
    ),
    "text-generation": _TEXT_TO_TEXT,
    "text2text-generation": _TEXT_TO_TEXT,
    "token-classification": _TEXT_TO_TEXT,
    "translation": _TEXT_TO_TEXT,
}
"""The signature of a pipeline that was saved without an example: its task tells it."""

TASKS = tuple(SIGNATURES)
"""The tasks that `pyfunc` predicts for: text goes in. Some of them are only in transformers 4."""

PROMPT_TASKS = ("feature-extraction", "fill-mask", "summarization", "text2text-generation", "text-generation")

_ANSWERS = {
    "fill-mask": "token_str",
    "summarization": "summary_text",
    "text-generation": "generated_text",
    "text2text-generation": "generated_text",
    "translation": "translation_text",
}
_PAIR = {"text", "text_pair"}


@dataclass(frozen=True, slots=True)
class PipelinePredictor:
    """A pipeline behind `predict`."""

    raw: Any
    config: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Predict.

        Args:
            data: A text, a list of texts, or a DataFrame with one column of them. For `text-classification` also
                maps, or columns, of `text` and `text_pair`.
            params: What the pipeline is called with, over what was saved as `model_config`.

        Returns:
            For `text-classification` a DataFrame of labels and scores; for `feature-extraction` an array
            `(n_tokens, n_features)`, or a list of one for each of several texts; for `token-classification` the
            entities of each text, joined by commas; else a list of texts.

        Raises:
            InputMismatch: The data are no texts.
        """
        given = _texts(data, takes_pairs=self.raw.task == "text-classification")
        if self.template is not None:
            given = [self.template.format(prompt=text) for text in given]
        options = {**self.config, **params}
        collapses = options.pop("collapse_whitespace", False)
        options.pop("include_prompt", None)  # means something to pipelines that transformers never had
        found = self.raw(given, **options)
        match self.raw.task:
            case "text-classification":
                import pandas

                return pandas.DataFrame(found)
            case "feature-extraction":
                import numpy

                arrays = [numpy.array(each[0]) for each in found]
                return arrays[0] if len(arrays) == 1 else arrays
            case "token-classification":
                return [_entities(each) for each in (found if found and isinstance(found[0], list) else [found])]
            case task:
                texts = [each[_ANSWERS[task]] for each in _flat(found, first=task == "fill-mask")]
                return [re.sub(r"\s+", " ", text).strip() if collapses else text.strip() for text in texts]

    def predict_once(self, data: Any) -> Any:
        """Predict for the example, as it was given; the pipeline's module is left in the mode it was in."""
        was = self.raw.model.training
        self.raw.model.eval()
        try:
            return self.predict(data, {})
        finally:
            self.raw.model.train(was)


def _texts(data: Any, *, takes_pairs: bool) -> list[Any]:
    """Data as the list that a pipeline takes."""
    if hasattr(data, "columns"):
        if takes_pairs and set(data.columns) == _PAIR:
            data = data.to_dict(orient="records")
        elif data.shape[1] == 1:
            data = data.iloc[:, 0].tolist()
        else:
            raise InputMismatch(f"the model takes one column of texts, and this has {list(data.columns)}")
    elif hasattr(data, "tolist"):
        data = data.tolist()
    given = list(data) if isinstance(data, list | tuple) else [data]
    is_pair = takes_pairs and all(isinstance(each, dict) and set(each) <= _PAIR for each in given)
    if not is_pair and not all(isinstance(each, str) for each in given):
        raise InputMismatch("the model takes texts, and some of these are none")
    return given


def _flat(found: Any, *, first: bool) -> list[Any]:
    """The answers of all texts: of each all, or the first; of one text some pipelines answer without its list."""
    nested = found if found and isinstance(found[0], list) else [found] if first else [[each] for each in found]
    return [each for answers in nested for each in (answers[:1] if first else answers)]


def _entities(found: list[dict[str, Any]]) -> str:
    return ",".join(each.get("entity_group") or each["entity"] for each in found)
