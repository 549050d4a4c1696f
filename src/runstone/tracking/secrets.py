"""What must not be recorded: values whose key, or whose own shape, says that they are secret.

Redaction happens before anything is written, the journal included. Patterns work on text alone and in
linear time. A shape that depends on the character before it also refuses to stand right behind an
earlier redaction, so that redacting twice is redacting once.
"""

import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from runstone.errors import RecordInvalid

REDACTED = "[redacted]"
DEFAULT = "default"
"""In a list of `runstone.yaml`, stands for the built-in patterns."""

_NUMBER = r"(?:_?\d+)?$"
_MODEL_TOKENS = (
    "additional answer audio begin blank bos class cls end eos eot extra fim first image initializer instance "
    "last mask masked new next oov pad padding per placeholder prefix prev previous prompt register sep separator "
    "sot special start stop sub suffix target trigger unk unknown video word"
)

DEFAULT_KEYS: tuple[str, ...] = (
    rf"(?:password|pass_word|passwd|passphrase)s?{_NUMBER}",
    rf"(?:^|_)(?:secrets?|credentials?|creds?|authorization){_NUMBER}",
    rf"[^_]_pwd{_NUMBER}",
    rf"^pwd{_NUMBER}",
    rf"(?:access|account|api|auth|client|encryption|master|private|secret|signing|ssh)_?keys?{_NUMBER}",
    rf"(?:access|api|auth|bearer|client|refresh|secret)_?tokens?{_NUMBER}",
    # A token of a vocabulary is none of a service: `pad_token` and its kin are left alone.
    rf"(?:^|_)(?!(?:{'|'.join(_MODEL_TOKENS.split())})_)[^_]+_token{_NUMBER}",
    rf"^token{_NUMBER}",
)
"""Searched in a key as it is written and in its snake_case form, without regard to case."""


class Shape(NamedTuple):
    """Text that is secret by its shape.

    Attributes:
        name: For the warning.
        hints: Plain text of which one must be there, or the pattern need not be tried.
        pattern: A regular expression; its group `secret`, or else all of it, is redacted.
    """

    name: str
    hints: tuple[str, ...]
    pattern: str


_START = r"(?<![A-Za-z0-9_-])(?<!redacted\])"
_SHAPES = (
    Shape(
        "a private key",
        ("PRIVATE KEY",),
        # Up to the next dashes, so that a block that was cut short is redacted too.
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----[^-]*+(?:-(?!----)[^-]*+)*+"
        r"(?:-----END [^-]{0,60}-----)?",
    ),
    Shape("a password in a URL", ("://",), r"://[^\s/:@\"'<>]*+:(?!\[redacted\]@)(?P<secret>[^\s/\"'<>]+)@"),
    Shape("an AWS access key", ("AKIA", "ASIA"), rf"{_START}(?:AKIA|ASIA)[A-Z0-9]{{16}}"),
    Shape(
        "an AWS secret key",
        ("ecret", "ECRET"),
        r"(?i:secret_?(?:access_?)?key)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?P<secret>[A-Za-z0-9/+]{20,})",
    ),
    Shape("a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,}"),
    Shape("a GitHub token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,}"),
    Shape("a GitLab token", ("glpat-",), r"glpat-[A-Za-z0-9_-]{20,}"),
    Shape("a Slack token", ("xox",), rf"{_START}xox[abeoprs]-[A-Za-z0-9-]{{10,}}"),
    Shape("a Stripe key", ("k_live_",), r"[rs]k_live_[A-Za-z0-9]{16,}"),
    Shape(
        "an API key",
        ("sk-",),
        # `sk-learn-random-forest` is a name: hyphens are part of a key only behind a maker's prefix.
        rf"{_START}sk-(?:(?:admin|ant|or|proj|svcacct|None)-[A-Za-z0-9_-]{{16,}}|[A-Za-z0-9]{{20,}})",
    ),
    Shape("a Hugging Face token", ("hf_",), rf"{_START}hf_[A-Za-z0-9]{{30,}}"),
    Shape("a Google API key", ("AIza",), rf"{_START}AIza[A-Za-z0-9_-]{{35}}"),
    Shape("a web token", ("eyJ",), rf"{_START}eyJ[A-Za-z0-9_-]{{8,}}\.eyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]{{8,}}"),
    Shape(
        "a header",
        ("ey: ", "EY: ", "ken: ", "KEN: ", "uthorization: ", "UTHORIZATION: "),
        rf"{_START}(?i:(?:x-)?(?:(?:goog-)?api-key|(?:auth|access|vault|private)-token)"
        r"|authorization: (?:basic|token)):? "
        r"(?P<secret>[^\s'\"\[]{8,})",
    ),
    Shape(
        "a signature in a URL",
        ("sig=", "ignature="),
        r"[?&](?:sig|X-(?:Amz|Goog)-Signature)=(?P<secret>[\w%+/=-]{8,})",
    ),
    Shape("a bearer token", ("earer ",), rf"{_START}[Bb]earer (?P<secret>[A-Za-z0-9._~+/-]{{16,}}+=*)"),
)
DEFAULT_VALUES: tuple[str, ...] = tuple(shape.pattern for shape in _SHAPES)
"""Searched in every text."""

_BUILT_IN = {shape.pattern: shape for shape in _SHAPES}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PUNCTUATION = re.compile(r"[\W_]+")
_MANY_KEYS = 4096
# `key=value` anywhere, and `"key": "value"` as in a printed dict or JSON; whether it is secret, the key says.
_ASSIGNED = re.compile(r"(?<![\w.-])(?<!redacted\])(?P<key>[\w.-]++)=")
_ASSIGNED_VALUE = re.compile(
    r"\"(?P<double>[^\"\\\n]++)\"|'(?P<single>[^'\\\n]++)'|(?P<plain>(?!\[redacted\])[^\s&;,\"']++)"
)
_QUOTED = re.compile(r"[\"'](?P<key>[\w.-]++)[\"']\s{0,4}:\s{0,4}(?=[\"'])")
_QUOTED_VALUE = re.compile(
    r"\"(?P<double>[^\"\\]*+(?:\\.[^\"\\]*+)*+)\"|'(?P<single>[^'\\]*+(?:\\.[^'\\]*+)*+)'", re.DOTALL
)
_PORT = re.compile(r"[^@:\[\]]*(?::\d*)?|\[[^\]]*\](?::\d*)?")
_PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"


class SecretRedacted(UserWarning):
    """A value looked like a secret and was recorded as `[redacted]`."""


@dataclass(frozen=True, slots=True)
class _Found:
    start: int
    end: int
    what: str


class Redactor:
    """Replaces what looks secret by `[redacted]`, with one warning each that names the key, never the value.

    Args:
        keys: Regular expressions for keys whose text values are redacted, at any depth. An empty list means
            the built-in ones, and the entry `default` stands for them in a longer one.
        values: Regular expressions for secret text, likewise; with a group `secret`, only that is redacted.
        allow: Regular expressions; a key, a dotted path of keys or a found value that one matches from
            end to end is left as it is.
        where: The file the patterns are from, for messages.

    Raises:
        RecordInvalid: A pattern is no regular expression; the message names its place.
    """

    def __init__(
        self,
        keys: Sequence[str] = DEFAULT_KEYS,
        values: Sequence[str] = DEFAULT_VALUES,
        allow: Sequence[str] = (),
        *,
        where: str = "runstone.yaml",
    ) -> None:
        keys, values = _with_defaults(keys, DEFAULT_KEYS), _with_defaults(values, DEFAULT_VALUES)
        for name, given in (("keys", keys), ("values", values), ("allow", allow)):
            _check(name, given, where)
        self._keys = re.compile("|".join(map(_group, keys)), re.IGNORECASE)
        self._shapes = tuple(_BUILT_IN.get(v) or Shape(f"text that `{v}` finds", ("",), v) for v in values)
        self._allow = re.compile("|".join(map(_group, allow)) or r"(?!)")
        self._known: dict[str, bool] = {}
        self._noted: set[str] | None = None

    def secrets(self, argv: Sequence[str], params: Mapping[str, Any]) -> frozenset[str]:
        """The texts that `command` and `param` take out of these; nothing is warned of."""
        noting = copy(self)
        noting._noted = set()
        noting.command(argv)
        for key, value in params.items():
            noting.param(key, value)
        return frozenset(noting._noted)

    def param(self, key: str, value: Any) -> Any:
        """The value of a param or tag as it may be recorded; only text is ever redacted, at any depth."""
        if isinstance(value, str):
            if value and self._is_secret(key):
                return self._replace_all(key, value)
            return self.text(value, key=key)
        if isinstance(value, dict | list | tuple):
            return self._nested(key, value, secret=self._is_secret(key))
        return value

    def text(self, value: str, *, key: str = "text") -> str:
        """A longer text with its secret parts redacted.

        Args:
            value: The text.
            key: What it is called, for the warning and for `allow`.
        """
        return self._clean(value, key)

    def command(self, argv: Sequence[str]) -> tuple[str, ...]:
        """A command line: `--password x`, `--token=x`, `API_KEY=x` and secret shapes are redacted."""
        command: list[str] = []
        option: str | None = None
        for argument in argv:
            if option is not None and argument and not argument.startswith("-"):
                command.append(self._replace_all(option, argument))
                option = None
                continue
            option = None
            name, equals, value = argument.partition("=")
            name = name.lstrip("-+~")
            if equals and value and self._is_secret(name):
                command.append(f"{argument[: -len(value)]}{self._replace_all(name, value)}")
                continue
            if not equals and argument.startswith("-") and self._is_secret(name):
                option = name
            command.append(self.text(argument, key="command"))
        return tuple(command)

    def url(self, url: str) -> str:
        """A URL without credentials, silently: that remotes are recorded without them is the rule.

        The user name of ssh (`git@host`) is no credential and stays; every other user info goes.
        """
        scheme, separator, rest = url.partition("://")
        if separator:
            host = re.split(r"[/?#]", rest, maxsplit=1)[0]
            if "@" not in host and "@" in rest and not _PORT.fullmatch(host):
                host = rest[: rest.rindex("@") + 1]  # a slash inside the password, not encoded
            user, at, _ = host.rpartition("@")
            if at:
                rest = rest[len(user) + 1 :]
                if scheme.endswith("ssh"):
                    rest = f"{user.partition(':')[0]}@{rest}"
        url = f"{scheme}{separator}{rest}"
        return self._clean(url, None)

    # --- keys

    def _is_secret(self, key: str) -> bool:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MANY_KEYS:
                self._known.clear()
            known = self._known[key] = self._judge(key)
        return known

    def _judge(self, key: str) -> bool:
        if self._allow.fullmatch(key):
            return False
        snake = _PUNCTUATION.sub("_", _HUMP.sub("_", key)).strip("_")
        return bool(self._keys.search(snake) or self._keys.search(key))

    def _nested(self, path: str, value: Any, *, secret: bool) -> Any:
        if isinstance(value, str):
            return self._replace_all(path, value) if secret and value else self.text(value, key=path)
        if isinstance(value, dict):
            return {k: self._nested_item(path, str(k), v, secret) for k, v in value.items()}
        if isinstance(value, list | tuple):
            items = [self._nested(path, item, secret=secret) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return value

    def _nested_item(self, path: str, key: str, value: Any, secret: bool) -> Any:
        path = f"{path}.{key}"
        secret = (secret or self._is_secret(key)) and not self._allow.fullmatch(key)
        return self._nested(path, value, secret=secret and not self._allow.fullmatch(path))

    # --- values

    def _clean(self, value: str, key: str | None) -> str:
        for shape in self._shapes:
            for hint in shape.hints:
                if hint in value:
                    value = self._redact_shape(shape, value, key)
                    break
        if "=" in value:
            value = self._redact_assigned(value, key, _ASSIGNED, _ASSIGNED_VALUE)
        if ":" in value and ('"' in value or "'" in value):
            value = self._redact_assigned(value, key, _QUOTED, _QUOTED_VALUE)
        return value

    def _replace_all(self, key: str, value: str) -> str:
        if value == REDACTED or self._allow.fullmatch(value):
            return value
        if self._noted is None:
            _warn(key, "was recorded as [redacted], since the key says that it is a secret")
        else:
            self._noted.add(value)
        return REDACTED

    def _redact_shape(self, shape: Shape, text: str, key: str | None) -> str:
        pattern = _compile(shape.pattern)
        group = "secret" if "secret" in pattern.groupindex else 0
        found = [_Found(*match.span(group), shape.name) for match in pattern.finditer(text) if match[group]]
        return self._cut(text, key, found)

    def _redact_assigned(self, text: str, key: str | None, names: re.Pattern[str], values: re.Pattern[str]) -> str:
        found = []
        end = 0
        for match in names.finditer(text):
            if match.start() < end or not self._is_secret(match["key"]):
                continue
            value = values.match(text, match.end())
            if value is not None and value.lastgroup is not None:
                start, end = value.span(value.lastgroup)
                found.append(_Found(start, end, f"the value of `{match['key']}`"))
        return self._cut(text, key, found)

    def _cut(self, text: str, key: str | None, found: Sequence[_Found]) -> str:
        if not found or (key is not None and self._allow.fullmatch(key)):
            return text
        parts: list[str] = []
        at = 0
        for start, end, what in ((f.start, f.end, f.what) for f in found):
            secret = text[start:end]
            if secret in ("", REDACTED) or self._allow.fullmatch(secret):
                continue
            if self._noted is not None:
                self._noted.add(secret)
            elif key is not None:
                _warn(key, f"held {what}, which was recorded as [redacted]")
            parts += [text[at:start], REDACTED]
            at = end
        return "".join([*parts, text[at:]])


def _with_defaults(given: Sequence[str], defaults: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(p for entry in given or (DEFAULT,) for p in (defaults if entry == DEFAULT else (entry,)))


def _group(pattern: str) -> str:
    """A pattern as one branch of several: flags at its head, as in `(?i)badge`, hold for it alone."""
    flags = re.match(r"\(\?([aimsux]+)\)", pattern)
    return f"(?{flags[1]}:{pattern[flags.end() :]})" if flags else f"(?:{pattern})"


def _check(name: str, patterns: Sequence[str], where: str) -> None:
    for i, pattern in enumerate(patterns):
        if pattern in _BUILT_IN:
            continue  # compiled when first needed
        try:
            re.compile(pattern)
        except re.error as error:
            at = "" if error.pos is None else f" at character {error.pos + 1}"
            raise RecordInvalid(
                where, f"`secrets.{name}[{i}]` must be a regular expression, but {pattern!r} is none: {error.msg}{at}"
            ) from None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _warn(key: str, what: str) -> None:
    pattern = re.escape(key).replace("'", "''")
    message = f"`{key}` {what}. If it is no secret, allow it in runstone.yaml: `secrets: {{allow: ['{pattern}']}}`"
    frame = callers_frame()
    warnings.warn_explicit(
        message,
        SecretRedacted,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__"),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


def callers_frame() -> FrameType:
    """The frame of the caller's own code: a warning belongs to the line there that called Runstone."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame
