"""Why a request is not answered as it was meant: a status, a code and one sentence, never a stack trace."""

from http import HTTPStatus
from typing import Any


class Problem(Exception):
    """A request that gets an error for its answer.

    Attributes:
        status: The status of the answer.
        error_code: As MLflow names it, `BAD_REQUEST` or `INVALID_PARAMETER_VALUE`; else the status in capitals.
        message: One sentence or two, for whoever sent the request.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        error_code: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers
        self.error_code = error_code or status.name

    def to_document(self) -> dict[str, Any]:
        """The answer, as JSON holds it."""
        return {"error_code": self.error_code, "message": self.message}


class ClientGone(Exception):
    """Whoever asked has hung up, so there is nobody to answer."""


def bad_request(message: str) -> Problem:
    """The body is not what the protocol says."""
    return Problem(HTTPStatus.BAD_REQUEST, message)


def bad_data(why: str) -> Problem:
    """The body is well formed, and its data do not fit the model's signature."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        f"The data does not fit the model's signature: {why}. See it: `GET /openapi.json`",
        error_code="INVALID_PARAMETER_VALUE",
    )
