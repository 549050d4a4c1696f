"""What a CI system says of the proposal that a job is for: GitHub Actions (and Gitea's), GitLab CI, Jenkins.

It is text that others chose, so ids and the names of branches are checked before git sees them.

Source: GitHub's, GitLab's and Jenkins' lists of predefined variables; GitHub's webhook events.
"""

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runstone import names
from runstone.git.objects import is_object_id

System = Literal["github", "gitlab", "jenkins"]

_MOST_PAYLOAD = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Said:
    """What the environment says of a proposal; nothing of it is checked but its form.

    Attributes:
        system: The CI system, if it is a known one; None outside.
        target: The branch that the proposal is to be merged into.
        base: A commit of that branch.
        head: The proposal's newest commit, or a merge of it into the target.
        request: The number of the request on the forge.
        branch: The proposal's branch.
        default: The project's default branch.
    """

    system: System | None = None
    target: str | None = None
    base: str | None = None
    head: str | None = None
    request: int | None = None
    branch: str | None = None
    default: str | None = None


def read_environment(environ: Mapping[str, str]) -> Said:
    """What GitHub Actions, GitLab CI or Jenkins says of the proposal that a job is for."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github(environ)
    if environ.get("GITLAB_CI") == "true":
        return Said(
            "gitlab",
            check_branch(environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")),
            _commit(environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA")),
            _commit(environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")) or _commit(environ.get("CI_COMMIT_SHA")),
            _number(environ.get("CI_MERGE_REQUEST_IID")),
            check_branch(environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")),
            check_branch(environ.get("CI_DEFAULT_BRANCH")),
        )
    if environ.get("JENKINS_URL"):
        return Said(
            "jenkins",
            check_branch(environ.get("CHANGE_TARGET")),
            None,
            _commit(environ.get("GIT_COMMIT")),
            _number(environ.get("CHANGE_ID")),
            check_branch(environ.get("CHANGE_BRANCH")),
        )
    return Said()


def _github(environ: Mapping[str, str]) -> Said:
    event = _payload(environ.get("GITHUB_EVENT_PATH"))
    request, group = _map(event.get("pull_request")), _map(event.get("merge_group"))
    if group:
        target = str(group.get("base_ref", "")).removeprefix("refs/heads/")
        return Said("github", check_branch(target), _commit(group.get("base_sha")), _commit(group.get("head_sha")))
    base, head = _map(request.get("base")), _map(request.get("head"))
    return Said(
        "github",
        check_branch(environ.get("GITHUB_BASE_REF")) or check_branch(base.get("ref")),
        _commit(base.get("sha")),
        _commit(head.get("sha")) or _commit(environ.get("GITHUB_SHA")),
        _number(request.get("number")),
        check_branch(environ.get("GITHUB_HEAD_REF")) or check_branch(head.get("ref")),
        check_branch(_map(event.get("repository")).get("default_branch")),
    )


def _payload(path: str | None) -> dict[str, Any]:
    """The event that GitHub wrote to a file; empty if it cannot be read."""
    try:
        data = read_plain(path) if path else None
        return {} if data is None else _map(json.loads(data))
    except (OSError, ValueError, RecursionError):
        return {}


def read_plain(path: str) -> bytes | None:
    """What is in a file that the environment names; None if it is none, as a pipe or a device that has no end is, or
    too large.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST_PAYLOAD:
            return None
        return file.read(_MOST_PAYLOAD)


def append_plain(path: str, text: str) -> None:
    """Add text to a file that the environment names; to a pipe or a device nothing is written.

    Writes:
        The file.
    """
    try:
        with open(path, "a", encoding="utf-8", errors="replace", opener=_open_at_once) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.write(text)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a pipe that nobody reads
            raise


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for whoever may be at the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _commit(value: object) -> str | None:
    """A full object id, or None: nothing that git could take for an option or an expression."""
    return value if isinstance(value, str) and is_object_id(value) and value.strip("0") else None


def check_branch(value: object) -> str | None:
    """The short name of a branch as git allows it, or None."""
    if not isinstance(value, str) or not value or len(value) > 1000 or value[0] in "-/" or value[-1] in "/.":
        return None
    if any(c <= " " or c in '~^:?*[\\\x7f"' for c in value) or not value.isprintable():
        return None
    if value == "HEAD" or any(part in value for part in ("..", "@{", "//")):
        return None
    parts = value.split("/")
    return None if any(part.startswith(".") or part.endswith(".lock") for part in parts) else value


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    return names.parse_version_number(value) if isinstance(value, str) else None
