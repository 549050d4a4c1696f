"""Forges: what they refuse, and what is missing to ask them."""

from collections.abc import Sequence

from runstone.errors.base import RunstoneError, indented


class ForgeFailed(RunstoneError):
    """A forge did not do what it was asked, or did not answer; what git has is not touched by that.

    Attributes:
        forge: Its name, such as `GitHub`.
        url: The project there.
        what: What it was asked, after `to`.
        status: The HTTP status; None where no answer came.
        words: What it said.
    """

    def __init__(self, forge: str, url: str, what: str, status: int | None, words: str, next_step: str) -> None:
        self.forge, self.url, self.what, self.status, self.words = forge, url, what, status, words
        answer = "gave no answer that can be used" if status is None else f"answered {status}"
        said = f":\n{indented(words)}\n" if words else ". "
        super().__init__(f"{forge} ({url}) was asked to {what} and {answer}{said}{next_step}")


class ForgeTokenMissing(RunstoneError):
    """A forge was to be asked for what needs a token, and there is none for it.

    Attributes:
        forge: Its name.
        url: The project there.
        variables: The environment variables in which a token was looked for.
    """

    def __init__(self, forge: str, url: str, what: str, variables: Sequence[str], note: str = "") -> None:
        self.forge, self.url, self.what, self.variables = forge, url, what, tuple(variables)
        names = " or ".join(f"`{name}`" for name in variables)
        step = f"Make one that may write to the project, and set {names}. " if variables else ""
        super().__init__(f"{forge} ({url}) needs a token to {what}, and there is none for it. {step}{note}".rstrip())
