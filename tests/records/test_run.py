"""Runs, experiments and versions: what is written is read back, and MLflow's views show the same values."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstone.records import schema, yaml
from runstone.records.dataset import Dataset
from runstone.records.experiment import Experiment
from runstone.records.metric import Metric, MetricSummary, summarize
from runstone.records.model import ModelReference, VersionBody
from runstone.records.run import STATUSES, Environment, Run, Source

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
some = st.none() | texts
times = st.integers(0, 10**13)
floats = st.floats(allow_nan=False)
maps = st.dictionaries(texts, texts, max_size=3)
extra = st.dictionaries(st.sampled_from(["zz", "later key"]), st.integers() | texts | st.lists(texts), max_size=2)
signatures = st.none() | maps
values = st.recursive(
    texts | st.integers() | floats | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
sources = st.builds(
    Source,
    st.lists(texts).map(tuple),
    *(some, some, some, some),
    st.none() | st.booleans(),
    *(some, some),
    st.lists(maps, max_size=2).map(tuple),
    st.none() | maps,
    extra=extra,
)
datasets = st.builds(Dataset, texts, texts, some, some, some, st.lists(st.integers()).map(tuple), extra=extra)
flavors = st.lists(texts, max_size=2).map(tuple)
paths = st.sampled_from(["rf", "models/a b", "."])
models = st.builds(ModelReference, paths, flavors, texts, st.integers(0), signatures, extra=extra)
summaries = st.builds(MetricSummary, floats, st.integers(), floats, floats, st.integers(1), extra=extra)
runs = st.builds(
    Run,
    id=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    name=texts,
    experiment=texts,
    experiment_id=st.just("exp"),
    status=st.sampled_from(STATUSES),
    user=texts,
    started=times,
    ended=st.none() | times,
    parent=some,
    rerun_of=some,
    lifecycle=st.sampled_from(["active", "deleted"]),
    deleted=st.none() | maps,
    source=sources,
    environment=st.builds(Environment, some, some, some, extra=extra),
    params=st.dictionaries(texts, values, max_size=3),
    metrics=st.dictionaries(texts, summaries, max_size=3),
    tags=maps,
    datasets=st.lists(datasets, max_size=2).map(tuple),
    models=st.lists(models, max_size=2).map(tuple),
    attempts=st.lists(maps, max_size=2).map(tuple),
    conflicts=st.lists(maps, max_size=2).map(tuple),
    amendments=st.lists(maps, max_size=2).map(tuple),
    extra=extra,
)


@settings(max_examples=80, deadline=None)
@given(runs)
def test_a_run_is_read_as_it_was_written(run: Run) -> None:
    """Record to text and back gives the same run, its schema accepts it, and the text is stable."""
    text = yaml.dump(run.to_document())
    assert run == Run.from_document(yaml.load(text, "run.yaml"), "exp", "run.yaml")
    assert "run" == schema.validate_text(text, "run.yaml")


@settings(max_examples=40, deadline=None)
@given(
    st.builds(Experiment, st.just("exp"), texts, st.none() | times, st.none() | texts.filter(bool), maps, extra=extra)
)
def test_an_experiment_is_read_as_it_was_written(experiment: Experiment) -> None:
    """Record to text and back gives the same experiment."""
    text = yaml.dump(experiment.to_document())
    assert experiment == Experiment.from_document(yaml.load(text, "e.yaml"), "exp", "e.yaml")
    assert "experiment" == schema.validate_text(text, "e.yaml")


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        VersionBody, texts, texts, paths, paths, texts, flavors, st.integers(0), signatures,
        st.none() | texts.filter(bool), extra=extra,
    )
)  # fmt: skip
def test_a_version_is_read_as_it_was_written(body: VersionBody) -> None:
    """Record to text and back gives the same body."""
    text = yaml.dump(body.to_document())
    assert body == VersionBody.from_document(yaml.load(text, "tag"), "tag")
    assert "version" == schema.validate_text(text, "tag")


@pytest.mark.mlflow
def test_a_run_has_the_views_that_mlflow_users_know() -> None:
    """`run.info`, `run.data` and `run.inputs` hold the record's values; params keep their types."""
    data = Dataset("d", "md5:0")
    run = Run(
        id="ab", name="otter", experiment="E", experiment_id="e", status="FINISHED", user="kim", started=1, ended=2,
        params={"lr": 0.1}, metrics={"mse": MetricSummary(0.5, 3, 0.5, 1.0, 4)}, tags={"a": "b"}, datasets=(data,),
    )  # fmt: skip
    info = run.info
    assert ("ab", "otter", "e", "kim", "FINISHED", 1, 2, "active", "runs:/ab") == (
        info.run_id, info.run_name, info.experiment_id, info.user_id, info.status, info.start_time, info.end_time,
        info.lifecycle_stage, info.artifact_uri,
    )  # fmt: skip
    assert ({"lr": 0.1}, {"mse": 0.5}, {"a": "b"}) == (run.data.params, run.data.metrics, run.data.tags)
    assert (data,) == run.inputs.dataset_inputs


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0, 1.0)], (1.0, 0, 1.0, 1.0, 1)),
        ([(0, 1.0), (2, 3.0), (1, 0.5)], (3.0, 2, 0.5, 3.0, 3)),
        ([(1, 1.0), (1, 2.0)], (2.0, 1, 1.0, 2.0, 2)),
        ([(0, math.nan), (1, 2.0), (2, 1.0)], (1.0, 2, 1.0, 2.0, 3)),
        ([(0, 2.0), (1, math.nan)], (math.nan, 1, 2.0, 2.0, 2)),
        ([(0, math.nan)], (math.nan, 0, math.nan, math.nan, 1)),
        ([(0, math.inf), (-1, -math.inf)], (math.inf, 0, -math.inf, math.inf, 2)),
    ],
)
def test_a_summary_shows_the_highest_step_and_the_extremes(points: Any, expected: Any) -> None:
    """Of equal steps the last written is shown; NaN is an extreme only where there is nothing else."""
    found = summarize(Metric("m", value, 0, step) for step, value in points)["m"]
    assert repr(expected) == repr((found.last, found.step, found.min, found.max, found.count))


VALUES = st.sampled_from([0.0, -1.0, 2.5, math.nan, math.inf, -math.inf])


@given(st.lists(st.builds(Metric, st.just("m"), VALUES, st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_the_latest_value_is_mlflows(points: list[Metric]) -> None:
    """The greatest of step, then time, then value, NaN taken as 0; it stands in the record only if it is not `last`."""
    found = summarize(points)["m"]
    latest = max(points, key=lambda p: (p.step, p.timestamp, 0.0 if math.isnan(p.value) else p.value)).value
    shown = found.last if found.latest is None else found.latest
    assert (0.0 if math.isnan(latest) else latest) == (0.0 if math.isnan(shown) else shown)
    assert (found.latest is not None) == ("latest" in found.to_document())
    assert repr(found) == repr(MetricSummary.from_document(found.to_document(), "run.yaml", "metrics.m"))
