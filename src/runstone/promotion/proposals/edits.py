"""Propose an edit of what nobody has to approve, or of the rules themselves: files as they shall be, on `edit/…`.

Where people may not push the default branch, this is how a description, an owner, a policy gets there.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from runstone.errors import RefMoved, UsageError
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.proposals.look import View
from runstone.promotion.proposals.plan import Plan, Wish, branch_name
from runstone.promotion.proposals.proposal import Proposal, parse_trailers
from runstone.promotion.proposals.propose import Options, Outcome, ask_remote, open_proposal
from runstone.promotion.proposals.trees import compare_trees
from runstone.registry import branch
from runstone.registry.layout import parse_path
from runstone.registry.people import MAILMAP
from runstone.tracking.workspace import Workspace

_ATTEMPTS = 5


def propose_edit(
    workspace: Workspace, edit: Callable[[], object], *, why: str | None = None, options: Options | None = None
) -> Outcome:
    """Propose what an edit would commit to the default branch.

    Args:
        workspace: The repository.
        edit: Any call that ends in one commit there, as `model_edits.describe_model`.
        why: What to say of it.
        options: How.

    Writes:
        What `propose` writes, and nothing on the default branch.

    Raises:
        As the edit, and as `propose`.
    """
    try:
        with branch.divert():
            edit()
    except branch.Diverted as found:
        changes, message = found.changes, found.message
    else:
        return Outcome(Plan(Wish("edit", "", ""), "", "", nothing="There is nothing to change."))
    make = changes if callable(changes) else lambda base: changes
    return _propose(workspace, make, message if callable(message) else lambda base: message, why, options)


def propose_files(
    workspace: Workspace, paths: Iterable[str | Path], *, why: str | None = None, options: Options | None = None
) -> Outcome:
    """Propose files of the work tree as they are now: policies, settings, whatever else belongs to the registry.

    Args:
        workspace: The repository.
        paths: The files; one that is gone is proposed to be removed.
        why: What to say of them.
        options: How.

    Writes:
        As `propose_edit`; neither the work tree nor its index.

    Raises:
        UsageError: A path is none of the registry's, or of what guards it.
        As `propose`.
    """
    found = _read(workspace.repo, paths)
    names = ", ".join(sorted(found))
    subject = f"Change {names if len(names) < 60 else f'{len(found)} files of the registry'}"
    return _propose(workspace, lambda base: found, lambda base: f"{subject}\n", why, options)


def rebase_edit(workspace: Workspace, view: View, proposal: Proposal, options: Options) -> Outcome:
    """The same files on the present default branch; raises `UsageError` where that has changed them, too."""
    repo = workspace.repo
    trees = [None if each is None else repo.objects.commit(each).tree for each in (proposal.base, view.tip)]
    commit = repo.objects.commit(proposal.commit)
    assert trees[1] is not None
    entries, conflicts = compare_trees(repo.objects, trees[0], trees[1], commit.tree)
    if conflicts:
        where = ", ".join(each.path for each in conflicts)
        raise UsageError(
            f"`{proposal.name}` cannot be made anew: `{view.target}` has changed {where}, too. Edit that as it is now, "
            f"and propose it: `runstone proposals open {conflicts[0].path}`"
        )
    found = repo.objects.update_tree(trees[1], entries)
    changes: dict[str, str | None] = {}
    for path in _differing(repo, trees[1], found or repo.objects.write_tree({})):
        entry = None if found is None else repo.objects.entry(found, path)
        changes[path] = None if entry is None else repo.objects.blob(entry.oid).decode("utf-8", "surrogateescape")
    model = next(iter(parse_trailers(commit.message).get("model", ())), "")
    _, _, rest = commit.message.partition("\n\n")
    why = "\n\n".join(rest.rstrip("\n").split("\n\n")[:-1]) or None
    wish = Wish("edit", "", model, why=why)
    plan = Plan(wish, proposal.branch, proposal.subject, changes)
    if not changes:
        return Outcome(replace(plan, nothing=f"`{view.target}` has it already."), proposal.commit, True, base=view.tip)
    return open_proposal(workspace, view, plan, options, replaces=proposal.commit)


def _propose(
    workspace: Workspace,
    make: Callable[[str | None], Mapping[str, str | None]],
    message: Callable[[str | None], str],
    why: str | None,
    options: Options | None,
) -> Outcome:
    options, repo = options or Options(), workspace.repo
    for attempt in range(_ATTEMPTS):
        view = ask_remote(repo, options)
        changes = dict(make(view.tip))
        text = message(view.tip)
        model = next(iter(parse_trailers(text).get("model", ())), "")
        wish = Wish("edit", "", model, why=why)
        plan = Plan(wish, _branch(repo, changes), text.partition("\n")[0], changes)
        assert view.tip is not None
        draft = branch.draft_commit(repo, view.tip, changes)
        if repo.objects.commit(draft).tree == repo.objects.commit(view.tip).tree:
            return Outcome(replace(plan, nothing=f"`{view.target}` has it already."), base=view.tip)
        try:
            return open_proposal(workspace, view, plan, options)
        except RefMoved:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _branch(repo: Repository, changes: Mapping[str, str | None]) -> str:
    """`edit/churn-4f2a91c0`: what it is about, and a digest, as several edits may wait at once."""
    places = [parse_path(repo.config.registry, path) for path in changes]
    keys = {place.key if place is not None else "" for place in places}
    subject = keys.pop() if len(keys) == 1 else ""
    digest = hashlib.sha1(repr(sorted(changes.items())).encode("utf-8", "surrogateescape"), usedforsecurity=False)
    return branch_name("edit", f"{subject or 'rules'}-{digest.hexdigest()[:8]}")


def _read(repo: Repository, paths: Iterable[str | Path]) -> dict[str, str | None]:
    if repo.work_tree is None:
        raise UsageError("A bare repository has no files to propose. Do so in a clone.")
    found: dict[str, str | None] = {}
    for given in paths:
        file = Path(given).absolute()
        try:
            path = file.relative_to(repo.work_tree.absolute()).as_posix()
        except ValueError:
            raise UsageError(f"{str(given)!r} lies outside of the work tree {repo.work_tree}.") from None
        if path not in (CONFIG_FILE, MAILMAP) and parse_path(repo.config.registry, path) is None:
            step = "Push such files on a branch of your own, as any other change of the code."
            raise UsageError(f"{path!r} is no file of the registry, nor {CONFIG_FILE} or {MAILMAP}. {step}")
        found[path] = file.read_bytes().decode("utf-8", "surrogateescape") if file.is_file() else None
    return found


def _differing(repo: Repository, before: str, after: str) -> list[str]:
    _, out = repo.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after)
    return [path for path in out.decode("utf-8", "surrogateescape").split("\0") if path]
