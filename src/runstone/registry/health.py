"""What `doctor` asks of the registry: its files, the default branch here and on the remote, the notes of approvals."""

import warnings
from collections.abc import Callable, Iterator
from shlex import quote

from runstone.errors import RecordsSkipped, RunstoneError
from runstone.git.notes import NOTES_REF, list_notes, were_never_fetched
from runstone.git.repository import Repository
from runstone.registry.branch import default_branch, list_folder, registry_commit
from runstone.registry.state import read_policy, read_states
from runstone.tracking.ailments import ahead_behind
from runstone.tracking.doctor import Finding


def examine_registry(repo: Repository) -> Iterator[Finding]:
    """The checks, one after the other; one that cannot be carried out is itself a finding."""
    for name, check in _CHECKS.items():
        try:
            yield check(repo)
        except (RunstoneError, OSError) as error:
            yield Finding(name, "fail", str(error))


def _files(repo: Repository) -> Finding:
    """Every file that says something of a model, and the policies."""
    commit = registry_commit(repo)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecordsSkipped)
        states = read_states(repo, commit)
    broken = [str(each.message) for each in caught if issubclass(each.category, RecordsSkipped)]
    for key in (None, *states):
        try:
            read_policy(repo, commit, key)
        except RunstoneError as error:
            broken += [str(error)] if str(error) not in broken else []
    if broken:
        counted = "1 file that is" if len(broken) == 1 else f"{len(broken)} files that are"
        detail = f"{counted} left out, since unreadable. The first: {broken[0]}"
        return Finding("registry", "fail", detail, "See them all: `runstone validate`")
    return Finding("registry", "ok", f"{len(states)} model{'' if len(states) == 1 else 's'}, every file can be read")


def _branch(repo: Repository) -> Finding:
    """The default branch, where this clone and the remote have gone on apart: then only one of the two counts."""
    name = default_branch(repo)
    here, there = repo.refs.read(f"refs/heads/{name}"), repo.refs.read(f"refs/remotes/origin/{name}")
    if here is None or there is None or here == there:
        return Finding("default branch", "ok", f"{name}")
    ahead, behind = ahead_behind(repo, here, there)
    if not ahead or not behind:
        what = f"{ahead} ahead of" if ahead else f"{behind} behind"
        return Finding("default branch", "ok", f"{name} is {what} origin, as it was seen last")
    counts = f"origin/{name}" if registry_commit(repo) == there else name
    detail = f"{name} and origin/{name} have {ahead} and {behind} commits of their own, and the registry is {counts}"
    return Finding("default branch", "warn", detail, f"Join them: `git pull --rebase origin {quote(name)}`")


def _approvals(repo: Repository) -> Finding:
    """The notes in which CI keeps who approved what."""
    commit = registry_commit(repo)
    if commit is not None and list_folder(repo, commit, repo.config.registry) and were_never_fetched(repo):
        detail = "notes of approvals were never fetched here, as `git clone` leaves them behind"
        return Finding("approvals", "warn", detail, "Get them, so that `runstone verify` sees them: `runstone pull`")
    count = len(list_notes(repo, repo.refs.read(NOTES_REF)))
    return Finding("approvals", "ok", f"{count} {'is' if count == 1 else 'are'} kept as notes")


_CHECKS: dict[str, Callable[[Repository], Finding]] = {
    "registry": _files,
    "default branch": _branch,
    "approvals": _approvals,
}
