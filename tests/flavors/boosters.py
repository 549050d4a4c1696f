"""What the tests of the gradient-boosting flavors share: data, and the checks that every flavor must pass."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runstone.flavors import get_flavor, get_flavor_by_loader, pyfunc
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.trust import Trust
from tests.flavors.support import digests_of

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"])
NUMBERS = X["a"] * 2 + X["b"]
CLASSES = (X["a"] > 0).astype(int)


def edit(folder: Path, old: str, new: str) -> None:
    """Exchange a text in the MLmodel file, as a hand or a newer version would."""
    file = folder / "MLmodel"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def check_round_trip(flavor_name: str, model: Any, folder: Path, trust: Trust | None = None, **options: Any) -> Any:
    """Save; load with both our faces and both of MLflow's; all predict as the model itself. Returns what we loaded."""
    flavor: Any = get_flavor(flavor_name)
    flavor.save(model, folder, SaveOptions(input_example=X[:3]), **options)
    trust = trust or Trust(digests_of(folder))
    loaded = flavor.load(folder, trust=trust)
    assert type(model) is type(loaded)
    ours = pyfunc.load(folder, trust=trust)
    assert f"mlflow.{flavor_name}" == ours.loader_module
    assert get_flavor_by_loader(f"mlflow.{flavor_name}") is flavor
    answers = np.asarray(ours.predict(X))
    theirs = import_module("mlflow.pyfunc").load_model(str(folder))
    np.testing.assert_allclose(answers, np.asarray(theirs.predict(X)))
    again = import_module(f"mlflow.{flavor_name}").load_model(str(folder))
    assert type(model) is type(again)
    assert ours.metadata.signature is not None
    assert ours.metadata.signature.to_dict() == theirs.metadata.signature.to_dict()
    assert ours.metadata.signature.outputs is not None
    return loaded, answers


def check_their_save(flavor_name: str, model: Any, folder: Path, answers: Any, **options: Any) -> None:
    """Have MLflow save the model; we load it with digests, and it predicts `answers`."""
    # With requirements given, MLflow does not load the model in a process of its own to find them: 5 s.
    options = {"pip_requirements": [flavor_name], "input_example": X[:3]} | options
    import_module(f"mlflow.{flavor_name}").save_model(model, str(folder), **options)
    trust = Trust(digests_of(folder))
    assert type(model) is type(get_flavor(flavor_name).load(folder, trust=trust))
    np.testing.assert_allclose(answers, np.asarray(pyfunc.load(folder, trust=trust).predict(X[["c", "a", "b"]])))


def requirements_of(folder: Path) -> list[str]:
    """The names in a model folder's requirements.txt."""
    return [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()]
