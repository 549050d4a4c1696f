"""Flavors of other distributions: modules that they name in the entry point group `runstone.flavors`.

They are looked at only where no flavor of ours has the name that is asked for, so none can take the place of one.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from runstone.errors import BrokenFlavor
from runstone.flavors.protocol import Flavor

GROUP = "runstone.flavors"

_NEEDED = ("version", "save", "load", "load_pyfunc")


def plugin_names() -> tuple[str, ...]:
    """The flavors that installed distributions bring."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def find_plugin(name: str) -> Flavor | None:
    """The flavor of a name; None if no distribution brings it.

    Raises:
        BrokenFlavor: Its module cannot be imported, or is no flavor.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    return _load(found[0]) if found else None


def find_plugin_by_loader(loader_module: str) -> Flavor | None:
    """The flavor that says that a `loader_module` means it; None if there is none.

    Raises:
        BrokenFlavor: No flavor says so, and one of them cannot be asked.
    """
    broken: BrokenFlavor | None = None
    for entry in entry_points(group=GROUP):
        try:
            flavor = _load(entry)
        except BrokenFlavor as error:
            broken = broken or error
            continue
        if loader_module in getattr(flavor, "loader_modules", ()):
            return flavor
    if broken is not None:
        raise broken
    return None


@cache
def _load(entry: EntryPoint) -> Flavor:
    source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:  # it is anybody's code
        raise BrokenFlavor(entry.name, source, f"importing it raised {type(error).__name__}: {error}") from error
    missing = [verb for verb in _NEEDED if not callable(getattr(module, verb, None))]
    if missing:
        raise BrokenFlavor(entry.name, source, f"`{entry.value}` has no {', '.join(f'`{verb}`' for verb in missing)}")
    if getattr(module, "name", None) != entry.name:
        raise BrokenFlavor(entry.name, source, f"`{entry.value}` calls itself {getattr(module, 'name', None)!r}")
    return cast(Flavor, module)
