"""Which commits a check or a report is about: what a proposal begins from, what it holds, what merging it would make.

In a shallow, detached checkout, which CI systems make, just what is needed is fetched.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from runstone import names
from runstone.errors import CannotDecide, RemoteUnreachable, RunstoneError, UsageError
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.ci.environment import Said, check_branch, read_environment
from runstone.promotion.ci.upstream import learn_default
from runstone.registry.branch import default_branch, registry_commit
from runstone.tracking import version_tags

_DEPTHS = (50, 500, 0x7FFFFFFF)  # the last is git's own word for all


@dataclass(frozen=True, slots=True)
class Context:
    """What is judged.

    Attributes:
        base: The tip of the branch that the proposal is to be merged into: its policy judges. None before the first
            commit.
        head: The proposal's newest commit.
        fork: Where the two parted; None if they have nothing in common.
        branch: The proposal's branch, if it is known.
        said: What the environment said.
        note: Why what the remote has is not known, if it is not: then what is not here may be there.
        remote_tags: The git tags of versions that the remote has, whether they are here or not.
    """

    base: str | None
    head: str
    fork: str | None
    branch: str | None = None
    said: Said = field(default_factory=Said)
    note: str | None = None
    remote_tags: frozenset[str] = frozenset()


def find_context(
    repo: Repository,
    *,
    base: str | None = None,
    head: str | None = None,
    environ: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Context:
    """Find what is to be judged, and fetch what is missing of it where a CI system checked the code out.

    Args:
        repo: The repository.
        base: A branch or a commit; what the environment says if None, else the default branch.
        head: Likewise; else HEAD.
        environ: The environment; the process's own if None.
        progress: Told of git's steps.

    Writes:
        In a CI job or a shallow clone with a remote: objects, and `refs/remotes/<remote>/<target branch>`. Where the
        default branch is not known here: what the remote says of it, as `refs/remotes/<remote>/HEAD`.

    Raises:
        CannotDecide: The base or the head is not found, or where they parted; or which branch is the default one.
        UsageError: `base` or `head` names nothing.
    """
    said = read_environment(os.environ if environ is None else environ)
    source = _Source(repo, said, progress)
    target = said.target
    if base is None and target is None:
        target = said.default or _default_branch(repo)
    source.look(check_branch(base) if base is not None and not repo.objects.is_id(base) else target)
    found_head = source.commit(head or said.head or "HEAD", is_asked=head is not None)
    found_base = _find_base(source, base, said, target)
    fork = source.fork(found_base, found_head)
    branch = said.branch if head is None else check_branch(head) if not repo.objects.is_id(head) else None
    return Context(found_base, found_head, fork, branch, said, source.note, frozenset(source.tags))


def bring_tags(repo: Repository, context: Context, keys: set[str]) -> None:
    """Bring the git tags of the versions of some models, and the commits of their runs, where the remote has more.

    Writes:
        Objects and `refs/tags/`, never over a tag that is there.

    Raises:
        CannotDecide: The remote cannot be asked any more.
    """
    parsed = {tag: names.parse_version_tag(tag) for tag in context.remote_tags}
    here = repo.refs.list("refs/tags/")
    lacking = {tag for tag, parts in parsed.items() if parts and parts[0] in keys and f"refs/tags/{tag}" not in here}
    remote = transport.find_remote(repo) if lacking else None
    if remote is None:
        return
    known = {ref.rpartition("/")[2] for ref in repo.refs.list(f"refs/runstone/remote-tags/{remote}/")}
    wanted = {
        f"refs/tags/{tag}{end}" for tag in lacking | known for end in ("", "^{}")
    }  # what is left out is forgotten
    try:
        there = transport.list_remote(repo, remote, [version_tags.PATTERN])
        there = {ref: oid for ref, oid in there.items() if ref in wanted}
        version_tags.fetch(repo, remote, there, None)
    except RemoteUnreachable as error:
        raise CannotDecide(str(error)) from error
    new = {ref: oid for ref, oid in there.items() if ref.removeprefix("refs/tags/").removesuffix("^{}") in lacking}
    version_tags.receive(repo, remote, new, version_tags.local(repo))
    repo.objects.close()


def bring_commits(repo: Repository, commits: set[str]) -> bool:
    """Bring single commits that are missing, without their past, in a CI job or a shallow clone.

    Returns:
        Whether all of them are here now.

    Writes:
        Objects.
    """
    missing = [oid for oid in commits if repo.objects.is_id(oid) and repo.objects.find(oid) is None]
    if not missing:
        return True
    return _Source(repo, read_environment(os.environ), None).bring(missing)


def is_fetching(repo: Repository, said: Said) -> bool:
    """Whether a remote is asked for what is missing: in CI jobs and shallow clones, which begin with little."""
    return said.system is not None or repo.shallow


class _Source:
    """The repository and its remote, which is asked in CI jobs and shallow clones only."""

    def __init__(self, repo: Repository, said: Said, progress: Progress | None) -> None:
        self.repo, self._said, self._progress = repo, said, progress
        self.note: str | None = None
        self.tags: set[str] = set()
        self.remote: str | None = None
        if is_fetching(repo, said):
            self.remote = transport.find_remote(repo)

    def look(self, branch: str | None) -> None:
        """Ask the remote for its version tags and the tip of a branch, and bring that."""
        if self.remote is None:
            return
        ref = None if branch is None else f"refs/heads/{branch}"
        try:
            there = transport.list_remote(self.repo, self.remote, [version_tags.PATTERN, *([ref] if ref else [])])
            found = (tag.removeprefix("refs/tags/") for tag in there if not tag.endswith("^{}"))
            self.tags = {tag for tag in found if names.parse_version_tag(tag) is not None}
            here = f"refs/remotes/{self.remote}/{branch}"
            if ref in there and self.repo.refs.list(here).get(here) != there[ref]:
                self._fetch([f"+{ref}:{here}"], 1)
        except RunstoneError as error:
            self.note = str(error)

    def commit(self, text: str, *, is_asked: bool) -> str:
        """The commit of a revision, fetched if need be."""
        found = self.find(text)
        if found is None and self.repo.objects.is_id(text) and self.bring([text]):
            found = self.repo.objects.resolve(text)
        if found is None and is_asked:
            raise UsageError(f"There is no commit {text[:80]!r} here. Name a branch or a commit: `git branch --all`")
        if found is None:
            raise CannotDecide(
                f"The commit {text[:80]!r}, which the CI system names, is neither here nor on the remote.{self._why()} "
                "Check more history out (`fetch-depth: 0`, `GIT_DEPTH: 0`), or name it: `--head COMMIT`"
            )
        return found

    def find(self, text: str) -> str | None:
        """The commit of a revision; of a branch that is on the remote alone, too."""
        found = self.repo.objects.resolve(text)
        branch = None if found is not None else check_branch(text)
        return found if branch is None else self.repo.refs.read(f"refs/remotes/{self.remote or 'origin'}/{branch}")

    def bring(self, commits: list[str]) -> bool:
        """Fetch commits by their ids; whether they are here now."""
        if self.remote is not None:
            try:
                self._fetch(commits, 1)
            except RunstoneError as error:
                self.note = self.note or str(error)
        return all(self.repo.objects.find(oid) is not None for oid in commits)

    def fork(self, base: str | None, head: str) -> str | None:
        """Where two commits parted; a shallow history is deepened until it shows."""
        if base is None:
            return None
        for depth in (0, *_DEPTHS):
            if depth:
                if self.remote is None or not self._is_shallow():
                    break
                try:
                    self._fetch([base, head], depth)
                except RunstoneError as error:
                    self.note = self.note or str(error)
                    break
            code, out = self.repo.git("merge-base", "--end-of-options", base, head, allowed=(0, 1))
            if code == 0 and not (self._is_shallow() and self._has_merges(base, head) and depth != _DEPTHS[-1]):
                return out.decode().strip()
        if self._is_shallow():
            raise CannotDecide(
                f"Where {head[:7]} and {base[:7]} parted is not in this shallow clone.{self._why()} Check more history "
                "out: `fetch-depth: 0` (GitHub), `GIT_DEPTH: 0` (GitLab), `git fetch --unshallow`"
            )
        return None

    def _has_merges(self, base: str, head: str) -> bool:
        """Whether a proposal holds merges: then a history that is cut short may hide further merge bases."""
        options = ("--merges", "--max-count=1", "--end-of-options")
        return bool(self.repo.git("rev-list", *options, head, f"^{base}")[1].strip())

    def _fetch(self, refspecs: list[str], depth: int) -> None:
        """Bring objects; a depth would cut the history of a whole clone, so it counts in shallow ones only."""
        assert self.remote is not None
        is_shallow = self._is_shallow()
        transport.fetch(self.repo, self.remote, refspecs, depth=depth if is_shallow else None, progress=self._progress)
        self.repo.objects.close()  # git notices new packs; not that a history is no longer cut short

    def _is_shallow(self) -> bool:
        return self.repo.shallow and self.repo.git("rev-parse", "--is-shallow-repository")[1].strip() == b"true"

    def _why(self) -> str:
        return f" {self.note.rstrip('.')}." if self.note else ""


def _default_branch(repo: Repository) -> str:
    """The default branch; the remote is asked where it is not known here, as in a checkout of one commit."""
    try:
        return default_branch(repo)
    except RunstoneError:
        why = "There is no git remote to ask."
    try:
        remote = transport.find_remote(repo)
        found = None if remote is None else learn_default(repo, remote)
        why = why if remote is None else f"`{remote}` does not say which branch its HEAD is."
    except RunstoneError as error:
        found, why = None, str(error)
    if found is None:
        raise CannotDecide(f"Which branch is the default one is not known here. {why} Name it: `--base BRANCH`")
    return found


def _find_base(source: _Source, asked: str | None, said: Said, target: str | None) -> str | None:
    if asked is not None:
        return source.commit(asked, is_asked=True)
    if said.target is not None:
        found = source.repo.refs.read(f"refs/remotes/{source.remote or 'origin'}/{said.target}")
        found = found or source.repo.refs.read(f"refs/heads/{said.target}")
        if found is None and said.base is not None and source.bring([said.base]):
            found = said.base
        if found is None:
            raise CannotDecide(
                f"The branch `{said.target}`, into which this is to be merged, is neither here nor on the remote."
                f"{f' {source.note}' if source.note else ''} Name what to judge by: `--base BRANCH`"
            )
        return found
    if source.remote is not None and target is not None:
        found = source.repo.refs.read(f"refs/remotes/{source.remote}/{target}")
        if found is not None:
            return found
    return registry_commit(source.repo)
