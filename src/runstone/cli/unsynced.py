"""Say that a sync in the background failed: `push: auto` has no other way to speak than the next command line."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runstone.cli.session import Session

COMMANDS = frozenset({"run", "rerun", "log", "runs", "experiments", "models", "artifacts"})
"""Those that record or list; the others have something else to say, or say it themselves."""

_WIDTH = 400


def say_unsynced(session: "Session") -> None:
    """Say in one line that the last sync in the background failed, and none has succeeded since.

    Only where the command line has opened a repository. Where all is well it costs one look at a file, and no import.
    """
    opened = session.__dict__
    repo = opened.get("light_repo") or (session.workspace.repo if "client" in opened else None)
    if repo is None or not (repo.state_dir / "sync" / "failed.json").is_file():
        return
    from runstone.cli.output import cut, hint
    from runstone.tracking.autosync import last_failure

    failed = last_failure(repo)
    if failed is None:
        return
    why, at = failed
    then = time.localtime(at)
    is_today = then[:3] == time.localtime()[:3]
    when = time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", then)
    lines = why.split("\n")
    headline = " ".join(" ".join(lines[: 2 if lines[0].endswith(":") else 1]).split())
    hint(f"The last background sync failed ({when}): {cut(headline, _WIDTH).rstrip('.')}; try `runstone sync`")
