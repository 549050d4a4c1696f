"""What an error or an empty list says beside itself: which name was meant, and how to bring what is not here."""

from collections.abc import Iterable, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from runstone.errors import (
    AliasNotFound,
    ExperimentNotFound,
    FilterInvalid,
    ModelNotFound,
    RunNotFound,
    RunstoneError,
    StageNotFound,
    UnknownStage,
)

if TYPE_CHECKING:
    from runstone.cli.session import Session
    from runstone.git.repository import Repository


def advise(error: RunstoneError, session: "Session") -> str:
    """The text of an error, with the names that look like the one that was not found."""
    text = str(error)
    if isinstance(error, FilterInvalid):
        return _advise_filter(error, session)
    if isinstance(error, RunNotFound | ExperimentNotFound) and (absent := absent_branch(session.light_repo)):
        return f"{text}\n{absent}"
    if isinstance(error, RunNotFound):
        from runstone.index.near import near_runs

        near = near_runs(session.light_repo, error.run_id)
        if error.run_id in near:  # a name, where an id is asked for
            step = f"runstone runs show {quote(error.run_id)}"
            return f"{text}\nThat is a run's name, and here its id is needed: `{step}`"
        return _with_near(text, near)
    if isinstance(error, ExperimentNotFound):
        from runstone.index.near import near_experiments

        return _with_near(text, near_experiments(session.light_repo, error.name))
    named = {ModelNotFound: "name", AliasNotFound: "alias", StageNotFound: "stage", UnknownStage: "stage"}
    if isinstance(error, ModelNotFound | AliasNotFound | StageNotFound | UnknownStage) and type(error) in named:
        from difflib import get_close_matches  # here: a list of runs needs none

        near = get_close_matches(getattr(error, named[type(error)]), error.known[:1000], cutoff=0.7)
        if type(error) is ModelNotFound and not near and (absent := absent_versions(session.light_repo)):
            return f"{text}\n{absent}"
        return _with_near(text, near)
    return text


def absent_branch(repo: "Repository") -> str | None:
    """What to say where no branch of runs is here, not even the remote's, and there is a remote."""
    has_remote = any(key.startswith("remote.") and key.endswith(".url") for key in repo.git_config)
    if not has_remote or repo.runs_tip() is not None:
        return None
    return f"This clone does not have the branch {repo.config.branch}. Bring it: `runstone pull`"


def absent_versions(repo: "Repository", key: str | None = None) -> str | None:
    """What to say where files of the registry name versions whose git tags this clone lacks, as a shallow one may.

    Args:
        repo: The repository.
        key: A model; all if None.
    """
    from runstone.registry.present import absent_versions

    count = sum(map(len, absent_versions(repo, key).values()))
    if not count:
        return None
    what = "1 version that the registry names has" if count == 1 else f"{count} versions that the registry names have"
    return f"{what} no git tag in this clone. Bring them: `runstone pull`"


def say_unknown_fields(
    repo: "Repository",
    filters: Iterable[str],
    orders: Sequence[str] = (),
    columns: Sequence[str] = (),
    experiment_ids: Sequence[str] | None = None,
) -> None:
    """Say which metrics, params and tags of a search no run has: a misspelled one finds nothing, which is no error."""
    from runstone.cli.output import hint
    from runstone.index.fields import RUNS
    from runstone.index.filter import list_fields, parse_column, parse_filter, parse_order_by
    from runstone.index.near import unknown_fields

    fields = [field for text in filters for field in list_fields(parse_filter(text, RUNS))]
    fields += [order.field for order in parse_order_by(orders, RUNS)]
    fields += [parse_column(column, RUNS) for column in columns]
    for name, near in unknown_fields(repo, fields, experiment_ids) if fields else ():
        hint(f"no run has {name}" + (f"; did you mean {' or '.join(near)}?" if near else ""))


def _advise_filter(error: FilterInvalid, session: "Session") -> str:
    from runstone.index.near import fields_of

    found = fields_of(session.light_repo, error.unknown) if error.unknown else []
    if not found:
        return str(error)
    step = f"Did you mean {' or '.join(found)}?"
    return str(FilterInvalid(error.kind, error.text, error.at, error.problem, step))


def _with_near(text: str, near: Sequence[str]) -> str:
    return f"{text}\nDid you mean {' or '.join(near)}?" if near else text
