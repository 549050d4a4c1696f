"""Records as YAML text: `dump` writes the one canonical text of a value, `load` reads any text with care.

Canonical text is written (`yaml_write`) and read (`yaml_read`) without PyYAML; text that people or other
programs wrote goes through PyYAML's parser, hardened, since records come from other people's pushes.
"""

import re
from typing import Any

from runstone.errors import RecordInvalid
from runstone.records.document import show
from runstone.records.yaml_read import NotCanonical, parse
from runstone.records.yaml_write import MAX_DEPTH, RAW, dump

__all__ = ["MAX_DEPTH", "MAX_SIZE", "dump", "load"]

_OLD_INT = re.compile(r"[-+]?0[0-9_b]|.*[_:]|[-+]0x")
_OLD_FLOAT = re.compile("[_:]")
"""What makes a number one of YAML 1.1 alone: octal, binary and sexagesimal ones, and `_` between digits."""

MAX_SIZE = 16 * 1024 * 1024
"""Bytes (of text: characters) a document may have; a param of 1 MB is legal, a bomb is not."""


def load(text: str | bytes, where: str) -> Any:
    """Read YAML that anybody may have written, as plain values.

    Canonical text is read fast; the rest by PyYAML's safe rules, less what has no place in a record: anchors,
    aliases, tags, merge keys, repeated keys, keys that are not text, several documents. Times stay text.

    Args:
        text: The document; bytes are UTF-8.
        where: File and commit, for messages.

    Raises:
        RecordInvalid: The text is not such YAML, is over 16 MiB, or is nested more than 32 deep.
    """
    if len(text) > MAX_SIZE:
        raise RecordInvalid(where, f"the file is larger than {MAX_SIZE // 1024**2} MiB")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise RecordInvalid(where, f"line {line} is not UTF-8 text") from None
    try:
        return parse(text)
    except (NotCanonical, ValueError):
        return _Loader(text.removeprefix("\ufeff"), where).load()


class _Loader:
    """Builds values from PyYAML's events, so that every rule of ours is checked where its line is known."""

    def __init__(self, text: str, where: str) -> None:
        import yaml

        base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._yaml, self._where = yaml, where
        try:
            self._loader = base(text)
        except (yaml.YAMLError, UnicodeError) as error:  # UnicodeError: half a surrogate pair
            raise self._explain(error, text) from None
        self._text = text

    def load(self) -> Any:
        """The one document's value; None if there is no document."""
        yaml = self._yaml
        try:
            self._next()  # the stream starts
            if self._loader.check_event(yaml.StreamEndEvent):
                return None
            self._next()  # the document starts
            value = self._value(self._next(), 1)
            self._next()  # the document ends
            if not self._loader.check_event(yaml.StreamEndEvent):
                raise self._fail(self._next(), "begins a second document, and a file holds one")
            return value
        except yaml.YAMLError as error:
            raise self._explain(error, self._text) from None
        finally:
            self._loader.dispose()

    def _next(self) -> Any:
        return self._loader.get_event()

    def _value(self, event: Any, depth: int) -> Any:
        yaml = self._yaml
        if isinstance(event, yaml.AliasEvent):
            raise self._fail(event, f"refers to the anchor `{event.anchor}`; write the value out instead")
        if event.anchor is not None:
            raise self._fail(event, f"has the anchor `{event.anchor}`; write the value out where it is used instead")
        if event.tag is not None:
            raise self._fail(event, f"has the YAML tag `{event.tag}`; leave it out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth > MAX_DEPTH:
            raise self._fail(event, f"is nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(event, depth + 1))
            return items
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise self._fail(event, f"has the key {show(key)}, and keys must be text; put it in quotes")
            if key == "<<" and event.implicit[0]:
                raise self._fail(event, "has a merge key (`<<`); write the keys out instead")
            if key in values:
                raise self._fail(event, f"has the key `{key}` for the second time")
            values[key] = self._value(self._next(), depth + 1)
        return values

    def _scalar(self, event: Any) -> Any:
        """A scalar by YAML 1.1's rules, but times, `=` and `<<` are text: readers do not agree on them.

        A number that YAML 1.2 reads as another one, or as text, is refused: `010`, `1:30`, `1_000`, `0b1`.
        """
        if not event.implicit[0]:
            return event.value
        tag = self._loader.resolve(self._yaml.ScalarNode, event.value, event.implicit)
        kind = tag.rpartition(":")[2]
        if kind not in ("bool", "float", "int", "null"):
            return event.value
        if (kind == "int" and _OLD_INT.match(event.value)) or (kind == "float" and _OLD_FLOAT.search(event.value)):
            step = "write it in plain digits, or put it in quotes if it is text"
            raise self._fail(event, f"holds {event.value}, which readers of YAML take for different numbers; {step}")
        try:
            return self._loader.construct_object(self._yaml.ScalarNode(tag, event.value))
        except ValueError:
            raise self._fail(event, "holds a number that cannot be read; put it in quotes") from None

    def _fail(self, event: Any, problem: str) -> RecordInvalid:
        return RecordInvalid(self._where, f"line {event.start_mark.line + 1} {problem}")

    def _explain(self, error: Any, text: str) -> RecordInvalid:
        """One sentence of ours for whatever PyYAML said."""
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            hint = "look for a missing quote or bracket, a tab, or wrong indentation there"
            return RecordInvalid(self._where, f"line {mark.line + 1} is not YAML; {hint}")
        found = re.search(rf"[^{RAW}\t\n\r\x85\u2028\u2029]", text)
        if found is None:
            return RecordInvalid(self._where, "the file is not YAML")
        line = text.count("\n", 0, found.start()) + 1
        return RecordInvalid(
            self._where, f"line {line} holds the character U+{ord(found[0]):04X}, which must be escaped"
        )
