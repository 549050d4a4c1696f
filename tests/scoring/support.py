"""What the tests of scoring share: a model that anybody can check by hand, and a call that scores."""

from pathlib import Path
from typing import Any

from runstone.flavors import pyfunc
from runstone.flavors import sklearn as flavor
from runstone.flavors.protocol import SaveOptions
from runstone.flavors.pyfunc import PyFuncModel
from runstone.flavors.trust import Trust
from runstone.models import infer_signature
from runstone.scoring import batch
from runstone.scoring.batch import Job, Scored

EXPECTED = [0.5 + 2 * i for i in range(10)]


def linear() -> Any:
    """A fitted linear model, y = 2 a + b, and the data it was fitted with."""
    import pandas
    from sklearn.linear_model import LinearRegression

    x = pandas.DataFrame({"a": [0.0, 1.0, 0.0, 3.0], "b": [0.0, 0.0, 1.0, 2.0]})
    return LinearRegression().fit(x, 2 * x["a"] + x["b"]), x


def save_linear(folder: Path) -> Path:
    """A model folder of `linear`, with its signature."""
    model, x = linear()
    options = SaveOptions(signature=infer_signature(x, model.predict(x)), pip_requirements=[])
    flavor.save(model, folder, options)
    return folder


def load(folder: Path) -> PyFuncModel:
    """The model of a folder that this test made."""
    return pyfunc.load(folder, trust=Trust(allow_pickle=True))


def score(model: PyFuncModel, source: Path | str, target: Path | str, **options: Any) -> Scored:
    """Plan, check and score."""
    planned = batch.plan(Job(str(source), str(target), **options))
    batch.check(model, planned)
    return batch.score(model, planned)


def left_in(folder: Path) -> list[str]:
    """The names of all that lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())
