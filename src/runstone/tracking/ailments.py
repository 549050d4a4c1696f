"""What can be wrong with refs and work trees: found here for `doctor`, and told to `mend` where it can be repaired."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from runstone import names
from runstone.git import kept
from runstone.git.broken import broken_refs as broken_refs
from runstone.git.broken import dangling_refs as dangling_refs
from runstone.git.code import hold
from runstone.git.process import run_git
from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.git.transport import list_worktrees
from runstone.tracking.former import FORMER

TAGS, REMOTE_TAGS = "refs/tags/", "refs/runstone/remote-tags/"


@dataclass(frozen=True, slots=True)
class LostTree:
    """A linked work tree that git cannot use as it is.

    Attributes:
        path: Where it is, or was.
        is_gone: Whether its folder is gone; else it and the repository do not find each other.
        commit: What is checked out there.
        is_safe: Whether a ref leads to that commit, so that nothing is lost when git forgets the work tree.
        owner: The repository whose work tree it is, and of which this one is a copy; None if it is ours.
    """

    path: Path
    is_gone: bool
    commit: str | None
    is_safe: bool
    owner: Path | None = None


@dataclass(frozen=True, slots=True)
class Diverged:
    """A tag of a model version that means one thing here and another on a remote."""

    tag: str
    remote: str
    ours: str
    theirs: str


def ref_of(repo: Repository, path: Path) -> str:
    """The full name of the ref that a file below `refs/` is."""
    home = repo.common_dir if path.is_relative_to(repo.common_dir / "refs") else repo.git_dir
    return path.relative_to(home).as_posix()


def abandoned_snapshots(repo: Repository) -> list[str]:
    """Snapshots that are still held though the branch `runs` leads to them, or no journal is left to need them."""
    held = [ref.removeprefix(hold.PREFIX) for ref in repo.refs.list(hold.PREFIX)]
    if not held:
        return []
    if not journal.list_entries(repo):
        return held
    tip = repo.runs_tip()
    return [oid for oid in held if tip is not None and kept.is_ancestor(repo, oid, tip)]


def lost_worktrees(repo: Repository) -> list[LostTree]:
    """Linked work trees whose folder is gone, or that do not lead back here, as when either was moved by hand."""
    found = []
    for tree in list_worktrees(repo)[1:]:
        if not tree.path.exists():
            found.append(LostTree(tree.path, True, tree.commit, _is_held(repo, tree.commit)))
        elif not _leads_here(repo, tree.path):
            owner = _owner(tree.path)
            is_safe = owner is None or _is_held(repo, tree.commit)
            found.append(LostTree(tree.path, False, tree.commit, is_safe, owner))
    # Asked from inside a linked work tree that was moved: git still has the old place on record.
    if repo.work_tree is not None and repo.git_dir != repo.common_dir:
        noted = repo.git_dir / "gitdir"
        if noted.is_file() and Path(noted.read_text(errors="surrogateescape").strip()).parent != repo.work_tree:
            found = [tree for tree in found if not _is_noted(noted, tree.path)]
            found.append(LostTree(repo.work_tree, False, None, True))
    return found


def diverged_tags(repo: Repository) -> list[Diverged]:
    """Tags of model versions that differ from those a remote was last seen to have."""
    ours = repo.refs.list(TAGS)
    found = []
    for ref, theirs in repo.refs.list(REMOTE_TAGS).items():
        remote, _, tag = ref.removeprefix(REMOTE_TAGS).partition("/")
        own = ours.get(TAGS + tag)
        if own is not None and own != theirs:
            found.append(Diverged(tag, remote, own, theirs))
    return found


def is_held(repo: Repository, tag: Diverged) -> bool:
    """Whether the number of a version belongs to the one here, which a remote has otherwise: commits name its git tag,
    as those do that move a version, or the remote had it before. Under another number they would mean the remote's.
    """
    if _is_named(repo, tag.ours):
        return True
    former = f"{FORMER}{tag.remote}/tags/{tag.tag}"
    return repo.refs.list(former).get(former) == tag.ours and not _is_named(repo, tag.theirs)


def _is_named(repo: Repository, tag: str) -> bool:
    options = ("--all", "--max-count=1", "--format=%H", "--no-show-signature", f"--grep=^Tag: {tag}$")
    return bool(repo.git("log", *options, allowed=(0, 128))[1].strip())


def advise_held(tag: Diverged) -> str:
    """What to do about a version whose number belongs to the one here."""
    here, there = quote(f"refs/tags/{tag.tag}"), quote(f"{REMOTE_TAGS}{tag.remote}/{tag.tag}")
    return (
        "commits here, or what the remote had before, say that it is the one here, so under another number stages and "
        f"aliases would mean the other one. Compare them: `git show {here} {there}`. Put it back there: "
        f"`git push --force {quote(tag.remote)} {here}`; where that one is right: `git tag -d {quote(tag.tag)}`, then "
        "`runstone pull`"
    )


def unreachable_versions(repo: Repository) -> list[str]:
    """Tags of model versions on a commit that the branch of runs does not lead to, here or as a remote has it.

    Where a shallow clone has cut the branch, what lies before the cut cannot be told from what is not on it: none.
    """
    branch = repo.config.branch
    remotes = repo.refs.list("refs/remotes/")
    tips = [oid for name, oid in remotes.items() if name.endswith(f"/{branch}") and name.count("/") == 3]
    tip = repo.runs_tip()
    tips += [tip] if tip is not None else []
    commits = dict(_version_commits(repo))
    if not commits or is_cut(repo, tips):
        return []
    wanted = "\n".join([*commits.values(), *(f"^{oid}" for oid in tips), ""])
    _, out = repo.git("rev-list", "--stdin", input=wanted.encode())
    unreachable = set(out.decode().split())
    return [tag for tag, oid in commits.items() if oid in unreachable]


def is_cut(repo: Repository, tips: Sequence[str]) -> bool:
    """Whether a shallow clone has only the end of the line of one of these commits."""
    if not repo.shallow or not tips:
        return False
    try:
        cut = (repo.common_dir / "shallow").read_text("ascii", "replace").split()
    except FileNotFoundError:  # the rest has been fetched since
        return False
    _, out = repo.git("rev-list", "--first-parent", "--max-parents=0", *tips)
    return not set(cut).isdisjoint(out.decode().split())


def own_folder(repo: Repository, path: Path) -> Path | None:
    """Git's folder for a linked work tree in this repository, whether or not the work tree leads to it."""
    for noted in (repo.common_dir / "worktrees").glob("*/gitdir"):
        if _is_noted(noted, path):
            return noted.parent
    return None


def ahead_behind(repo: Repository, ours: str, theirs: str) -> tuple[int, int]:
    """How many events each of two tips of the branch of runs has that the other has not."""
    counts = []
    for tip, other in ((ours, theirs), (theirs, ours)):
        _, out = repo.git("rev-list", "--count", "--first-parent", tip, f"^{other}")
        counts.append(int(out))
    return counts[0], counts[1]


def _version_commits(repo: Repository) -> Iterator[tuple[str, str]]:
    tags: Mapping[str, str] = repo.refs.list(f"{TAGS}*@v*")
    for ref in tags:
        tag = ref.removeprefix(TAGS)
        found = repo.objects.find(ref) if names.parse_version_tag(tag) is not None else None
        if found is not None and found[1] == "tag" and b"schema: runstone/version/" in found[2]:
            commit = repo.objects.resolve(found[0])
            if commit is not None:
                yield tag, commit


def _is_held(repo: Repository, commit: str | None) -> bool:
    if commit is None:
        return True
    code, out = repo.git("for-each-ref", "--count=1", f"--contains={commit}", allowed=(0, 128, 129))
    return code == 0 and bool(out.strip())


def _leads_here(repo: Repository, path: Path) -> bool:
    command = ["rev-parse", "--path-format=absolute", "--git-common-dir"]
    code, out = run_git(command, cwd=path, allowed=(0, 128))
    if code:
        return False
    return Path(out.decode("utf-8", "surrogateescape").rstrip("\n")).resolve() == repo.common_dir.resolve()


def _owner(path: Path) -> Path | None:
    """The repository that a linked work tree leads to, if that knows it: then it is its own, and not lost at all."""
    try:
        text = (path / ".git").read_text("utf-8", "surrogateescape")
        folder = path / text.removeprefix("gitdir:").strip()
        back = (folder / (folder / "gitdir").read_text("utf-8", "surrogateescape").strip()).resolve()
    except (OSError, ValueError):
        return None
    return folder.resolve().parent.parent if back == (path / ".git").resolve() else None


def _is_noted(noted: Path, path: Path) -> bool:
    return Path(noted.read_text(errors="surrogateescape").strip()).parent == path
