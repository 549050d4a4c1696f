"""The root of the family, what any call may raise, and how messages hold lists and other programs' words."""

from collections.abc import Sequence


class RunstoneError(Exception):
    """Any error that Runstone raises on purpose.

    Attributes:
        exit_code: What a command line that it ends exits with.
        error_code: The code that MLflow gives such an error, as `except MlflowException` asks for it.
    """

    exit_code = 1
    error_code = "INTERNAL_ERROR"


class UsageError(RunstoneError):
    """A call that cannot be understood: arguments that contradict each other or do not exist."""

    exit_code = 2
    error_code = "INVALID_PARAMETER_VALUE"


class InvalidName(UsageError):
    """A name, key or id that cannot be used."""

    def __init__(self, kind: str, name: str, why: str) -> None:
        self.kind, self.name, self.why = kind, name, why
        shown = name if len(name) <= 80 else f"{name[:77]}…"
        super().__init__(f"The {kind} {shown!r} cannot be used: {why}.")


class InvalidUri(UsageError):
    """A URI that is neither `runs:/…` nor `models:/…`."""

    def __init__(self, uri: str, why: str) -> None:
        self.uri, self.why = uri, why
        super().__init__(
            f"The URI {uri!r} cannot be read: {why}. Write `runs:/<run id>/<path>`, `models:/<name>/<version>`, "
            "`models:/<name>@<alias>` or `models:/<name>/latest`."
        )


class InvalidValue(UsageError):
    """A value that a param, metric or tag cannot hold."""


class MissingLibrary(RunstoneError):
    """An optional library that this call needs is not installed."""

    def __init__(self, library: str, purpose: str, install: str) -> None:
        self.library, self.purpose = library, purpose
        super().__init__(
            f"`{library}` is needed to {purpose}, and is not installed. Install it: `pip install {install}`"
        )


def some(names: Sequence[str]) -> str:
    """Up to ten names as a sentence holds them."""
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def indented(text: str) -> str:
    """Other programs' words, up to ten lines of them, as a message holds them."""
    lines = [f"  {line}" for line in text.splitlines()]
    return "\n".join([*lines[:10], "  …"] if len(lines) > 10 else lines)


def quoted(text: object) -> str:
    """Text as one word of a shell command. The library is imported here, since most starts make no such message."""
    from shlex import quote

    return quote(str(text))


def in_quotes(text: object) -> str:
    """As `quoted`, and always between quotes. What others named, as branches that they pushed, is never a command."""
    return "'" + str(text).replace("'", "'\"'\"'") + "'"
