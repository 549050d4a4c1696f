"""Where each fact of the registry lies on the default branch: path ⇄ place. One fact is one file."""

from typing import Literal, NamedTuple

from runstone.names import parse_version_number

Kind = Literal["model", "stage", "alias", "notes", "registration", "card", "policy"]

_FOLDERS: dict[str, Kind] = {
    "stages": "stage",
    "aliases": "alias",
    "versions": "notes",
    "registrations": "registration",
}
_FILES: dict[str, Kind] = {"model.yaml": "model", "README.md": "card", "policy.yaml": "policy"}
_FOLDER_OF = {kind: folder for folder, kind in _FOLDERS.items()}
_FILE_OF = {kind: file for file, kind in _FILES.items()}


class Place(NamedTuple):
    """The place of one fact.

    Attributes:
        kind: What it is.
        key: The model's folder: its first name, encoded as in its git tags. Empty for the policy of all models.
        name: The stage, the alias, the number of the version as text, or the run's id; else empty.
    """

    kind: Kind
    key: str = ""
    name: str = ""

    def path(self, registry: str) -> str:
        """The file, in the registry's folder."""
        parts = [registry, *([self.key] if self.key else [])]
        if self.kind in _FILE_OF:
            return "/".join([*parts, _FILE_OF[self.kind]])
        return "/".join([*parts, _FOLDER_OF[self.kind], f"{self.name}.yaml"])


def parse_path(registry: str, path: str) -> Place | None:
    """The inverse of `Place.path`; None for a file that states no fact of the registry."""
    if not path.startswith(f"{registry}/"):
        return None
    match path[len(registry) + 1 :].split("/"):
        case ["policy.yaml"]:
            return Place("policy")
        case [key, file] if key and file in _FILES:
            return Place(_FILES[file], key)
        case [key, folder, file] if key and folder in _FOLDERS and file.endswith(".yaml") and len(file) > 5:
            name = file.removesuffix(".yaml")
            if folder == "versions" and parse_version_number(name) is None:
                return None
            return Place(_FOLDERS[folder], key, name)
        case _:
            return None


def covered_path(registry: str, path: str) -> str | None:
    """The path of a fact that a folder stands in the place of, with this file in it; None if there is none."""
    parts = path.split("/")
    first = registry.count("/") + 2
    above = ("/".join(parts[:end]) for end in range(first, min(first + 3, len(parts))))
    return next((each for each in above if parse_path(registry, each) is not None), None)
