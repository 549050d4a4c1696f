"""A model on Ray Serve: the same application as `runstone serve`, in replicas that Ray starts, watches and stops.

Ray makes a copy of whatever is to answer requests before there is a model; so a stand-in is copied, which hands them
to the application of its process. A replica is a process of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runstone.errors import UsageError

if TYPE_CHECKING:
    from ray.serve import Application

    from runstone.serving.app import App
    from runstone.tracking.workspace import Workspace

DEPLOYMENT = "model"
"""What the one deployment of each application is called, in its configuration too."""

_here: "list[App]" = []


@dataclass(frozen=True, slots=True)
class Served:
    """What an application of Ray Serve's configuration names under `args`.

    Attributes:
        uri: `models:/…` or `runs:/…`, a model folder, or a serving context.
        repo: Where the repository is, as `git clone` takes it; a folder needs none.
        digest: What the digest of the model must be; a folder is then trusted.
        timeout_s: Seconds for one request.
        check: Whether the packages must be the model's.
    """

    uri: str
    repo: str | None = None
    digest: str | None = None
    timeout_s: float = 60.0
    check: bool = True


def build(arguments: dict[str, Any]) -> "Application":
    """The application that `import_path: runstone.serving.ray_app:build` names.

    Args:
        arguments: The fields of `Served`.

    Raises:
        UsageError: They are no such fields.
    """
    from ray import serve

    try:
        served = Served(**arguments)
    except TypeError:
        wrong = sorted({str(key) for key in arguments} - set(Served.__slots__))
        what = f"There is no argument {wrong[0]!r}." if wrong else "The argument `uri` is missing."
        raise UsageError(f"{what} Under `args` stand `uri`, `repo`, `digest`, `timeout_s`, `check`.") from None
    deployment = serve.deployment(name=DEPLOYMENT)(serve.ingress(_Here())(_Replica))
    application: Application = deployment.bind(served)
    return application


class _Here:
    """ASGI: the application of this process, below the prefix that Ray routes by."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        prefix = scope.get("root_path", "")
        path = scope.get("path", "")
        if prefix and path.startswith(f"{prefix}/"):
            scope = {**scope, "path": path[len(prefix) :]}
        await _here[0](scope, receive, send)


class _Replica:
    """One process that serves; what cannot be loaded is told by `serve status`."""

    def __init__(self, served: Served) -> None:
        from runstone.serving.app import App, Limits
        from runstone.serving.resolve import identify
        from runstone.serving.server import Settings, load_checked

        settings = Settings(served.uri, check=served.check, limits=Limits(served.timeout_s))
        with _workspace(served) as workspace:
            identity = identify(workspace, served.uri, digest=served.digest)
            loaded = load_checked(settings, workspace, identity)
        _here[:] = [App(loaded, settings.limits)]

    def check_health(self) -> None:
        """Asked by Ray now and then; one that raises is replaced."""
        if not _here[0].predictions.is_healthy:
            raise RuntimeError("a prediction hangs")


@contextmanager
def _workspace(served: Served) -> "Iterator[Workspace | None]":
    """The repository that the URI is looked up in."""
    from runstone.registry.distant import distant
    from runstone.tracking.workspace import Workspace

    if not served.uri.startswith(("runs:/", "models:/")):
        yield None
    elif served.repo is None:
        yield Workspace.open(Path.cwd())
    else:
        with distant(served.repo, served.uri) as workspace:
            yield workspace
