"""The grammar of filters and `order_by`: text → syntax with positions, and what went wrong in plain words.

A superset of MLflow's: OR, NOT, parentheses, IN, BETWEEN, IS NULL for any field. A metric's key may hold dots,
so other numbers of its summary are functions, which no key can look like: `min(metrics.loss)`.
lark costs 60 ms to import, so nothing here is touched until there is a filter to read.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from runstone.errors import FilterInvalid
from runstone.index.values import number

GRAMMAR = r"""
filter: disjunction
?disjunction: conjunction (_OR conjunction)*
?conjunction: negation (_AND negation)*
?negation: NOT negation -> negated
    | _OPEN disjunction _CLOSE
    | comparison
comparison: field OPERATOR value
    | field NOT? (LIKE | ILIKE) value
    | field NOT? IN _OPEN value (_COMMA value)* _CLOSE
    | field NOT? BETWEEN value _AND value
    | field IS NOT? NULL
order: field (ASC | DESC)?
column: field

field: PLAIN
    | QUALIFIER QUOTED
    | QUOTED
    | FUNCTION _OPEN field _CLOSE
value: NUMBER | SPECIAL | FLAG | TEXT

_OR.3: /or\b(?![.])/i
_AND.3: /and\b(?![.])/i
NOT.3: /not\b(?![.])/i
LIKE.3: /like\b/i
ILIKE.3: /ilike\b/i
IN.3: /in\b/i
BETWEEN.3: /between\b/i
IS.3: /is\b/i
NULL.3: /null\b/i
ASC.3: /asc\b/i
DESC.3: /desc\b/i
OPERATOR: /==|!=|<>|<=|>=|=|<|>/
FUNCTION.2: /(min|max|count|step|last)(?=\s*\()/i
QUALIFIER.2: /[^\W\d]\w*\.(?=["`])/
PLAIN: /[^\W\d]\w*(\.[\w.\/:@+%#-]+)?/
QUOTED: /"[^"]*(""[^"]*)*"|`[^`]*(``[^`]*)*`/
NUMBER: /[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?(?![\w.])/i
SPECIAL.2: /[+-]?(nan|inf|infinity)\b/i
FLAG.2: /(true|false)\b/i
TEXT: /'[^']*(''[^']*)*'|"[^"]*(""[^"]*)*"/
_OPEN: "("
_CLOSE: ")"
_COMMA: ","
%ignore /\s+/
"""

MAX_DEPTH = 50
"""Parentheses and NOTs inside one another."""

MAX_VALUES = 10_000
"""Comparisons and values in one filter; SQLite stops at 32,766 bound values."""

_FIELD = "a field such as metrics.mse, params.lr, tags.team or status"
_VALUE = "a number, or text in quotes"
_COMPARISON = "a comparison: =, !=, <, <=, >, >=, IN, BETWEEN, LIKE, ILIKE, IS NULL"


class FieldSyntax(NamedTuple):
    """A field as written: `min(metrics."val loss")` → `metrics`, `val loss`, `min`."""

    entity: str | None
    key: str
    part: str | None
    text: str
    at: int


class ValueSyntax(NamedTuple):
    """A literal as written, and what it means."""

    value: str | int | float | bool
    text: str
    at: int


class ComparisonSyntax(NamedTuple):
    """`field operator values`; the operator is one of = < <= > >= IN BETWEEN LIKE ILIKE NULL, perhaps negated."""

    field: FieldSyntax
    operator: str
    negated: bool
    values: tuple[ValueSyntax, ...]
    at: int


class JoinSyntax(NamedTuple):
    """Terms joined by `and` or `or`, or one term under `not`."""

    word: str
    terms: "tuple[Syntax, ...]"


Syntax = ComparisonSyntax | JoinSyntax


def parse_filter(text: str) -> Syntax:
    """The syntax of a filter that is not blank; raises `FilterInvalid`."""
    tree = _parse(text, "filter")
    counter = iter(range(MAX_VALUES))
    return _join(tree.children[0], text, 0, counter)


def parse_order(text: str) -> tuple[FieldSyntax, bool]:
    """The field of one `order_by` and whether it descends; raises `FilterInvalid`."""
    plain, _, direction = text.strip().rpartition(" ")
    if direction.lower() not in ("asc", "desc"):
        plain, direction = text.strip(), ""
    simple = _simple(plain.strip())
    if simple is not None:
        return simple, direction.lower() == "desc"
    tree = _parse(text, "order")
    return _field(tree.children[0], text), len(tree.children) > 1 and tree.children[1].type == "DESC"


def parse_column(text: str) -> FieldSyntax:
    """One field alone, as a column of a table; raises `FilterInvalid`."""
    return _simple(text) or _field(_parse(text, "column").children[0], text)


def _simple(text: str) -> FieldSyntax | None:
    """A field of letters, digits, `_`, `.`, `/` and `-`, read without the parser (and without importing it)."""
    if not text.isascii() or not text[:1].isalpha() or not text.translate(_SIMPLE).isalnum():
        return None
    entity, dot, key = text.partition(".")
    if not dot:
        return FieldSyntax(None, text, None, text, 0) if "/" not in text and "-" not in text else None
    if not key or not entity.replace("_", "").isalnum():
        return None
    return FieldSyntax(entity, key, None, text, 0)


_SIMPLE = str.maketrans("_./-", "aaaa")


@lru_cache(maxsize=1)
def _parser() -> Any:
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", start=["filter", "order", "column"], propagate_positions=True)


def _parse(text: str, kind: str) -> Any:
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

    try:
        return _parser().parse(text, start=kind)
    except UnexpectedCharacters as error:
        raise _explain(kind, text, error.pos_in_stream, error.allowed) from None
    except UnexpectedToken as error:
        at = len(text) if error.token.type == "$END" else error.token.start_pos
        raise _explain(kind, text, at, error.accepts or error.expected) from None
    except UnexpectedEOF as error:
        raise _explain(kind, text, len(text), error.expected) from None


def _explain(kind: str, text: str, at: int, expected: Any) -> FilterInvalid:
    kind = {"filter": "filter", "order": "order_by", "column": "column"}[kind]
    allowed = set(expected)
    rest = text[at:]
    word = rest.split(maxsplit=1)[0][:40] if rest.strip() else ""
    bare = "".join(c for c in word if c.isalnum() or c in "_-.")
    found = f"`{word}` cannot stand here" if word else "it ends too early"
    if rest[:1] in ("'", '"', "`") and rest.count(rest[0]) % 2:
        return FilterInvalid(kind, text, at, "the quote opened here is never closed", f"Add a {rest[0]} at its end.")
    if allowed & {"TEXT", "NUMBER"}:
        if bare and bare == word.rstrip("),") and bare[0].isalpha():
            return FilterInvalid(kind, text, at, "text must stand in quotes", f"Write '{bare}'.")
        return FilterInvalid(kind, text, at, found, f"Expected {_VALUE}.")
    if "OPERATOR" in allowed:
        if rest[:1] == "." or word == ".":
            return FilterInvalid(kind, text, at, "the dot is followed by no name", "Write metrics.mse or params.lr.")
        return FilterInvalid(kind, text, at, found, f"Expected {_COMPARISON}. A name with other signs goes in quotes.")
    if "PLAIN" in allowed:
        return FilterInvalid(kind, text, at, found, f"Expected {_FIELD}.")
    if kind == "order_by":
        return FilterInvalid(kind, text, at, found, "Expected ASC, DESC or the end; one field an entry of the list.")
    if kind == "column":
        return FilterInvalid(kind, text, at, found, f"Expected {_FIELD}, and nothing after it.")
    words = (
        ("_AND", "AND"),
        ("_OR", "OR"),
        ("NULL", "NULL"),
        ("NOT", "NOT"),
        ("IN", "IN"),
        ("BETWEEN", "BETWEEN"),
        ("LIKE", "LIKE"),
        ("ILIKE", "ILIKE"),
        ("_COMMA", "a comma"),
        ("_OPEN", "an opening parenthesis"),
        ("_CLOSE", "a closing parenthesis"),
        ("$END", "the end"),
    )
    if "(" not in text[:at]:
        allowed = (allowed - {"_COMMA", "_CLOSE"}) | ({"$END"} if "_AND" in allowed and "_OR" in allowed else set())
    named = [name for terminal, name in words if terminal in allowed]
    listed = " or ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    return FilterInvalid(kind, text, at, found, f"Expected {listed}.")


def _join(tree: Any, text: str, depth: int, counter: Iterator[int]) -> Syntax:
    if depth > MAX_DEPTH:
        at = tree.meta.start_pos
        raise FilterInvalid("filter", text, at, f"it is nested more than {MAX_DEPTH} deep", "Simplify it.")
    if tree.data == "comparison":
        return _comparison(tree, text, counter)
    word = {"disjunction": "or", "conjunction": "and", "negated": "not"}[tree.data]
    terms = [child for child in tree.children if hasattr(child, "data")]
    return JoinSyntax(word, tuple(_join(term, text, depth + 1, counter) for term in terms))


def _comparison(tree: Any, text: str, counter: Iterator[int]) -> ComparisonSyntax:
    words = [child for child in tree.children[1:] if not hasattr(child, "data")]
    values = [child for child in tree.children[1:] if hasattr(child, "data")]
    for node in values or words:
        if next(counter, None) is None:
            at = node.children[0].start_pos if values else node.start_pos
            raise FilterInvalid("filter", text, at, f"it has more than {MAX_VALUES} values", "Split the search.")
    operator = {"==": "=", "!=": "=", "<>": "="}.get(words[-1], words[-1].upper())
    negated = words[-1] in ("!=", "<>") or any(word.type == "NOT" for word in words)
    return ComparisonSyntax(
        _field(tree.children[0], text), operator, negated, tuple(_value(v) for v in values), words[0].start_pos
    )


def _field(tree: Any, text: str) -> FieldSyntax:
    part: str | None = None
    start, end = tree.meta.start_pos, tree.meta.end_pos
    if tree.children[0].type == "FUNCTION":
        function, tree = tree.children
        if tree.children[0].type == "FUNCTION":
            at = tree.meta.start_pos
            raise FilterInvalid("filter", text, at, "one function cannot hold another", "Write min(metrics.loss).")
        part = str(function)
    written = text[start:end]
    tokens = tree.children
    last = tokens[-1]
    if last.type == "QUOTED":
        key = last[1:-1].replace(last[0] * 2, last[0])
        if not key:
            raise FilterInvalid("filter", text, last.start_pos, "the name between the quotes is empty", "Write a name.")
        entity = tokens[0][:-1] if len(tokens) > 1 else None
        return FieldSyntax(entity, key, part, written, start)
    head, dot, key = last.partition(".")
    return (
        FieldSyntax(str(head), str(key), part, written, start)
        if dot
        else FieldSyntax(None, str(head), part, written, start)
    )


def _value(tree: Any) -> ValueSyntax:
    token = tree.children[0]
    text = str(token)
    if token.type == "TEXT":
        return ValueSyntax(text[1:-1].replace(text[0] * 2, text[0]), text, token.start_pos)
    if token.type == "FLAG":
        return ValueSyntax(text.lower() == "true", text, token.start_pos)
    return ValueSyntax(number(text), text, token.start_pos)
