"""One sync with one git remote, step by step; `sync` says in which order.

Each step is such that a process may be killed in it or after it: what the remote names is on the DVC remote already,
and what is not shared yet are plain local commits that the next sync finds.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from runstone.errors import ArtifactMissing, ArtifactsNotShared, PushRefused, RefMoved, RemoteBusy
from runstone.git import leftover, transport
from runstone.git.notes import NOTES_REF
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.git.runs.branch import Draft
from runstone.git.runs.join import UNREADABLE
from runstone.git.runs.merge import MergeNote
from runstone.git.runs.replay import Replayed, move_runs, replay
from runstone.git.stream import Progress
from runstone.tracking import former, version_tags
from runstone.tracking import push as pushing
from runstone.tracking.ailments import Diverged, is_cut, is_held
from runstone.tracking.approval_notes import exchange_notes
from runstone.tracking.version_tags import VersionTag
from runstone.tracking.workspace import Workspace

_ATTEMPTS = 100
_PATIENCE_S = 300.0
_LOCKED_ATTEMPTS = 12
_TAGS_A_PUSH = 200
_NO_DVC_REMOTE = (
    "no DVC remote is configured to hold their bytes. Add one: `runstone init --remote URL`, or where DVC is set up "
    "`dvc remote add --default NAME URL`."
)
_random = SystemRandom()


@dataclass(slots=True)
class Synced:
    """What one sync has moved.

    Attributes:
        remote: The git remote; None if there is none.
        runs_sent: Ids of runs that the remote has now, or has as they are now.
        runs_received: Ids of runs that came, or changed.
        changes_sent: Commits pushed; one is one event.
        objects, size: Artifact objects sent, and their bytes; `objects_received`, `size_received`: those brought.
        versions_sent, versions_received: Git tags of model versions.
        approvals_sent, approvals_received: Notes of who approved what.
        diverged: Git tags that are another thing here than on the remote; both were kept.
        moved: Of these, those whose number belongs to the one here; see `ailments.is_held`.
        lost: What the remote had when it was looked at before, and has no longer, in words.
        notes: Edits of one record that were joined, and what else is to be told, in words.
        left_out: Runs whose artifacts were not sent because the caller said so.
        attempts: Pushes of the branch until it was taken.
    """

    remote: str | None = None
    runs_sent: list[str] = field(default_factory=list)
    runs_received: list[str] = field(default_factory=list)
    changes_sent: int = 0
    objects: int = 0
    size: int = 0
    objects_received: int = 0
    size_received: int = 0
    versions_sent: list[str] = field(default_factory=list)
    versions_received: list[str] = field(default_factory=list)
    approvals_sent: int = 0
    approvals_received: int = 0
    diverged: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    attempts: int = 0


def private_refs(branch: str, remote: str) -> tuple[str, str]:
    """Where the remote's branch was seen last, and the last commit of it that the local branch holds too."""
    return f"refs/remotes/{remote}/{branch}", f"refs/runstone/synced/{remote}"


class Exchange:
    """One sync with one git remote.

    Attributes:
        done: What has been moved so far.
    """

    def __init__(self, workspace: Workspace, remote: str, *, artifacts: bool, progress: Progress | None) -> None:
        self.done = Synced(remote)
        self._workspace = workspace
        self._repo = workspace.repo
        self._remote = remote
        self._artifacts = artifacts
        self._progress = progress
        self._tracking, self._mark = private_refs(self._repo.config.branch, remote)
        self._seen = self._repo.refs.read(self._tracking)
        self._there: dict[str, str] = {}
        self._stored: set[str] = set()

    @property
    def _branch(self) -> str:
        return self._repo.runs_ref

    @property
    def _tip(self) -> str | None:
        """Where the remote's branch is, as far as is known."""
        return self._there.get(self._branch)

    def look(self) -> None:
        """Ask the remote for its refs, and bring what is not here.

        Writes:
            Objects, `refs/remotes/<remote>/<branch>`, `refs/runstone/remote-tags/<remote>/`, and what the remote has
            lost, as `former` keeps it.
        """
        repo = self._repo
        default = former.watched_branch(repo, self._remote)
        asked = [self._branch, version_tags.PATTERN, NOTES_REF, *([f"refs/heads/{default}"] if default else [])]
        self._there = transport.list_remote(repo, self._remote, asked)
        if self._tip is not None and self._tip != repo.refs.read(self._tracking):
            self._fetch()
        version_tags.fetch(repo, self._remote, self._there, self._progress)
        if default is not None:
            former.look_at_branch(repo, self._remote, default, self._there, self._progress)
        self.done.lost = [str(each) for each in former.list_former(repo) if each.remote == self._remote]

    def _fetch(self) -> None:
        """Bring the remote's branch as it is now."""
        repo = self._repo
        depth = 1 if self._is_cut() else None
        refspecs = [f"+{self._branch}:{self._tracking}"]
        transport.fetch(repo, self._remote, refspecs, depth=depth, progress=self._progress)
        repo.objects.close()  # it remembers which objects were not here, and which commits have no parents
        tip = repo.refs.read(self._tracking)
        if tip is not None:
            self._there[self._branch] = tip

    def _is_cut(self) -> bool:
        """Whether only the newest commit of the branch is wanted, as in a shallow clone of CI: more brings the code."""
        if not self._repo.shallow:
            return False
        known = self._repo.refs.read(self._tracking)
        return known is None or is_cut(self._repo, [known])

    def join(self) -> None:
        """Put the local events that the remote does not have on top of its tip.

        Writes:
            Objects; the branch `runs`; `refs/runstone/synced/<remote>`.
        """
        if self._tip is None:
            return
        refs = self._repo.refs
        local = refs.read(self._branch)
        if local != self._tip:
            merged = filter(_is_worth_telling, self._replay(self._tip, refs.read(self._mark)).merged)
            self.done.notes += [f"{note.record}: {note}" if note.record else str(note) for note in merged]
            received = self._runs_between(local or self._seen, refs.read(self._branch))
            self.done.runs_received = sorted({*self.done.runs_received, *received})
        self._note(self._tip)

    def _replay(self, remote: str, synced: str | None) -> Replayed:
        repo, store = self._repo, self._workspace.artifacts

        def build(local: str | None) -> Replayed:
            return Replayed(remote) if local is None else replay(repo, local, remote, synced=synced, shelf=store)

        pulled: set[str] = set()
        while True:
            try:
                return move_runs(repo, build, shelf=store)
            except ArtifactMissing as error:  # the listing of a folder that both sides have changed
                if error.digest in pulled:
                    raise
                pulled.add(error.digest)
                store.need_remote().pull([error.digest], store.cache, expand=False)

    def send(self) -> None:
        """Push what the remote lacks: the bytes, then the branch, again and again until nobody else was faster.

        Writes:
            Objects of the DVC remote; the branch on the git remote.
        """
        refs, begun, locked = self._repo.refs, time.monotonic(), 0
        for attempt in range(1, _ATTEMPTS + 1):
            there, tip = self._tip, refs.read(self._branch)
            if tip is None or tip == there:
                return
            tip = self._send_artifacts(tip)
            self.done.attempts = attempt
            results = transport.push(self._repo, self._remote, {self._branch: tip}, progress=self._progress)
            result = results[self._branch]
            if result.state in ("sent", "same"):
                self._note_sent(tip)
                return
            if result.state == "refused":
                raise PushRefused(self._remote, self._branch, result.reason)
            if time.monotonic() - begun > _PATIENCE_S:
                break
            time.sleep(_random.uniform(0, min(0.02 * 2**attempt, 1.0)))
            if there is None:
                self.look()
            else:
                self._fetch()  # at once, so that there is less time for others to be faster again
            if self._tip == there:  # nobody was faster: another push holds the ref, or one that was killed
                locked += 1
                if locked > _LOCKED_ATTEMPTS:
                    raise PushRefused(self._remote, self._branch, result.reason)
                leftover.clear_locks(self._remote_locks())
                time.sleep(_random.uniform(0, 0.1 * locked))
            self.join()
        raise RemoteBusy(self._remote, self._repo.config.branch, self.done.attempts, result.reason)

    def exchange_tags(self, *, send: bool, receive: bool) -> None:
        """Give each side the git tags of versions that it lacks; those of commits that the remote has not wait.

        Writes:
            `refs/tags/`, here and on the remote.
        """
        repo, done = self._repo, self.done
        here = version_tags.local(repo)
        done.diverged = version_tags.diverged(self._there, here)
        apart = (Diverged(name, self._remote, here[name], self._there[f"refs/tags/{name}"]) for name in done.diverged)
        done.moved = [each.tag for each in apart if is_held(repo, each)]
        if receive:
            done.versions_received = version_tags.receive(repo, self._remote, self._there, here)
        tags = version_tags.put_on_runs(repo, version_tags.unsent(repo, self._there, here))
        if not tags or self._tip is None or not send:
            return
        tags = self._reached(tags, self._tip)
        if not tags:
            return
        self._store(pushing.version_digests(repo, tags))
        wanted = {f"refs/tags/{tag.name}": tag.oid for tag in tags}
        results: dict[str, transport.Pushed] = {}
        for start in range(0, len(wanted), _TAGS_A_PUSH):
            part = dict(list(wanted.items())[start : start + _TAGS_A_PUSH])
            results |= transport.push(repo, self._remote, part, progress=self._progress)
        sent = {tag.name: tag.oid for tag in tags if results[f"refs/tags/{tag.name}"].state in ("sent", "same")}
        version_tags.note_sent(repo, self._remote, sent)
        done.versions_sent = sorted(sent)
        for tag in tags:
            result = results[f"refs/tags/{tag.name}"]
            if result.state == "lost":  # another clone gave the number away since we looked
                done.diverged.append(tag.name)
            elif result.state == "refused":
                raise PushRefused(self._remote, f"refs/tags/{tag.name}", result.reason)

    def exchange_notes(self, *, send: bool) -> None:
        """As `approval_notes.exchange_notes`."""
        there, done = self._there.get(NOTES_REF), self.done
        moved = exchange_notes(self._repo, self._remote, there, send=send, progress=self._progress)
        done.approvals_sent, done.approvals_received = moved.sent, moved.received
        done.notes += moved.said

    def _reached(self, tags: list[VersionTag], tip: str) -> list[VersionTag]:
        """Those whose commit the remote has."""
        if self._repo.shallow:  # its line cannot be walked: whatever is not waiting here was sent
            waiting = self._repo.git("rev-list", "--first-parent", self._branch, f"^{tip}")[1].decode().split()
            return [tag for tag in tags if tag.commit not in waiting]
        reached = version_tags.on_line(self._repo, tip)
        return [tag for tag in tags if tag.commit in reached]

    # --- bytes

    def _send_artifacts(self, tip: str) -> str:
        """Send the bytes of the runs that are about to be pushed; returns the commit to push, which may be newer."""
        wanted = self._digests(tip)
        if wanted and self._artifacts:
            pushing.publish_remote(self._workspace)
            tip = self._repo.refs.read(self._branch) or tip
            wanted = self._digests(tip)
        self._store(wanted)
        return tip

    def _digests(self, tip: str) -> dict[str, list[str]]:
        """What the runs that are about to be pushed have kept: run → digests of folders; runs without are left out."""
        draft, there = Draft(self._repo, tip), Draft(self._repo, self._tip)
        cache = self._workspace.artifacts.cache
        found = {}
        for folder in sorted(run_folders(self._repo, self._tip, tip)):
            run_id = folder.rpartition("/")[2]
            digests = pushing.named_digests(draft, folder, there, folder)
            lacking = [digest for digest in digests if not all(map(cache.has, pushing.with_files(cache, [digest])))]
            if lacking:  # what the remote names already is not for this clone to bring
                known = there.find_run_folder(run_id)
                named = set(pushing.named_digests(there, known, there, known) if known is not None else ())
                digests = [digest for digest in digests if digest not in named.intersection(lacking)]
            if digests and not self._is_given_up(draft, folder, digests):
                found[run_id] = digests
        return found

    def _is_given_up(self, draft: Draft, folder: str, digests: Iterable[str]) -> bool:
        """Whether a run was deleted and bytes of it are nowhere any more: its tombstone is sent all the same."""
        cache = self._workspace.artifacts.cache
        lacking = [digest for digest in pushing.with_files(cache, digests) if not cache.has(digest)]
        if not lacking:
            return False
        recorded = None
        with suppress(*UNREADABLE):
            recorded = draft.run(folder)
        if recorded is None or recorded.run.lifecycle != "deleted":
            return False
        remote = self._workspace.artifacts.remote() if self._artifacts else None
        return remote is None or bool(remote.missing(lacking))

    def _store(self, wanted: Mapping[str, list[str]]) -> None:
        new = {run: [d for d in digests if d not in self._stored] for run, digests in wanted.items()}
        new = {run: digests for run, digests in new.items() if digests}
        if not new:
            return
        if not self._artifacts:
            self.done.left_out = sorted({*self.done.left_out, *new})
            return
        store = self._workspace.artifacts
        remote = store.remote()
        if remote is None:
            raise ArtifactsNotShared(sorted(new), _NO_DVC_REMOTE)
        digests = {digest for found in new.values() for digest in found}
        pushing.need_used_folder(self._workspace, remote)
        try:
            moved = remote.push(digests, store.cache, labelled("artifacts", self._progress))
        except ArtifactMissing as error:
            lost = [run for run, found in new.items() if error.digest in pushing.with_files(store.cache, found)]
            raise ArtifactsNotShared(lost or sorted(new), str(error)) from error
        self._stored |= digests
        self.done.objects += moved.count
        self.done.size += moved.size

    # --- what is known

    def _note(self, tip: str) -> None:
        """Keep what the remote has."""
        refs = self._repo.refs
        updates = [RefUpdate(ref, tip, refs.read(ref)) for ref in (self._mark, self._tracking)]
        updates = [update for update in updates if update.old != tip]
        with suppress(RefMoved):  # `git fetch` was faster; only the next sync would have used it
            if updates:
                refs.update(updates)

    def _note_sent(self, tip: str) -> None:
        there = self._tip
        done = self.done
        done.runs_sent = sorted({*done.runs_sent, *self._runs_between(there, tip)})
        span = [tip, f"^{there}"] if there is not None else [tip]
        done.changes_sent += int(self._repo.git("rev-list", "--first-parent", "--count", *span)[1])
        self._there[self._branch] = tip
        self._note(tip)

    def _runs_between(self, old: str | None, new: str | None) -> set[str]:
        return {folder.rpartition("/")[2] for folder in run_folders(self._repo, old, new)}

    def _remote_locks(self) -> list[Path]:
        """The lock files that bar the branch on a remote that is a folder of this machine."""
        url = transport.remote_url(self._repo, self._remote, push=True).removeprefix("file://")
        top = (self._repo.work_tree or self._repo.git_dir) / url
        folders = [folder for folder in (top / ".git", top) if (folder / "HEAD").is_file()]
        return [folder / f"{ref}.lock" for folder in folders for ref in (self._branch, "packed-refs", "shallow")]


def run_folders(repo: Repository, old: str | None, new: str | None) -> set[str]:
    """The folders of runs that a commit has, and another lacks or has otherwise."""
    if new is None or old == new:
        return set()
    if old is None:
        command = ["ls-tree", "-r", "--name-only", "-z", new]
    else:
        command = ["diff-tree", "-r", "--name-only", "--no-renames", "--diff-filter=d", "-z", old, new]
    _, out = repo.git(*command, "--", "experiments/")
    paths = out.decode("utf-8", "surrogateescape").split("\0")
    folders = {path.rpartition("/")[0] for path in paths if path}
    return {folder for folder in folders if layout.parse_run_folder(folder) is not None}


def labelled(label: str, progress: Progress | None) -> Callable[[int, int], None] | None:
    """A progress of one kind of work as the layers below take it."""
    return None if progress is None else lambda done, total: progress(label, done, total)


def _is_worth_telling(note: MergeNote) -> bool:
    """Not that two clones which began alone made one experiment at two moments, or an empty file that one filled."""
    return note.key != "created" and note.other != '""'
