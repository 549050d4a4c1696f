"""Model libraries: one module each, listed in one table, from which alone a model folder can choose.

To add a library here, write a module that satisfies `protocol.Flavor` and give it a line in `_FLAVORS`.

Other distributions add theirs by an entry point, whose name is the flavor's key in MLmodel files:

    [project.entry-points."runstone.flavors"]
    acme = "acme_models.runstone_flavor"

The module satisfies `protocol.Flavor`: `name` (as the entry point's), `version()`, `save(model, folder, options)`,
`load(folder, *, trust)` and `load_pyfunc(folder, *, trust)`. If it predicts, it also has `loader_modules`: the values
of a python_function's `loader_module` that mean it, one of which it writes. `saving.save_folder` writes all of a folder
but the weights. To load, read weights by `trust.read`, and whatever runs code by `trust.read_code`; believe no path
and no module name that the folder gives. Built-in flavors come first: none can be replaced.
"""

from importlib import import_module
from types import MappingProxyType
from typing import cast

from runstone.errors import UnknownFlavor
from runstone.flavors.protocol import Flavor

# Name in MLmodel files → our module, and the `loader_module` values of a python_function that mean it. The
# latter are looked up here and never imported.
_FLAVORS = MappingProxyType(
    {
        "sklearn": ("runstone.flavors.sklearn", ("mlflow.sklearn", "runstone.flavors.sklearn")),
        "xgboost": ("runstone.flavors.xgboost", ("mlflow.xgboost", "runstone.flavors.xgboost")),
        "lightgbm": ("runstone.flavors.lightgbm", ("mlflow.lightgbm", "runstone.flavors.lightgbm")),
        "catboost": ("runstone.flavors.catboost", ("mlflow.catboost", "runstone.flavors.catboost")),
        "statsmodels": ("runstone.flavors.statsmodels", ("mlflow.statsmodels", "runstone.flavors.statsmodels")),
        "pytorch": ("runstone.flavors.pytorch", ("mlflow.pytorch", "runstone.flavors.pytorch")),
        "keras": ("runstone.flavors.keras", ("mlflow.keras", "mlflow.tensorflow", "runstone.flavors.keras")),
        "onnx": ("runstone.flavors.onnx", ("mlflow.onnx", "runstone.flavors.onnx")),
        "transformers": ("runstone.flavors.transformers", ("mlflow.transformers", "runstone.flavors.transformers")),
        "spacy": ("runstone.flavors.spacy", ("mlflow.spacy", "runstone.flavors.spacy")),
        "python_function": (
            "runstone.flavors.python_function",
            ("mlflow.pyfunc.model", "mlflow.pyfunc.loaders.code_model"),
        ),
        "files": ("runstone.flavors.files", ()),
    }
)


def flavor_names() -> tuple[str, ...]:
    """The flavors that this Runstone can save and load, those of plug-ins last."""
    from runstone.flavors.plugins import plugin_names  # it reads what is installed, which most calls need not

    return tuple(dict.fromkeys((*_FLAVORS, *plugin_names())))


def get_flavor(name: str) -> Flavor:
    """The module of a flavor.

    Raises:
        UnknownFlavor: There is none of this name.
        BrokenFlavor: The plug-in of this name cannot be used.
    """
    if name in _FLAVORS:
        return cast(Flavor, import_module(_FLAVORS[name][0]))
    from runstone.flavors.plugins import find_plugin

    return _known(find_plugin(name), name)


def get_flavor_by_loader(loader_module: str) -> Flavor:
    """The flavor that a python_function's `loader_module` means.

    Raises:
        UnknownFlavor: It means none.
        BrokenFlavor: It means none that can be asked, and there is a plug-in that cannot be.
    """
    for name, (_, loaders) in _FLAVORS.items():
        if loader_module in loaders:
            return get_flavor(name)
    from runstone.flavors.plugins import find_plugin_by_loader

    return _known(find_plugin_by_loader(loader_module), loader_module)


def _known(flavor: Flavor | None, name: str) -> Flavor:
    if flavor is None:
        raise UnknownFlavor(name, flavor_names())
    return flavor
