"""Model libraries: one module each, listed in one table, from which alone a model folder can choose.

To add a library, write a module that satisfies `protocol.Flavor` and give it a line in `_FLAVORS`.
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
    }
)


def flavor_names() -> tuple[str, ...]:
    """The flavors that this Runstone can save and load."""
    return tuple(_FLAVORS)


def get_flavor(name: str) -> Flavor:
    """The module of a flavor; raises `UnknownFlavor`."""
    if name not in _FLAVORS:
        raise UnknownFlavor(name, flavor_names())
    return cast(Flavor, import_module(_FLAVORS[name][0]))


def get_flavor_by_loader(loader_module: str) -> Flavor:
    """The flavor that a python_function's `loader_module` means; raises `UnknownFlavor`."""
    for name, (_, loaders) in _FLAVORS.items():
        if loader_module in loaders:
            return get_flavor(name)
    raise UnknownFlavor(loader_module, flavor_names())
