"""The levels of DVC's configuration, put together where DVC does not do it as Runstone needs it.

DVC knows nothing of a configuration on the branch of runs, nor of linked work trees.
"""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from runstone.artifacts.config import Place, Sections, default_remote, parse_config, public_remotes, read_config

_MACHINE_PATHS = {"url", "credentialpath", "configpath", "keyfile", "cert_path", "key_path"}


def shared_config(place: Place, text: str, local: Sections) -> dict[str, Any]:
    """The configuration on the branch of runs, with the secrets of this machine on top."""
    remotes = public_remotes(text)
    core = dict(local.get("core", {}))
    default = default_remote(parse_config(text), remotes)
    if default is not None:
        core.setdefault("remote", default)
    merged = {name: _absolute(settings, place.base) for name, settings in remotes.items()}
    for section, settings in local.items():
        if section.startswith("remote"):
            name = section.partition('"')[2].rstrip('"')
            merged.setdefault(name, {}).update(_absolute(settings, place.local_config.parent))
    return {"core": core, "remote": merged}


def main_urls(place: Place, text: str, local: Sections) -> dict[str, dict[str, str]]:
    """In a linked work tree, the URLs of the remotes that are folders relative to the main one; else none.

    A folder beside the main work tree is meant, not one beside a linked work tree, wherever that may be.
    """
    if place.own is None or place.main is None or place.main == place.own:
        return {}
    return {
        name: _absolute({"url": settings["url"]}, place.main)
        for name, settings in public_remotes(text).items()
        if "url" not in local.get(f'remote "{name}"', {}) and "://" not in settings["url"]
    }


def how_to_find(place: Place, name: str, shared_url: str | None, folder: Path) -> str:
    """How to tell this clone where a remote's folder is, which is not where its URL leads."""
    command = f"dvc remote modify --local {name} url PATH" if place.dvc_dir else "runstone init --local --remote PATH"
    local = read_config(place.local_config).get(f'remote "{name}"', {})
    if shared_url is None or "url" in local or Path(shared_url).expanduser().is_absolute():
        why = "See that its disk is mounted, or tell this clone where the folder is"
    else:
        why = f"Its URL, `{shared_url}`, is meant relative to each clone; tell this one where the folder is"
    return f"{why}: `{command}`. If it is to begin empty: `mkdir -p {quote(str(folder))}`"


def _absolute(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """A remote's settings with paths made absolute: DVC cuts letters off names below a relative one."""
    return {
        key: str((folder / Path(value).expanduser()).resolve())
        if key in _MACHINE_PATHS and "://" not in value
        else value
        for key, value in settings.items()
    }
