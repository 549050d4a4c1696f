"""Repair what `tracking.doctor` finds and what can be repaired without losing anything."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from runstone import names
from runstone.errors import GitFailed, RefBlocked, RefMoved, RunstoneError
from runstone.git import signing
from runstone.git.code import hold
from runstone.git.objects import is_object_id
from runstone.git.process import run_git
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.tracking import ailments
from runstone.tracking.ailments import REMOTE_TAGS, TAGS, Diverged, LostTree, advise_held
from runstone.tracking.doctor import empty_objects, stale_locks
from runstone.tracking.workspace import Workspace


def mend(workspace: Workspace) -> Iterator[str]:
    """Repair, and tell each thing that was done.

    Writes:
        Removes empty loose objects and stale locks; sets broken refs back to their last known commits, and puts the
        files of those of which none is known aside; lets go of abandoned snapshots; gives versions that a remote has
        otherwise new numbers, unless stages and aliases may mean the one here; forgets work trees that are gone, and
        finds moved ones; records ended runs; makes a damaged index anew.

    Raises:
        RunstoneError: The branch is broken, and no commit of it is known.
    """
    from runstone.index import cache

    repo = workspace.repo
    for path in stale_locks(repo):
        path.unlink(missing_ok=True)
        yield f"removed the stale lock {path}"
    empty = empty_objects(repo)
    for path in empty:
        path.unlink(missing_ok=True)
    if empty:
        yield f"removed {len(empty)} empty objects"
    repo.objects.close()  # git remembers what it did not find
    for path in ailments.broken_refs(repo):
        yield _restore_ref(repo, path)
    yield from _drop_dangling(repo)
    swept = hold.sweep(repo)
    if swept:
        yield f"let go of {swept} snapshots that no live run needs"
    for each in ailments.diverged_tags(repo):
        yield _renumber(repo, each)
    yield from _mend_worktrees(repo)
    for run_id in workspace.recover():
        yield f"recorded run {run_id}"
    count = cache.rebuild(repo)
    yield f"made the index anew, of {count} runs"


def _restore_ref(repo: Repository, broken: Path) -> str:
    """Put a broken ref back: to the newest commit that its reflog knows, what is packed, or a remote's copy."""
    ref = ailments.ref_of(repo, broken)
    with repo.lock:
        for oid in _candidates(repo, ref):
            if repo.objects.find(oid) is None:
                continue
            broken.unlink()
            packed = _packed(repo, ref)  # what `git pack-refs` kept shows through, and is older
            repo.refs.update([RefUpdate(ref, oid, packed)])
            return f"set {ref} back to {oid[:12]}"
        if ref == repo.runs_ref:
            raise RunstoneError(
                f"{broken} is broken, and no commit of the branch is known here. Get it from a clone: "
                f"`rm {broken} && git fetch origin {repo.config.branch}:{repo.config.branch}`"
            )
        return f"no commit of {ref} is known here: {_put_aside(repo, broken, ref)}"


def _candidates(repo: Repository, ref: str) -> Iterator[str]:
    log = repo.common_dir / "logs" / ref
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    found = [line.split(" ", 2)[1] for line in reversed(lines) if line.count(" ") > 1]
    packed = _packed(repo, ref)
    if packed is not None:
        found.append(packed)
    if ref.startswith("refs/heads/"):
        branch = ref.removeprefix("refs/heads/")
        found += [oid for name, oid in repo.refs.list("refs/remotes/").items() if _is_copy(name, branch)]
    if ref.startswith(TAGS):
        tag = ref.removeprefix(TAGS)
        found += [oid for name, oid in repo.refs.list(REMOTE_TAGS).items() if name.endswith(f"/{tag}")]
    yield from (oid for oid in found if is_object_id(oid) and oid.strip("0"))


def _is_copy(name: str, branch: str) -> bool:
    return name.removeprefix("refs/remotes/").partition("/")[2] == branch


def _packed(repo: Repository, ref: str) -> str | None:
    """What `packed-refs` says of a ref, whose own file may be broken."""
    try:
        text = (repo.common_dir / "packed-refs").read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    match = re.search(rf"^([0-9a-f]{{40,64}}) {re.escape(ref)}$", text, re.MULTILINE)
    return match[1] if match else None


def _put_aside(repo: Repository, path: Path, ref: str) -> str:
    target = repo.writable_state("broken-refs") / names.encode_component(ref)
    path.rename(target)
    return f"its file is put aside, {target}"


def _drop_dangling(repo: Repository) -> Iterator[str]:
    """Refs to what is not here: back to a commit that their reflog knows; what a fetch brings again is dropped."""
    for ref, oid in ailments.dangling_refs(repo).items():
        known = next((each for each in _candidates(repo, ref) if repo.objects.find(each) is not None), None)
        is_copy = ref.startswith(("refs/remotes/", "refs/runstone/"))
        if known is None and not is_copy:
            continue  # doctor goes on to tell of it: only a clone can help
        lines = f"delete {ref} {oid}\n" if known is None else f"update {ref} {known} {oid}\n"
        try:
            repo.git("update-ref", "--no-deref", "--stdin", input=lines.encode("utf-8", "surrogateescape"))
        except GitFailed:
            continue
        yield f"dropped {ref}, which a fetch brings again" if known is None else f"set {ref} back to {known[:12]}"


def _renumber(repo: Repository, diverged: Diverged) -> str:
    """Keep both versions: the one here under the next number, the remote's under the number they share.

    Writes:
        Two tags, by one move of both.
    """
    tag, remote = diverged.tag, diverged.remote
    parsed = names.parse_version_tag(tag)
    found = repo.objects.find(diverged.ours)
    if parsed is None or parsed[2] or found is None or found[1] != "tag":
        return f"{tag} is another tag here than on {remote}; keep one: `git tag -d '{tag}'`, then `runstone sync`"
    if ailments.is_held(repo, diverged):
        return f"{tag} keeps its number, though {remote} has another: {advise_held(diverged)}"
    model, number, _ = parsed
    known = [ref.rpartition("/")[2] for ref in (*repo.refs.list(TAGS), *repo.refs.list(REMOTE_TAGS))]
    taken = [other[1] for other in map(names.parse_version_tag, known) if other is not None and other[0] == model]
    free = max(taken) + 1
    head, _, message = found[2].decode("utf-8", "surrogateescape").partition("\n\n")
    fields = dict(line.partition(" ")[::2] for line in head.split("\n"))
    subject, gap, body = message.partition("\n\n")
    subject = re.sub(rf"\b{number}$", str(free), subject)
    body = body.partition("\n-----BEGIN ")[0]  # a signature is of the old number
    name = f"{model}@v{free}"
    made = signing.write_tag(repo, fields["object"], name, subject + gap + body, tagger=fields["tagger"])
    try:
        repo.refs.update(
            [
                RefUpdate(f"{TAGS}{model}@v{free}", made, None),
                RefUpdate(TAGS + tag, diverged.theirs, diverged.ours),
            ]
        )
    except (RefMoved, RefBlocked) as error:
        return f"{tag} is another version here than on {remote}, and could not be given a new number: {error}"
    return f"{tag} was another version here than on {remote}: {remote}'s is {tag}, the one here {model}@v{free} now"


def _mend_worktrees(repo: Repository) -> Iterator[str]:
    command = [f"--git-dir={repo.common_dir}", "worktree"]
    for tree in ailments.lost_worktrees(repo):
        try:
            if tree.owner is not None:
                yield from _forget(repo, tree)
            elif not tree.is_gone:
                run_git([*command, "repair", "--", str(tree.path)], cwd=repo.common_dir)
                yield f"found the work tree {tree.path} again"
            elif tree.is_safe:
                run_git([*command, "remove", "--", str(tree.path)], cwd=repo.common_dir)
                yield f"forgot the work tree {tree.path}, which is gone"
        except GitFailed as failure:
            yield f"the work tree {tree.path} could not be mended: {failure.stderr}"


def _forget(repo: Repository, tree: LostTree) -> Iterator[str]:
    """Forget, in a copy of a repository, a work tree of the original, which keeps it: `git worktree` would take it."""
    folder = ailments.own_folder(repo, tree.path)
    if folder is None or not tree.is_safe:
        return
    shutil.rmtree(folder)
    yield f"forgot the work tree {tree.path}, which is one of {tree.owner}"
