"""Files of the registry's folder that state no fact, so that nothing heeds them: which one was likely meant."""

import re
from difflib import get_close_matches

from runstone.registry.layout import parse_path

_FOLDERS = ("stages", "aliases", "versions", "registrations")
_FILES = ("model.yaml", "README.md", "policy.yaml")


def meant_path(registry: str, path: str) -> str | None:
    """The file that was likely meant by one that states no fact, such as `stage/Production.yml`; None if none is."""
    parts = path.removeprefix(f"{registry}/").split("/")
    stem, dot, end = parts[-1].rpartition(".")
    if dot and end.lower() in ("yml", "yaml", "json"):
        parts[-1] = f"{stem}.yaml"
    if len(parts) == 1:
        parts[0] = _near(parts[0], ("policy.yaml",))
    elif len(parts) == 2:
        parts[1] = _near(parts[1], _FILES)
    else:
        parts[1] = _near(parts[1], _FOLDERS)
        number = re.fullmatch(r"[vV]?0*([1-9][0-9]*)\.yaml", parts[-1])
        if parts[1] == "versions" and number:
            parts[-1] = f"{number[1]}.yaml"
    meant = "/".join([registry, *parts])
    return meant if meant != path and parse_path(registry, meant) is not None else None


def _near(text: str, known: tuple[str, ...]) -> str:
    lower = {each.lower(): each for each in known}
    return lower.get(text.lower()) or next(iter(get_close_matches(text, known, 1)), text)
