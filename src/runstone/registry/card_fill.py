"""A model card filled from the run and the version that it tells of: Hugging Face front matter, tables, how to use."""

import json
import math
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Any

from runstone import templates
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft
from runstone.records.dataset import Dataset
from runstone.records.run import Run
from runstone.registry import branch
from runstone.registry.card import Generated, read_card, refresh
from runstone.registry.evaluations import evaluations_of, newest_by_data
from runstone.registry.layout import Place
from runstone.registry.message import format_message
from runstone.registry.model import RegisteredModel, find_key, get_model
from runstone.registry.version import ModelVersion, get_version, latest_version
from runstone.tracking.markdown import code, details, table
from runstone.tracking.shown import format_iso, format_size, format_value
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri

_ROWS = 100
_EVALUATIONS = 20
_TESTED = ("test", "eval", "evaluation", "validation", "val")


def fill_card(workspace: Workspace, name: str, version: int | None = None) -> str:
    """The card of a model, its generated parts filled anew; a new one from the template if it has none.

    Args:
        workspace: The repository.
        name: The model.
        version: The version that it tells of; the latest if None, or none where there is none.

    Raises:
        ModelNotFound, VersionNotFound: There is no such model or version.
    """
    repo = workspace.repo
    return _fill(workspace, name, branch.registry_commit(repo), _generated(workspace, name, version))


def write_card(workspace: Workspace, name: str, version: int | None = None) -> str | None:
    """Write what `fill_card` gives; returns the commit, None if the card is so already.

    Writes:
        `registry/<model>/README.md`, one commit on the default branch.

    Raises:
        ModelNotFound, VersionNotFound: There is no such model or version.
        LocalEdits, IndexBusy, BranchBehind, BranchDiverged, SigningFailed: See `branch.commit_files`.
    """
    repo = workspace.repo
    generated = _generated(workspace, name, version)
    path = Place("card", find_key(repo, name)).path(repo.config.registry)
    trailers: list[tuple[str, object]] = [("Model", name)]
    number = generated.front["runstone"].get("version")
    trailers += [("Version", number)] if number is not None else []
    message = format_message(f"Fill the model card of {name}", trailers)
    return branch.commit_files(repo, lambda base: {path: _fill(workspace, name, base, generated)}, message)


def _fill(workspace: Workspace, name: str, commit: str | None, generated: Generated) -> str:
    old = read_card(workspace.repo, commit, find_key(workspace.repo, name))
    text = templates.read("model_card.md").replace("{{title}}", _plain(name)) if old is None else old
    return refresh(text, generated)


def _generated(workspace: Workspace, name: str, number: int | None) -> Generated:
    repo = workspace.repo
    model = get_model(repo, name)
    if number is not None:
        version: ModelVersion | None = get_version(repo, name, number)
    else:
        version = latest_version(repo, name) if model.latest_versions else None
    recorded = None if version is None else Draft(repo, version.commit).run(version.record)
    run = None if recorded is None else recorded.run
    blocks = {
        "summary": "\n".join(_summary(model, version, run)),
        "data": "\n".join(_data(run.datasets if run is not None else ())),
        "evaluation": "\n".join([*_metrics(run), *_evaluated(repo, version)]),
        "use": "\n".join(_use(model.name, version)),
    }
    return Generated(_front(model, version, run), _first(model, version), blocks)


def _front(model: RegisteredModel, version: ModelVersion | None, run: Run | None) -> dict[str, Any]:
    flavors = [flavor for flavor in (version.flavors if version else ()) if flavor != "python_function"]
    about: dict[str, Any] = {"model": model.name}
    if version is not None:
        about |= {"version": version.version, "run": version.run_id}
    values = {} if run is None else {k: m.last for k, m in run.metrics.items() if math.isfinite(m.last)}
    tested = _tested(run)
    index = None
    if values and run is not None:
        result = {
            "task": {"type": "other"},
            "dataset": {"name": tested.name if tested else run.experiment, "type": "other"},
            "metrics": [{"type": key, "name": key, "value": value} for key, value in sorted(values.items())[:_ROWS]],
        }
        index = [{"name": model.name, "results": [result]}]
    return {
        "library_name": flavors[0] if flavors else None,
        "metrics": sorted(values)[:_ROWS] or None,
        "model-index": index,
        "runstone": about,
    }


def _first(model: RegisteredModel, version: ModelVersion | None) -> dict[str, Any]:
    tags = {**model.tags, **(version.tags if version is not None else {})}
    return {"license": tags.get("license", "other"), "tags": ["runstone"]}


def _summary(model: RegisteredModel, version: ModelVersion | None, run: Run | None) -> Iterator[str]:
    if model.description:
        yield from (code(line, limit=2000) for line in model.description.splitlines() if line.strip())
        yield ""
    if version is None:
        yield "No version yet."
        return
    rows = [("Version", code(str(ModelUri(model.name, version=version.version))))]
    if version.description:
        rows.append(("Description", code(version.description, limit=500)))
    rows += [("Flavors", ", ".join(map(code, version.flavors))), ("Size", format_size(version.size))]
    rows += [("Digest", code(version.digest)), ("Run", code(version.run_id))]
    if run is not None:
        rows += [("Experiment", code(run.experiment)), ("Trained", f"{format_iso(run.started)} by {code(run.user)}")]
        rows += [("Code", code(run.source.code))] if run.source.code else []
        rows += [("Python", code(run.environment.python))] if run.environment.python else []
    if model.owners:
        rows.append(("Owners", ", ".join(map(code, model.owners))))
    yield from table(("", ""), rows)
    if run is not None and run.params:
        params = [(code(key), code(format_value(value))) for key, value in sorted(run.params.items())]
        yield from ("", *details("Parameters", table(("Parameter", "Value"), _some(params))))


def _data(datasets: Sequence[Dataset]) -> Iterator[str]:
    if not datasets:
        return  # an empty section tells a gate, and people, that something is missing
    rows = [
        (code(each.name), code(each.role or ""), code(each.path or ""), code(each.digest, limit=60))
        for each in datasets
    ]
    yield from table(("Data", "Role", "Path", "Digest"), _some(rows))


def _metrics(run: Run | None) -> Iterator[str]:
    if run is None or not run.metrics:
        return
    tested = _tested(run)
    if tested is not None:
        yield from (f"On {code(tested.name)}:", "")
    rows = [(code(key), format_value(metric.last), str(metric.step)) for key, metric in sorted(run.metrics.items())]
    yield from table(("Metric", "Value", "Step"), _some(rows))


def _evaluated(repo: Repository, version: ModelVersion | None) -> Iterator[str]:
    """What was measured later, of the very same model: of each data the newest."""
    found = [] if version is None else newest_by_data(evaluations_of(repo, version.digest))
    for each in found[:_EVALUATIONS]:
        yield from (
            "",
            f"Evaluated on {code(each.data)} ({code(each.digest, limit=60)}) by the run {code(each.run_id)}:",
            "",
        )
        rows = [(code(key), format_value(value)) for key, value in sorted(each.metrics.items())]
        yield from table(("Metric", "Value"), _some(rows))


def _use(name: str, version: ModelVersion | None) -> Iterator[str]:
    uri = str(ModelUri(name, version=version.version) if version is not None else ModelUri(name, word="latest"))
    yield from ("```python", "import runstone", "", f"model = runstone.pyfunc.load_model({uri!r})")
    yield from ("predictions = model.predict(data)", "```", "")
    yield from ("```sh", f"runstone models get {quote(uri)} out", "```")
    signature = version.signature if version is not None else None
    for key in ("inputs", "outputs", "params"):
        if signature and signature.get(key):
            yield from ("", f"{key.capitalize()}:", "", *_schema(signature[key]))


def _schema(found: Any) -> Iterator[str]:
    """One part of a signature, which is JSON as text or as a list of columns, as a table."""
    try:
        columns = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        columns = None
    if not isinstance(columns, list) or not columns or not all(isinstance(each, dict) for each in columns):
        yield code(str(found), limit=2000)
        return
    rows = []
    for each in columns:
        tensor = each.get("tensor-spec")
        shape = (
            f"{tensor.get('dtype')} {tensor.get('shape')}" if isinstance(tensor, dict) else str(each.get("type", ""))
        )
        more = {k: v for k, v in each.items() if k not in ("name", "type", "required", "tensor-spec")}
        notes = (["optional"] if each.get("required") is False else []) + [f"{k} {v}" for k, v in more.items()]
        rows.append(
            (
                code(str(each.get("name", ""))),
                code(shape) if shape else "",
                code(", ".join(notes), limit=200) if notes else "",
            )
        )
    yield from table(("Name", "Type", ""), _some(rows))


def _tested(run: Run | None) -> Dataset | None:
    datasets = run.datasets if run is not None else ()
    return next((each for each in datasets if (each.role or "").lower() in _TESTED), None)


def _some(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    yield from rows[:_ROWS]
    if len(rows) > _ROWS:
        yield (f"and {len(rows) - _ROWS} more", *("" for _ in rows[0][1:]))


def _plain(name: str) -> str:
    """A name as a heading: what Markdown or HTML would take for markup is escaped."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~&@:$" else c for c in name)
