"""Model cards, `registry/<model>/README.md`: read one, its sections, and refresh what is generated in it.

What people write is theirs: a refresh replaces the generated keys of the front matter, line by line, and what stands
between the markers `<!-- runstone:begin NAME -->` and `<!-- runstone:end NAME -->`; nothing else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runstone.errors import RecordInvalid
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.registry import branch
from runstone.registry.layout import Place

_MAX_SIZE = 1024 * 1024
"""Characters that are looked at: a card is prose."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BLOCK = re.compile(
    r"(?P<begin><!-- runstone:begin (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<end>^<!-- runstone:end (?P=name) -->)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Generated:
    """What a refresh puts into a card.

    Attributes:
        front: Key of the front matter → value; None removes the key.
        first: Keys that only a card gets that has no front matter yet: they are people's from then on.
        blocks: Name of a block → its Markdown.
    """

    front: Mapping[str, Any]
    first: Mapping[str, Any]
    blocks: Mapping[str, str]


def read_card(repo: Repository, commit: str | None, key: str) -> str | None:
    """The model card of a model at a commit, whatever its bytes; None if it has none."""
    if commit is None:
        return None
    data = branch.read_file(repo, commit, Place("card", key).path(repo.config.registry))
    return None if data is None else data.decode(errors="replace").replace("\r\n", "\n")


def front_matter(text: str, where: str = "README.md") -> dict[str, Any]:
    """What stands between the two `---` at the head of a card; empty if there is none.

    Raises:
        RecordInvalid: It is no YAML, or no map.
    """
    head, _ = _split(text)
    if not head.strip():
        return {}
    found = yaml.load(head, where)
    if not isinstance(found, dict):
        raise RecordInvalid(where, "the front matter must be a map")
    return found


def sections(text: str) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading of its level or above; empty if only headings do.

    Comments do not count, nor does the front matter; what looks like a heading in a block of code is none. Of two
    sections of one name the bodies are joined.
    """
    _, body = _split(text[:_MAX_SIZE])
    lines = _strip_comments(body).split("\n")
    headings = list(_headings(lines))
    bodies: dict[str, list[str]] = {}
    ends = {level: len(lines) for level in range(1, 7)}  # where a section of each level would end
    for start, after, level, title in reversed(headings):
        below = lines[after : min(ends[each] for each in range(1, level + 1))]
        bodies.setdefault(title, []).append("\n".join(below).strip() if _has_text(below) else "")
        ends[level] = start
    return {
        title: "\n\n".join(part for part in reversed(bodies[title]) if part)
        for title in dict.fromkeys(title for _, _, _, title in headings)
    }


def refresh(text: str, generated: Generated) -> str:
    """A card with its generated parts put anew, and everything else as it was; the same text if nothing changed.

    Raises:
        RecordInvalid: It is larger than 1 MiB.
    """
    if len(text) > _MAX_SIZE:
        raise RecordInvalid("README.md", "the model card is larger than 1 MiB")
    head, body = _split(text)
    is_first = not text.startswith("---\n")
    values = {**generated.front, **(generated.first if is_first else {})}
    lines = [] if is_first else head.split("\n")[:-1]
    for key, value in values.items():
        lines = _put(lines, key, value)
    body = _BLOCK.sub(lambda found: _filled(found, generated.blocks), body)
    front = "\n".join(["---", *lines, "---", ""]) if lines or not is_first else ""
    return front + ("\n" if is_first and front else "") + body


def _has_text(lines: list[str]) -> bool:
    headings = {at for start, after, _, _ in _headings(lines) for at in range(start, after)}
    return any(line.strip() for at, line in enumerate(lines) if at not in headings)


def _split(text: str) -> tuple[str, str]:
    """The front matter's lines and the rest."""
    if not text.startswith("---\n"):
        return "", text
    end = re.compile(r"^---[ \t]*$\n?", re.MULTILINE).search(text, 4)
    return ("", text) if end is None else (text[4 : end.start()], text[end.end() :])


def _put(lines: list[str], key: str, value: Any) -> list[str]:
    """Lines of YAML with one key at the top put, where it was, or at the end."""
    new = [] if value is None else yaml.dump({key: value}).rstrip("\n").split("\n")
    starts = [
        i for i, line in enumerate(lines) if re.match(rf"(?:{re.escape(key)}|(['\"]){re.escape(key)}\1)\s*:", line)
    ]
    if not starts:
        return [*lines, *new]
    end = starts[0] + 1
    while end < len(lines) and re.match(r"[ \t]|-[ \t]|-$|\Z", lines[end]):
        end += 1
    while not lines[end - 1].strip():  # empty lines before the next key are people's
        end -= 1
    return [*lines[: starts[0]], *new, *lines[end:]]


def _filled(found: re.Match[str], blocks: Mapping[str, str]) -> str:
    text = blocks.get(found["name"])
    if text is None:
        return found[0]
    return f"{found['begin']}{text.strip()}\n{found['end']}" if text.strip() else f"{found['begin']}{found['end']}"


def _strip_comments(text: str) -> str:
    """Without HTML comments, but for what only looks like one in a block of code."""
    parts: list[str] = []
    plain: list[str] = []
    for is_code, line in _lines(text):
        if is_code and plain:
            parts.append(_COMMENT.sub("", "\n".join(plain)))
            plain = []
        (parts if is_code else plain).append(line)
    return "\n".join([*parts, _COMMENT.sub("", "\n".join(plain))])


def _lines(text: str) -> Iterator[tuple[bool, str]]:
    """Each line, and whether it belongs to a fenced block of code."""
    fence, in_comment = "", False
    for line in text.split("\n"):
        if in_comment:
            in_comment = "-->" not in line
            yield False, line
            continue
        found = _FENCE.match(line)
        if fence:
            yield True, line
            if found and found[1].startswith(fence) and not line[found.end() :].strip():
                fence = ""
        elif found and not ("`" in found[1] and "`" in line[found.end() :]):
            fence = found[1]
            yield True, line
        else:
            opened = line.rpartition("<!--")
            in_comment = bool(opened[1]) and "-->" not in opened[2]
            yield False, line


def _headings(lines: list[str]) -> Iterator[tuple[int, int, int, str]]:
    """First line, line after, level and text of each heading."""
    before = ""
    for at, (is_code, line) in enumerate(_lines("\n".join(lines))):
        found = None if is_code else _HEADING.match(line)
        under = None if is_code else _UNDERLINE.match(line)
        title = _title(line[found.end() :]) if found else ""
        if found and title:
            yield at, at + 1, len(found[1]), title
            line = ""
        elif under and before:
            yield at - 1, at + 1, 1 if under[1][0] == "=" else 2, before
            line = ""
        is_text = not is_code and not re.match(r" {0,3}(?:[-*+>|]|\d+[.)])| {4}|\t", line)
        before = line.strip() if is_text else ""


def _title(text: str) -> str:
    """The text of a heading without the marks that may close it."""
    text = text.strip()
    bare = text.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else text
