"""What the `dvc.yaml` files of a commit name: files of params, metrics and plots, and artifacts; and values of such."""

import ast
import posixpath
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runstone.errors import RecordInvalid
from runstone.imports.dvc_outputs import read_yaml
from runstone.imports.foreign import parse_json
from runstone.imports.incoming import Refusal
from runstone.imports.trees import Tree
from runstone.records import yaml

DEFAULT_PARAMS = "params.yaml"
_MANY = 200


@dataclass(frozen=True, slots=True)
class Named:
    """An entry of `artifacts:` in a `dvc.yaml`, or of gto's `artifacts.yaml`."""

    name: str
    path: str
    type: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Pipeline:
    """What all `dvc.yaml` files of a tree say together; paths are from the top of the tree."""

    params: dict[str, None] = field(default_factory=dict)
    metrics: dict[str, None] = field(default_factory=dict)
    plots: dict[str, None] = field(default_factory=dict)
    artifacts: dict[str, Named] = field(default_factory=dict)


def read_pipeline(tree: Tree, refuse: Refusal) -> Pipeline:
    """Read every `dvc.yaml` of a tree.

    Args:
        tree: The tree.
        refuse: Told of what is written as a template, whose values only DVC knows.
    """
    found = Pipeline()
    if DEFAULT_PARAMS in tree.paths:
        found.params[DEFAULT_PARAMS] = None
    for path in [path for path in tree.paths if posixpath.basename(path) == "dvc.yaml"][:_MANY]:
        folder, document = posixpath.dirname(path), read_yaml(tree, path)
        if not document and tree.read(path):
            refuse(path, "it cannot be read; see `dvc status`")
        sections = [(folder, document)]
        stages = document.get("stages")
        for stage in (stages if isinstance(stages, dict) else {}).values():
            inner = stage.get("do", stage) if isinstance(stage, dict) else None
            if isinstance(inner, dict):
                inside = posixpath.join(folder, str(inner.get("wdir") or ""))
                sections.append((inside, {**inner, "artifacts": None, "is_stage": True}))
        for inside, section in sections:
            is_stage = "is_stage" in section
            for key, target in (("params", found.params), ("metrics", found.metrics), ("plots", found.plots)):
                for name in _paths(section.get(key), is_stage_params=is_stage and key == "params"):
                    if "${" in name:
                        refuse(f"{path}: {name}", "it is a template, which only DVC resolves")
                    elif (whole := _inside(inside, name)) is not None:
                        target[whole] = None
            for named in read_named(section.get("artifacts"), inside):
                prefix = f"{folder}:" if folder else ""
                found.artifacts[prefix + named.name] = named
    return found


def read_named(section: Any, folder: str) -> Iterator[Named]:
    """The entries of an `artifacts:` section, or of a whole `artifacts.yaml`."""
    for name, entry in (section if isinstance(section, dict) else {}).items():
        if not isinstance(entry, dict):
            continue
        given = entry.get("path")
        path = given if isinstance(given, str) else ""
        whole = _inside(folder, path) if path else ""
        labels = entry.get("labels")
        described = entry.get("desc") or entry.get("description")
        yield Named(
            name,
            path if whole is None else whole,  # one that leads out stays as it is: no commit has such a path
            str(entry.get("type") or ""),
            str(described or ""),
            tuple(str(each) for each in labels) if isinstance(labels, list) else (),
        )


def read_values(data: bytes, path: str, refuse: Refusal) -> Any:
    """The values of a file of params or metrics, by its extension: YAML, JSON, TOML, or Python's literals."""
    kind = posixpath.splitext(path)[1].lower()
    try:
        if kind == ".json":
            return parse_json(data)
        if kind == ".toml":
            return tomllib.loads(data.decode())
        if kind == ".py":
            return _literals(data)
        return yaml.load(data, path)
    except (RecordInvalid, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        refuse(path, str(error) if isinstance(error, RecordInvalid) else f"it cannot be read as {kind or 'YAML'}")
        return None


def _literals(data: bytes) -> dict[str, Any]:
    """What a Python file assigns at its top and in classes, where it is a literal; nothing is executed."""
    found: dict[str, Any] = {}
    pending: list[tuple[str, Iterable[ast.stmt]]] = [("", ast.parse(data).body)]
    while pending:
        prefix, body = pending.pop()
        for node in body:
            if isinstance(node, ast.ClassDef):
                pending.append((f"{prefix}{node.name}.", node.body))
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        try:
                            found[prefix + target.id] = ast.literal_eval(node.value)
                        except ValueError:
                            continue
    return found


def _paths(section: Any, *, is_stage_params: bool) -> Iterator[str]:
    """The files that a section of `dvc.yaml` names. Those of a stage's `params` are keys, unless they are maps."""
    entries = list(section.items()) if isinstance(section, dict) else section if isinstance(section, list) else []
    for entry in entries:
        if isinstance(entry, str):
            if not is_stage_params:
                yield entry
        elif isinstance(entry, dict):
            yield from (key for key in entry if isinstance(key, str))
        elif isinstance(entry, tuple):  # plots as a map: a path, or an id whose `y` names the paths
            key, options = entry
            sources = options.get("y") if isinstance(options, dict) else None
            yield from sources if isinstance(sources, dict) else [key]


def _inside(folder: str, path: str) -> str | None:
    """A path from the top of the tree; None for one that leads out."""
    whole = posixpath.normpath(posixpath.join(folder, path))
    return None if whole.startswith(("../", "/")) or whole == ".." else whole
