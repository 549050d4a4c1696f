"""What a shell offers for a word that is being written: names out of the repository, each with a line of help."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from runstone.cli.session import Session

Words = list[tuple[str, str]]

_MOST = 200


def runs(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Names and ids of runs, the newest first; ids only once some of one is written."""
    from runstone.index.search import list_runs

    pattern = incomplete.replace("'", "''").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    columns = ["run_name", "run_id", "status"]
    chosen = "" if not incomplete else f"run_name LIKE '{pattern}' OR run_id LIKE '{pattern}'"
    rows = list_runs(session.workspace.repo, columns, filter_string=chosen, max_results=_MOST, run_view_type="ALL")
    named = [(name, f"{status} {id_}") for name, id_, status in rows]
    return named + [(id_, f"{status} {name}") for name, id_, status in rows if incomplete]


def experiments(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Names of experiments."""
    from runstone.index.experiments import list_experiments

    return [(one.name, one.experiment_id) for one in list_experiments(session.workspace.repo)]


def runs_and_experiments(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Of a command that takes runs and then an experiment: nothing tells which word is the last."""
    return experiments(session, ctx, incomplete) + runs(session, ctx, incomplete)


def models(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Names of models."""
    from runstone.registry.model import list_model_names

    return [(name, "model") for name in list_model_names(session.workspace.repo)]


def runs_and_versions(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Runs, and versions of models: `churn@champion`; once the @ is written by number, too, as `churn@v4`."""
    from runstone.registry.alias import read_aliases
    from runstone.registry.version import list_versions

    repo = session.workspace.repo
    stem, mark, _ = incomplete.partition("@")
    found: Words = []
    for name, _help in models(session, ctx, incomplete):
        if name == stem if mark else name.startswith(stem):
            found += [(f"{name}@{alias}", f"version {number}") for alias, number in read_aliases(repo, name).items()]
        if mark and name == stem:
            found += [(f"{name}@v{each.version}", each.run_id) for each in list_versions(repo, name)]
    return found + runs(session, ctx, incomplete)


def aliases(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The aliases of the model that the line names."""
    from runstone.registry.alias import read_aliases

    found = read_aliases(session.workspace.repo, ctx.params.get("name") or "")
    return [(alias, f"version {number}") for alias, number in found.items()]


def versions(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The versions of the model that the line names, the newest first, its aliases, and `latest`."""
    from runstone.registry.version import list_versions

    found = list_versions(session.workspace.repo, ctx.params.get("name") or "")
    numbered = [(str(each.version), each.description or f"run {each.run_id}") for each in found]
    named = [(f"@{alias}", help_) for alias, help_ in aliases(session, ctx, incomplete)]
    return [*numbered, *named, ("latest", "the version with the highest number")]


def places(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The stages and the aliases of the model that the line names, as `Production` and `@champion`."""
    named = [(f"@{alias}", help_) for alias, help_ in aliases(session, ctx, incomplete)]
    return [*stages(session, ctx, incomplete), *named]


def version_uris(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Models, and of the one that is written their versions and aliases: `churn`, `churn/3`, `churn@champion`."""
    from runstone.registry.alias import read_aliases
    from runstone.registry.version import list_versions

    repo = session.workspace.repo
    found = models(session, ctx, incomplete)
    for name, _help in list(found):
        if incomplete.startswith(name):
            found += [(f"{name}@{alias}", f"version {number}") for alias, number in read_aliases(repo, name).items()]
            found += [(f"{name}/{each.version}", f"run {each.run_id}") for each in list_versions(repo, name)]
    return found


def stages(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The stages of the policy: of the model that the line names."""
    from runstone.registry.branch import registry_commit
    from runstone.registry.model import find_key
    from runstone.registry.state import read_policy

    repo = session.workspace.repo
    name = ctx.params.get("name")
    policy = read_policy(repo, registry_commit(repo), find_key(repo, name) if name else None)
    return [(stage, "stage") for stage in policy.stages]


def proposals(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The open proposals, by what was seen of the remote last."""
    from runstone.promotion.proposals.listing import list_proposals
    from runstone.promotion.proposals.look import look

    repo = session.workspace.repo
    return [(each.name, each.subject) for each in list_proposals(repo, look(repo, ask=False))]


def metrics(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """Names of metrics."""
    from runstone.index.near import list_keys

    return [(key, "metric") for key in list_keys(session.workspace.repo, "metric")]


def fields(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The fields of runs: of a list parted by commas the last."""
    from runstone.index.fields import RUNS, key_field
    from runstone.index.near import list_keys

    repo = session.workspace.repo
    keyed = [
        (key_field(entity, key), entity) for entity in ("metric", "param", "tag") for key in list_keys(repo, entity)
    ]
    return _after_commas([*((name, "attribute") for name in RUNS.attributes), *keyed], incomplete)


def sections(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The sections of a comparison: of a list parted by commas the last."""
    from runstone.tracking.compare import SECTIONS

    return _after_commas([(name, "section") for name in SECTIONS], incomplete)


def remotes(session: "Session", ctx: "click.Context", incomplete: str) -> Words:
    """The git remotes."""
    config = session.workspace.repo.git_config
    return [(key[7:-4], url) for key, url in config.items() if key.startswith("remote.") and key.endswith(".url")]


def _after_commas(words: Words, incomplete: str) -> Words:
    before, comma, _ = incomplete.rpartition(",")
    lead = f"{before}{comma}" or ("+" if incomplete.startswith("+") else "")
    return [(f"{lead}{word}", help_) for word, help_ in words]
