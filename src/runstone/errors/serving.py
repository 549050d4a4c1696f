"""Serving models: ports that are taken, environments that are not the model's."""

from collections.abc import Sequence

from runstone.errors.base import RunstoneError, quoted


class PortInUse(RunstoneError):
    """The address that a server was to listen at cannot be had."""

    def __init__(self, host: str, port: int, why: str) -> None:
        self.host, self.port, self.why = host, port, why
        super().__init__(
            f"Nothing can be served at {host}:{port}: {why}. Choose another port, or have a free one found: `--port 0`"
        )


class NoSuchAddress(RunstoneError):
    """This machine has no such address for a server to listen at."""

    def __init__(self, host: str, why: str) -> None:
        self.host, self.why = host, why
        super().__init__(
            f"Nothing can be served at {host}: {why}. Choose an address of this machine, or all of them: "
            "`--host 0.0.0.0`"
        )


class EnvironmentDiffers(RunstoneError):
    """The packages that are installed are not those that the model was saved with, so it was not loaded."""

    def __init__(self, uri: str, differences: Sequence[str]) -> None:
        self.uri, self.differences = uri, tuple(differences)
        listed = "\n".join(f"  {line}" for line in self.differences[:20])
        more = f"\n  and {len(self.differences) - 20} more" if len(self.differences) > 20 else ""
        super().__init__(
            f"The environment is not the one that {uri} was saved with:\n{listed}{more}\n"
            f"Serve it in an environment of its own: `runstone serve {quoted(uri)} --env venv`; or, if the differences "
            f"do not matter: `runstone serve {quoted(uri)} --no-check`"
        )


class ServerFailed(RunstoneError):
    """The processes of a server could not be started, or an environment for them not be built."""

    def __init__(self, problem: str, next_step: str) -> None:
        self.problem = problem
        super().__init__(f"Nothing is served: {problem}. {next_step}")
