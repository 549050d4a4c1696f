"""What a git remote once had and has no longer: version tags that were deleted or moved there, a default branch that
was set back. Who saw it keeps it, in refs of their own, so that what was taken away elsewhere is still found out here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote

from runstone.git import transport
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress

FORMER, SEEN = "refs/runstone/former/", "refs/runstone/seen/"
REMOTE_TAGS = "refs/runstone/remote-tags/"
_TAGS, _HEADS = "tags/", "heads/"


@dataclass(frozen=True, slots=True)
class Former:
    """Something that a remote had.

    Attributes:
        remote: The remote.
        tag: The version tag, `churn@v3`; None if it is a branch.
        branch: The branch; None if it is a tag.
        was: The object that it named.
        now: What it names there as far as is known; None if there is none.
        ref: Where this is kept.
    """

    remote: str
    tag: str | None
    branch: str | None
    was: str
    now: str | None
    ref: str

    def __str__(self) -> str:
        what = f"tag `{self.tag}` (a model version)" if self.tag is not None else f"branch `{self.branch}`"
        target = f"refs/tags/{self.tag}" if self.tag is not None else f"refs/heads/{self.branch}"
        if self.now is None:
            deed = f"and has none now: it was deleted there. Put it back: `git push {quote(self.remote)} "
        elif self.tag is not None:
            deed = (
                f"and has {self.now[:10]} now: it was moved there. Put it back: `git push --force {quote(self.remote)} "
            )
        else:
            deed = (
                f"and has {self.now[:10]} now, which does not hold it: it was set back. See what it lost: "
                f"`git log {self.now[:10]}..{self.was[:10]}`, and put it back: `git push --force {quote(self.remote)} "
            )
        step = f"{self.was[:10]}:{target}`. If that was right: `git update-ref -d {quote(self.ref)}`"
        return f"`{self.remote}` had the {what} at {self.was[:10]}, {deed}{step}"


def note_tags(repo: Repository, remote: str, known: Mapping[str, str], there: Mapping[str, str]) -> Iterator[RefUpdate]:
    """What to keep, or to let go of, as a remote's version tags are looked at.

    Args:
        repo: The repository.
        remote: The remote.
        known: Those that it had when it was last looked at: name → object.
        there: Those that it has.
    """
    prefix = f"{FORMER}{remote}/{_TAGS}"
    kept, here = repo.refs.list(prefix), repo.refs.list("refs/tags/")
    for name, oid in known.items():
        is_right = name in there and there[name] == here.get(f"refs/tags/{name}")  # as when it was put back
        if there.get(name, "") != oid and prefix + name not in kept and not is_right:
            yield RefUpdate(prefix + name, oid, None)
    yield from forget_tags(repo, remote, there)


def forget_tags(repo: Repository, remote: str, there: Mapping[str, str]) -> Iterator[RefUpdate]:
    """What to let go of, as the remote has these tags again."""
    prefix = f"{FORMER}{remote}/{_TAGS}"
    for ref, oid in repo.refs.list(prefix).items():
        if there.get(ref.removeprefix(prefix)) == oid:
            yield RefUpdate(ref, None, oid)


def watched_branch(repo: Repository, remote: str) -> str | None:
    """The default branch of a remote, where a clone has all of its history: it is watched for being set back."""
    if repo.shallow:
        return None
    here = f"refs/remotes/{remote}/"
    known = repo.refs.list(here)
    _, out = repo.git("symbolic-ref", "--quiet", f"{here}HEAD", allowed=(0, 1, 128))
    head = out.decode("utf-8", "replace").strip().removeprefix(here)
    names = (head, repo.git_config.get("init.defaultbranch", ""), "main", "master")
    return next((name for name in names if name and here + name in known), None)


def look_at_branch(
    repo: Repository, remote: str, branch: str, there: Mapping[str, str], progress: Progress | None
) -> None:
    """Find out whether the remote's default branch still holds what it held.

    Args:
        repo: The repository.
        remote: The remote.
        branch: As `watched_branch` tells it.
        there: The refs that it has.
        progress: Told of git's steps.

    Writes:
        Objects; `refs/runstone/seen/<remote>/<branch>` and, of what it has lost, `refs/runstone/former/<remote>/`.
    """
    seen, tracking = f"{SEEN}{remote}/{branch}", f"refs/remotes/{remote}/{branch}"
    former = f"{FORMER}{remote}/{_HEADS}{branch}"
    refs, now = repo.refs, there.get(f"refs/heads/{branch}")
    known = {oid for ref in (seen, tracking, former) if (oid := refs.read(ref)) is not None}
    if known == {now}:
        return
    if now is not None and repo.objects.find(now) is None:
        transport.fetch(repo, remote, [f"+refs/heads/{branch}:{seen}"], progress=progress)
        repo.objects.close()
        now = refs.read(seen) or now
    kept = refs.read(former)
    lost = sorted(oid for oid in known if now is None or not _holds(repo, now, oid))
    if kept is not None and kept not in lost:
        lost = []  # it was put back, so what stood there meanwhile is not what was lost
    newest = next((oid for oid in lost if all(_holds(repo, oid, other) for other in lost)), kept or "".join(lost[:1]))
    updates = [RefUpdate(former, newest if lost else None, kept), RefUpdate(seen, now, refs.read(seen))]
    updates = [update for update in updates if update.old != update.new]
    if updates:
        refs.update(updates)


def list_former(repo: Repository) -> list[Former]:
    """All that remotes had and had no longer when they were last looked at; what was put back a sync lets go of."""
    found = []
    kept = repo.refs.list(FORMER)
    tags = repo.refs.list(REMOTE_TAGS) if kept else {}
    for ref, was in kept.items():
        remote, _, rest = ref.removeprefix(FORMER).partition("/")
        if rest.startswith(_TAGS):
            tag = rest.removeprefix(_TAGS)
            found.append(Former(remote, tag, None, was, tags.get(f"{REMOTE_TAGS}{remote}/{tag}"), ref))
        elif rest.startswith(_HEADS):
            branch = rest.removeprefix(_HEADS)
            now = repo.refs.read(f"{SEEN}{remote}/{branch}")
            found.append(Former(remote, None, branch, was, now, ref))
    return found


def _holds(repo: Repository, newer: str, older: str) -> bool:
    return repo.git("merge-base", "--is-ancestor", older, newer, allowed=(0, 1))[0] == 0
