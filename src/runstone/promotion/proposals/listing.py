"""The open proposals: found among the branches, here and of remotes, and how each stands to the default branch."""

from runstone.errors import ProposalAmbiguous, ProposalNotFound, RunstoneError
from runstone.git.objects import Commit
from runstone.git.repository import Repository
from runstone.promotion.proposals.ground import plan_on, read_ground
from runstone.promotion.proposals.look import PREFIXES, View
from runstone.promotion.proposals.proposal import Proposal, State, parse_trailers, read_wish
from runstone.promotion.proposals.trees import compare_trees

_MOST_LOOKED_AT = 500
_HEADS, _REMOTES = "refs/heads/", "refs/remotes/"


def list_proposals(repo: Repository, view: View, *, merged: bool = False) -> list[Proposal]:
    """The proposals whose changes the default branch does not have, the newest first.

    Args:
        repo: The repository.
        view: What is known of the shared repository.
        merged: Whether also those whose changes it has.
    """
    found = [read_proposal(repo, view, branch, holders) for branch, holders in _branches(repo, view).items()]
    flat = [proposal for proposals in found for proposal in proposals]
    return sorted((p for p in flat if merged or p.state != "merged"), key=lambda p: (-p.time, p.name))


def find_proposal(repo: Repository, view: View, name: str, *, merged: bool = False) -> Proposal:
    """The one open proposal that a name means: its branch, or a part of that, as the model's name.

    Args:
        repo: The repository.
        view: What is known of the shared repository.
        name: The name.
        merged: Whether it may also be one that was merged, so that who was cut short can finish.

    Raises:
        ProposalNotFound: There is none.
        ProposalAmbiguous: There are several.
    """
    branches = _branches(repo, view)
    if name in branches:  # whatever else there is
        exact = [p for p in read_proposal(repo, view, name, branches[name]) if p.name == name]
        if exact:
            return exact[0]
    known = list_proposals(repo, view, merged=True)
    for match in (
        [p for p in known if p.name == name],
        [p for p in known if p.state != "merged" and name in (p.trailers.get("model") or ())],
        [p for p in known if p.state != "merged" and name.lower() in p.name.lower()],
    ):
        if len(match) == 1:
            return match[0]
        if match:
            raise ProposalAmbiguous(name, [p.name for p in match])
    left = [p for p in known if p.state == "merged" and name.lower() in p.name.lower()]
    if merged and (just := _just_merged(repo, view, name)) is not None:
        return just
    if merged and len(left) == 1:
        return left[0]
    done = _merge_of(repo, view, name)
    if done is not None and merged:
        return _read(repo, view, name, repo.objects.commit(done).parents[1])
    if done is not None:
        raise RunstoneError(
            f"{view.target} has {name} already: it was merged in {done[:7]}. See: `git show {done[:12]}`"
        )
    raise ProposalNotFound(name, [p.name for p in known if p.state != "merged"])


def _just_merged(repo: Repository, view: View, name: str) -> Proposal | None:
    """What the newest commit of the default branch merged, if a name means that."""
    commit = None if view.tip is None else repo.objects.commit(view.tip)
    if commit is None or len(commit.parents) < 2:
        return None
    words, _, branch = commit.message.partition("\n")[0].rpartition(" ")
    is_meant = words == "Merge proposal" and branch.startswith(PREFIXES) and name.lower() in branch.lower()
    return _read(repo, view, branch, commit.parents[1]) if is_meant else None


def _merge_of(repo: Repository, view: View, branch: str) -> str | None:
    """The commit by which a proposal came to the default branch, if it is one of the newest there."""
    commit = view.tip
    for _ in range(_MOST_LOOKED_AT):
        if commit is None or repo.objects.find(commit) is None:
            return None
        read = repo.objects.commit(commit)
        if len(read.parents) > 1 and read.message.partition("\n")[0] == f"Merge proposal {branch}":
            return commit
        commit = read.parents[0] if read.parents else None
    return None


def _is_met(repo: Repository, view: View, commit: Commit, branch: str) -> bool:
    """Whether what a proposal wishes is so, as after somebody else made it anew and merged that."""
    try:
        wish = read_wish(repo, commit, branch)
        return wish.kind != "edit" and bool(plan_on(read_ground(repo, view.tip, wish.key), wish).nothing)
    except RunstoneError:
        return False


def read_proposal(repo: Repository, view: View, branch: str, holders: dict[str | None, str]) -> list[Proposal]:
    """The proposals that go by one branch's name: the shared one, and those of forks that are something else."""
    local, shared = holders.get(None), holders.get(view.remote) if view.remote is not None else None
    own = local or shared
    if local is not None and shared is not None and local != shared:
        own = max((local, shared), key=lambda oid: (_time(repo.objects.commit(oid)), oid == shared))
    found = []
    if own is not None:
        remote = view.remote if shared == own else None
        found.append(_read(repo, view, branch, own, remote=remote, is_local=local == own))
    for remote, oid in holders.items():
        if remote is not None and remote != view.remote and oid not in (local, shared):
            found.append(_read(repo, view, branch, oid, remote=remote, is_foreign=True))
    return found


def fork_point(repo: Repository, view: View, commit: str) -> str | None:
    """Where a commit and the default branch part; None where the history here does not tell."""
    if view.tip is None:
        return None
    if view.tip in repo.objects.commit(commit).parents:
        return view.tip
    code, out = repo.git("merge-base", "--end-of-options", view.tip, commit, allowed=(0, 1, 128))
    return out.decode().strip() if code == 0 else None


def state_of(repo: Repository, view: View, commit: str, base: str | None) -> State:
    """How a proposal stands to the default branch."""
    if base == commit:
        return "merged"
    if view.tip is None or base == view.tip:
        return "open"
    before, ours, theirs = (None if oid is None else repo.objects.commit(oid).tree for oid in (base, view.tip, commit))
    assert ours is not None
    assert theirs is not None
    changes, conflicts = compare_trees(repo.objects, before, ours, theirs)
    if conflicts:
        return "conflicts"
    if not changes:
        return "merged"
    registry = repo.config.registry
    depth = registry.count("/") + 2  # a model's folder
    folders = {"/".join(path.split("/")[:depth]) for path in changes if path.startswith(f"{registry}/")}
    for folder in folders:
        if before is None or repo.objects.entry(before, folder) != repo.objects.entry(ours, folder):
            return "stale"
    return "open"


def _read(
    repo: Repository,
    view: View,
    branch: str,
    oid: str,
    *,
    remote: str | None = None,
    is_local: bool = False,
    is_foreign: bool = False,
) -> Proposal:
    commit = repo.objects.commit(oid)
    base = fork_point(repo, view, oid)
    state = state_of(repo, view, oid, base)
    is_left = view.remote is not None and remote is None  # nobody shares it any more
    if state in ("conflicts", "stale") and is_left and _is_met(repo, view, commit, branch):
        state = "merged"
    return Proposal(
        branch=branch,
        commit=oid,
        base=base,
        subject=commit.message.partition("\n")[0],
        author=commit.author.rpartition("> ")[0] + ">",
        time=_time(commit),
        trailers=parse_trailers(commit.message),
        state=state,
        remote=remote,
        is_local=is_local,
        is_foreign=is_foreign,
    )


def _branches(repo: Repository, view: View) -> dict[str, dict[str | None, str]]:
    """Branch → who has it → commit; the one here is None's."""
    patterns = [f"{_HEADS}{prefix}" for prefix in PREFIXES] + [f"{_REMOTES}*/{prefix}*" for prefix in PREFIXES]
    form = "--format=%(refname) %(objecttype) %(objectname)"
    _, out = repo.git("for-each-ref", form, "--", *patterns)
    found: dict[str, dict[str | None, str]] = {}
    for line in out.decode("utf-8", "surrogateescape").splitlines():
        ref, kind, oid = line.rsplit(" ", 2)
        remote, branch = _split(ref)
        if kind == "commit" and branch.startswith(PREFIXES):
            found.setdefault(branch, {})[remote] = oid
    for ref, oid in view.there.items():
        branch = ref.removeprefix(_HEADS)
        if branch != ref and branch.startswith(PREFIXES) and repo.objects.resolve(oid) == oid:
            found.setdefault(branch, {})[view.remote] = oid
    return found


def _split(ref: str) -> tuple[str | None, str]:
    if ref.startswith(_HEADS):
        return None, ref.removeprefix(_HEADS)
    remote, _, branch = ref.removeprefix(_REMOTES).partition("/")
    return remote, branch


def _time(commit: Commit) -> int:
    seconds = commit.committer.rpartition("> ")[2].split(" ")[0]
    return int(seconds) * 1000 if seconds.isdigit() else 0
