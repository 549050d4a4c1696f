"""Rename and delete a model: at once where nobody has to say yes to it, else by a proposal."""

from dataclasses import replace

from runstone import names
from runstone.promotion.proposals.direct import carry_out, needs_approval, reviews
from runstone.promotion.proposals.ground import Ground, plan_on, read_ground
from runstone.promotion.proposals.plan import Wish
from runstone.promotion.proposals.propose import Maker, Options, Outcome, propose
from runstone.registry import branch, model_edits
from runstone.registry.keys import check_model, find_key
from runstone.tracking.workspace import Workspace


def rename_model(
    workspace: Workspace, name: str, new_name: str, *, why: str | None = None, options: Options | None = None
) -> Outcome:
    """Give a model another name, or propose it. Its folder, its git tags and its history stay.

    Args:
        workspace: The repository.
        name: The model.
        new_name: Its name to be; the old one means nothing more then.
        why: What to say of it.
        options: How.

    Writes:
        As `carry_out`.

    Raises:
        ModelNotFound: There is no such model.
        ModelExists, InvalidName, RecordInvalid: As `model_edits.renaming`.
        As `carry_out`.
    """
    name, new_name = check_model(name), names.check_new_model(new_name)

    def make(ground: Ground) -> Wish:
        return Wish("rename", ground.state.key, ground.model, new_name=new_name, why=why)

    return carry_out(workspace, model_edits.need_key(workspace.repo, name), make, options)


def delete_model(workspace: Workspace, name: str, *, why: str | None = None, options: Options | None = None) -> Outcome:
    """Delete a model, or propose it.

    A proposal removes its files, from which versions leave their stages and aliases. Its versions are retired by the
    same call once that is merged: a git tag cannot wait for review, and could not be taken back.

    Args:
        workspace: The repository.
        name: The model.
        why: What to say of it.
        options: How.

    Writes:
        As `model_edits.delete_model`, or as `propose`.

    Raises:
        ModelNotFound: There is no such model.
        As `model_edits.delete_model`, or as `propose`.
    """
    repo, options = workspace.repo, options or Options()
    key, commit = find_key(repo, name), branch.registry_commit(repo)
    plan = plan_on(read_ground(repo, commit, key), Wish("remove", key, name, why=why))
    is_reviewed = model_edits.is_guarded(repo, plan.changes) and reviews(repo)
    if options.propose or is_reviewed or needs_approval(repo, commit, plan):
        return propose(workspace, key, _removing(why), options)
    plan = replace(plan, nothing="")  # versions at least
    return Outcome(plan, model_edits.delete_model(workspace, name), is_new=True, base=commit)


def _removing(why: str | None) -> Maker:
    def make(ground: Ground) -> Wish:
        return Wish("remove", ground.state.key, ground.model, why=why)

    return make
