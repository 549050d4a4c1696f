"""What the shared remote has of a registry, and bringing just what is needed of it: a CI job begins with little.

Without a remote the repository itself is asked, so that what is built on this works in solo use too. Nothing is ever
fetched by an id that a file names: a forge hands out the commits of forks by id, as if they were the project's.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from runstone import names
from runstone.errors import PushRefused, RefMoved, RemoteUnreachable, RunstoneError, UsageError
from runstone.git import transport
from runstone.git.notes import NOTES_REF, seen_ref
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress, stream_git
from runstone.promotion.ci.environment import check_branch
from runstone.records.model import VersionBody
from runstone.registry.branch import default_branch, registry_commit
from runstone.tracking import version_tags

# Of a history that is cut short. Not by date: git then cuts a commit off from all its parents where one of them, the
# code of the run, is older.
_DEPTHS = (50, 500, 0x7FFFFFFF)
_HEADS, _TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A git tag of a version, as the remote lists it.

    Attributes:
        oid: The tag object.
        commit: What it points at.
    """

    oid: str
    commit: str


class Upstream:
    """The remote of one repository, as it was when it was last looked at.

    Attributes:
        remote: Its name; None where there is none and the repository itself stands for it.
        branch: Its default branch.
        tip: The newest commit of that; None before the first.
    """

    def __init__(self, repo: Repository, remote: str | None = None, progress: Progress | None = None) -> None:
        """Ask the remote what it has.

        Raises:
            RemoteUnreachable: It cannot be asked.
        """
        self.repo = repo
        self.remote = transport.find_remote(repo, remote)
        self._progress = progress
        self.branch: str | None = None
        self.tip: str | None = None
        self._there: dict[str, str] = {}
        self._notes: str | None = None
        self._versions: dict[str, dict[int, Tagged]] = {}
        self.look()

    def look(self) -> None:
        """Ask again."""
        if self.remote is None:
            self.branch, self.tip = default_branch(self.repo), registry_commit(self.repo)
            self._there = self._own_refs()
        else:
            self._there = transport.list_remote(self.repo, self.remote, [f"{_HEADS}*", version_tags.PATTERN])
            default, self._notes = self._look_beside()
            self.branch = default or default_branch(self.repo)
            self.tip = self._there.get(f"{_HEADS}{self.branch}")
        self._versions = {}
        for ref, oid in self._there.items():
            parsed = names.parse_version_tag(ref.removeprefix(_TAGS)) if ref.startswith(_TAGS) else None
            if parsed is None:
                continue  # a branch, or what an annotated tag leads to
            key, number, is_retirement = parsed
            commit = self._there.get(f"{ref}^{{}}")
            if commit is not None and not is_retirement:
                self._versions.setdefault(key, {})[number] = Tagged(oid, commit)

    @property
    def runs(self) -> str | None:
        """The newest commit of the branch of runs."""
        return self._there.get(self.repo.runs_ref)

    # --- the default branch

    def merged_commit(self, revision: str | None) -> str:
        """The commit of the default branch whose registry counts: its tip, or an older one.

        Args:
            revision: A commit of the branch; the tip if None.

        Writes:
            Objects; `refs/remotes/<remote>/<default branch>`.

        Raises:
            UsageError: There is no such commit here, or the default branch does not have it: nobody has merged it.
            RunstoneError: The remote has no default branch yet.
        """
        if self.tip is None:
            raise RunstoneError(f"`{self._name}` has no branch `{self.branch}` yet. Push it: `git push -u origin HEAD`")
        if self.remote is not None and self.repo.objects.find(self.tip) is None:
            self._fetch(f"{_HEADS}{self.branch}", depth=1)
        if revision is None:
            return self.tip
        found = None
        for depth in (0, *_DEPTHS):
            if depth and not self._deepen(f"{_HEADS}{self.branch}", depth):
                break
            found = self.repo.objects.resolve(revision)
            if found and self.repo.git("merge-base", "--is-ancestor", found, self.tip, allowed=(0, 1))[0] == 0:
                return found
        if found is None:
            raise UsageError(f"There is no commit {revision[:80]!r} here. See: `git log {self.branch}`")
        raise UsageError(
            f"{found[:7]} is not on `{self.branch}` of `{self._name}`, so nobody has merged it, and what it asks for "
            "is not registered."
        )

    # --- the branch of runs

    def bring_runs(self, commits: Collection[str]) -> set[str]:
        """Those of the commits that stand on the line of the branch of runs; it is brought as far back as they are.

        The line is that of first parents: the others are code, which may hold whatever its author put there.

        Writes:
            Objects; `refs/remotes/<remote>/<branch of runs>`.
        """
        tip, found = self.runs, set[str]()
        if tip is None:
            return found
        for depth in (0, *_DEPTHS):
            if depth and not self._deepen(self.repo.runs_ref, depth):
                break
            if self.repo.objects.find(tip) is not None:
                found = version_tags.on_line(self.repo, tip) & set(commits)
                if len(found) == len(set(commits)):
                    break
        return found

    # --- versions

    def versions(self, key: str) -> dict[int, Tagged]:
        """The git tags of a model's versions, by number: those that are retired, too."""
        return self._versions.get(key, {})

    def bodies(self, tags: Iterable[Tagged]) -> dict[str, VersionBody]:
        """What the messages of git tags say, by tag object; they are brought, and those that say nothing left out.

        Writes:
            Objects; `refs/runstone/remote-tags/<remote>/`.
        """
        wanted = {tag.oid for tag in tags}
        missing = {oid for oid in wanted if self.repo.objects.find(oid) is None}
        if missing and self.remote is not None:
            here = {ref.rpartition("/")[2] for ref in self.repo.refs.list(f"refs/runstone/remote-tags/{self.remote}/")}
            refs = {ref for ref, oid in self._there.items() if oid in missing or ref.removeprefix(_TAGS) in here}
            part = {ref: oid for ref, oid in self._there.items() if ref.removesuffix("^{}") in refs}
            version_tags.fetch(self.repo, self.remote, part, self._progress)
        found = ((oid, _read_body(self.repo, oid)) for oid in wanted)
        return {oid: body for oid, body in found if body is not None}

    @property
    def refs(self) -> dict[str, str]:
        """What it has, as `transport.list_remote` tells it."""
        return self._there

    def add_version(self, key: str, number: int, oid: str) -> None:
        """Take it for known that the git tag of a version was made, so that one need not look again."""
        commit = self.repo.objects.commit(oid).oid
        self._there |= {f"{_TAGS}{key}@v{number}": oid, f"{_TAGS}{key}@v{number}^{{}}": commit}
        self._versions.setdefault(key, {})[number] = Tagged(oid, commit)

    # --- the notes

    def bring_past(self, depth: int) -> None:
        """Bring some commits of the default branch's past, where it is cut short.

        Writes:
            Objects; `refs/remotes/<remote>/<default branch>`.
        """
        if self.remote is not None and self.tip is not None:
            self._deepen(f"{_HEADS}{self.branch}", depth)

    def bring_notes(self) -> str | None:
        """The newest commit of the remote's notes, brought here; None if it has none.

        Writes:
            Objects; `refs/runstone/notes/<remote>`.
        """
        if self.remote is None:
            return self.repo.refs.read(NOTES_REF)
        if self._notes is not None and self.repo.objects.find(self._notes) is None:
            refspec = f"+{NOTES_REF}:{seen_ref(self.remote)}"
            cut = 1 if self._is_shallow() else None
            transport.fetch(self.repo, self.remote, [refspec], depth=cut, progress=self._progress)
            self.repo.objects.close()
            self._notes = self.repo.refs.read(seen_ref(self.remote))
        return self._notes

    def move_notes(self, old: str | None, new: str) -> bool:
        """Move the notes to a commit on top of `old`; whether nobody was faster.

        Writes:
            `refs/notes/runstone`, on the remote by compare-and-swap, and here.

        Raises:
            PushRefused: The remote does not take them.
        """
        if self.remote is not None:
            result = transport.push(self.repo, self.remote, {NOTES_REF: new}, progress=self._progress)[NOTES_REF]
            if result.state == "refused":
                raise PushRefused(self.remote, NOTES_REF, result.reason)
            if result.state == "lost":
                return False
            self._notes = new
            self.repo.refs.update([RefUpdate(seen_ref(self.remote), new, self.repo.refs.read(seen_ref(self.remote)))])
        here = self.repo.refs.read(NOTES_REF) if self.remote is not None else old
        try:
            if here is None or self.repo.git("merge-base", "--is-ancestor", here, new, allowed=(0, 1))[0] == 0:
                self.repo.refs.update([RefUpdate(NOTES_REF, new, here)])
        except RefMoved:
            return self.remote is not None  # another job has moved them here; the remote's are what counts
        return True

    # --- how

    @property
    def _name(self) -> str:
        return self.remote or "this repository"

    def _look_beside(self) -> tuple[str | None, str | None]:
        """The branch that the remote's HEAD points at, if it is one of its; and the newest commit of the notes."""
        assert self.remote is not None
        done = stream_git(self.repo, ["ls-remote", "--symref", "--", self.remote, "HEAD", NOTES_REF])
        if done.code:
            raise RemoteUnreachable(self.remote, transport.remote_url(self.repo, self.remote), done.err)
        rows = [line.partition("\t") for line in done.out.split("\n")]
        target = next((left[5:] for left, _, name in rows if name == "HEAD" and left.startswith("ref: ")), "")
        notes = next((left for left, _, name in rows if name == NOTES_REF), None)
        return target.removeprefix(_HEADS) if target in self._there else None, notes

    def _deepen(self, ref: str, depth: int) -> bool:
        """Bring a branch of the remote with so many commits of its past; False where nothing more can come."""
        is_here = self.repo.objects.find(self._there[ref]) is not None
        if self.remote is None or (is_here and not self._is_shallow()):
            return False
        self._fetch(ref, depth)
        return True

    def _fetch(self, ref: str, depth: int) -> None:
        """Bring a branch of the remote; a depth would cut the history of a whole clone, so it counts in others only."""
        assert self.remote is not None
        here = f"+{ref}:refs/remotes/{self.remote}/{ref.removeprefix(_HEADS)}"
        cut = depth if self._is_shallow() else None
        transport.fetch(self.repo, self.remote, [here], depth=cut, progress=self._progress)
        self.repo.objects.close()  # git remembers where a history was cut short

    def _is_shallow(self) -> bool:
        return self.repo.shallow and self.repo.git("rev-parse", "--is-shallow-repository")[1].strip() == b"true"

    def _own_refs(self) -> dict[str, str]:
        found = self.repo.refs.list(_HEADS)
        for ref, oid in self.repo.refs.list(_TAGS).items():
            found[ref] = oid
            commit = self.repo.refs.read(ref)
            if commit is not None and commit != oid:
                found[f"{ref}^{{}}"] = commit
        return found


def learn_default(repo: Repository, remote: str) -> str | None:
    """Ask a remote which branch its HEAD is, and keep the answer, as `git clone` does.

    Returns:
        The branch; None if the remote does not say.

    Writes:
        `refs/remotes/<remote>/HEAD`.

    Raises:
        RemoteUnreachable: It cannot be asked.
    """
    done = stream_git(repo, ["ls-remote", "--symref", "--", remote, "HEAD"])
    if done.code:
        raise RemoteUnreachable(remote, transport.remote_url(repo, remote), done.err)
    rows = (line.partition("\t") for line in done.out.split("\n"))
    target = next((left[5:] for left, _, name in rows if name == "HEAD" and left.startswith("ref: ")), "")
    branch = check_branch(target.removeprefix(_HEADS)) if target.startswith(_HEADS) else None
    if branch is not None:
        repo.git("symbolic-ref", f"refs/remotes/{remote}/HEAD", f"refs/remotes/{remote}/{branch}")
    return branch


def _read_body(repo: Repository, oid: str) -> VersionBody | None:
    found = repo.objects.find(oid)
    return version_tags.parse_body(found[2], oid) if found is not None and found[1] == "tag" else None
