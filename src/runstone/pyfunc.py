"""Models of any flavor behind one `predict`. Names and order of arguments are MLflow's."""

from os import PathLike

from runstone.flavors import pyfunc as flavor
from runstone.flavors.pyfunc import PyFuncModel as PyFuncModel
from runstone.models import load_trusted

__all__ = ["PyFuncModel", "load_model"]


def load_model(
    model_uri: str,
    suppress_warnings: bool = False,
    dst_path: str | PathLike[str] | None = None,
    *,
    allow_pickle: bool = False,
) -> PyFuncModel:
    """Load a model of any known flavor; its `predict` checks the input against the signature.

    Args:
        model_uri: `runs:/<run id>/<path>`, `models:/<name>/<version>`, `models:/<name>@<alias>`, or a folder.
        suppress_warnings: Load without warnings, as about another version of the library.
        dst_path: An existing folder to keep a copy of the model folder in.
        allow_pickle: You trust the folder; see `runstone.sklearn.load_model`.

    Raises:
        UntrustedModel: A folder with pickled weights, and `allow_pickle` is not said.
        ModelFileChanged: A file is not the one git recorded.
        RunNotFound: There is no such run; and likewise `ModelNotFound`, `VersionNotFound`, `AliasNotFound`.
    """
    import warnings

    with warnings.catch_warnings():
        if suppress_warnings:
            warnings.simplefilter("ignore")
        return load_trusted(model_uri, dst_path, allow_pickle, lambda folder, trust: flavor.load(folder, trust=trust))
