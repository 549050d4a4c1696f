"""What every flavor writes alike: the signature that nobody gave."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from runstone.flavors import mlmodel
from runstone.flavors import sklearn as flavor
from runstone.flavors.infer import infer_schema
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.signature import ModelSignature, infer_signature
from runstone.flavors.trust import Trust

UNTOLD = pd.DataFrame({"a": [1.0, 2.0], "b": [None, None]})


def save(folder: Path, options: SaveOptions) -> ModelSignature | None:
    """The signature of a constant model, saved with these options."""
    model = DummyClassifier(strategy="constant", constant=1).fit([[0.0], [1.0]], [0, 1])
    flavor.save(model, folder, options, serialization_format="cloudpickle")
    return mlmodel.read(folder, trust=Trust()).signature


@pytest.mark.parametrize(
    ("example", "why"),
    [
        (UNTOLD, "a part of it has no type"),
        (pd.DataFrame({"a": [{"x": None}, {"x": [None]}]}), "a part of it has no type"),
        ([1, "a"], "a list holds values of different types, long and string"),
    ],
)
def test_what_an_example_cannot_tell_is_left_out(example: Any, why: str, tmp_path: Path) -> None:
    """MLflow 2.17 loads no folder whose signature says `any`, so none says it that was not asked to."""
    with pytest.warns(UserWarning, match="The type of the model's input could not be told") as told:
        found = save(tmp_path / "model", SaveOptions(input_example=example))
    assert found is not None
    assert (None, infer_schema(np.array([1, 1]))) == (found.inputs, found.outputs)
    assert why in str(told[0].message)


def test_a_signature_that_was_given_may_say_any(tmp_path: Path) -> None:
    """Who asks for `any` gets it."""
    given = infer_signature(UNTOLD)
    assert given == save(tmp_path / "model", SaveOptions(signature=given, input_example=UNTOLD))
    assert given.inputs == infer_schema(UNTOLD)


def test_what_an_example_does_tell_is_said(tmp_path: Path) -> None:
    """Both sides, without a warning."""
    found = save(tmp_path / "model", SaveOptions(input_example=UNTOLD[["a"]]))
    assert infer_signature(UNTOLD[["a"]]).inputs == (found and found.inputs)
