"""Findings: what is wrong, where, and what to do; and the line of a key in a file that people wrote."""

import re
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "unknown", "warning", "note"]
"""`unknown`: whether it is wrong cannot be told here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say of a file.

    Attributes:
        level: How bad it is.
        path: The file.
        line: Counted from 1.
        kind: What was looked at, as `version-missing`, the same for ever: programs tell findings apart by it.
        message: What is wrong and what to do, without the file's name.
    """

    level: Level
    path: str
    line: int
    kind: str
    message: str


def find_line(data: bytes, key: str) -> int:
    """The line of a key such as `stages.Production.gates[0].metric` in YAML that could be read before.

    Where it is not there, as it is missing, the line of what it is missing from.
    """
    import yaml

    try:
        node: Any = yaml.compose(data.decode(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return 1
    line, rest = 1, key
    while rest:
        rest = rest.removeprefix(".")
        if isinstance(node, yaml.MappingNode):
            # The longest one, as keys may hold dots.
            fits = [(k, v) for k, v in node.value if _begins(rest, str(k.value))]
            if not fits:
                break
            found, node = max(fits, key=lambda pair: len(str(pair[0].value)))
            rest, line = rest[len(str(found.value)) :], found.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and (index := re.match(r"\[(\d{1,9})\]", rest)):
            if int(index[1]) >= len(node.value):
                break
            node, rest = node.value[int(index[1])], rest[index.end() :]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _begins(path: str, key: str) -> bool:
    return bool(key) and path.startswith(key) and (len(path) == len(key) or path[len(key)] in ".[")
