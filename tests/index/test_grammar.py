"""The filter language: what it accepts, and what it says of what it refuses."""

import pytest

from runstone.errors import FilterInvalid
from runstone.index.fields import EXPERIMENTS, MODEL_VERSIONS, RUNS, Vocabulary
from runstone.index.filter import And, Comparison, Filter, Not, Or, parse_column, parse_filter, parse_order_by

ALL_ATTRIBUTES = (
    "Attributes: run_id, run_name, status, user_id, start_time, end_time, duration, artifact_uri, experiment_id, "
    "experiment_name, lifecycle_stage, parent, rerun_of, commit, branch, snapshot, dirty, command. "
)
ANY_FIELD = "Expected a field such as metrics.mse, params.lr, tags.team or status."
ANY_VALUE = "Expected a number, or text in quotes."
ANY_COMPARISON = (
    "Expected a comparison: =, !=, <, <=, >, >=, IN, BETWEEN, LIKE, ILIKE, IS NULL. "
    "A name with other signs goes in quotes."
)


def brief(filter_: Filter | None) -> str:
    """A filter in a notation with all parentheses, for comparison."""
    if filter_ is None:
        return ""
    if isinstance(filter_, Comparison):
        field = filter_.field
        name = f"{field.entity}:{field.key}" + (f":{field.part}" if field.part != "last" else "")
        values = " ".join(repr(value) for value in filter_.values)
        return f"{name} {'!' if filter_.negated else ''}{filter_.operator} {values}".rstrip()
    if isinstance(filter_, Not):
        return f"not({brief(filter_.term)})"
    assert isinstance(filter_, And | Or)
    return f"{type(filter_).__name__.lower()}({', '.join(brief(term) for term in filter_.terms)})"


@pytest.mark.parametrize(
    ("meaning", "text"),
    [
        ("", ""),
        ("", "  \n"),
        ("metric:mse < 0.5", "metrics.mse < 0.5"),
        ("metric:mse < 0.5", "  METRIC.mse<.5 "),
        ("metric:val/loss >= -0.001", "metrics.val/loss >= -1e-3"),
        ("metric:a.b > 1.0", "metrics.a.b > 1"),
        ("metric:a.min > 1.0", "metrics.a.min > 1"),
        ("metric:a:min > 1.0", "min(metrics.a) > 1"),
        ("metric:a.b c:count > 1", 'COUNT ( metrics."a.b c" ) > 1'),
        ("metric:a = inf", "metrics.a = inf"),
        ("metric:a = -inf", "metrics.a = -Infinity"),
        ("metric:a = nan", "metrics.a = NaN"),
        ("metric:a IN 1.0 2.0", "metrics.a in (1,2)"),
        ("metric:a !BETWEEN 1.0 2.0", "metrics.a NOT BETWEEN 1 AND 2"),
        ("and(metric:a BETWEEN 1.0 2.0, metric:b = 3.0)", "metrics.a BETWEEN 1 AND 2 AND metrics.b = 3"),
        ("param:lr = '0.1'", "params.lr = '0.1'"),
        ("param:lr = 0.1", "parameter.lr == 0.1"),
        ("param:lr != 0.1", "parameters.lr <> 0.1"),
        ("param:my param = 'x'", 'params."my param" = "x"'),
        ("param:my param = 'x'", "param.`my param` = 'x'"),
        ('param:a"b`c = 1', 'params."a""b`c" = 1'),
        ("param:flag = 'True'", "params.flag = true"),
        ("param:a IN 1 'x' 'False'", "params.a IN (1, 'x', FALSE)"),
        ("param:a = 9223372036854775807", "params.a = 9223372036854775807"),
        ("param:a = 9.223372036854776e+18", "params.a = 9223372036854775808"),
        ('tag:a = "it\'s"', "tags.a = 'it''s'"),
        ('tag:a = "it\'s"', 'tag.a = "it\'s"'),
        ("tag:größe !LIKE 'a%'", "tags.größe NOT LIKE 'a%'"),
        ("tag:a NULL", "tags.a IS NULL"),
        ("tag:a !NULL", "tags.a is not null"),
        ("attribute:status = 'FINISHED'", "status = 'FINISHED'"),
        ("attribute:status = 'FINISHED'", "`status` = 'FINISHED'"),
        ("attribute:status !IN 'FAILED' 'KILLED'", "attributes.status NOT IN ('FAILED', 'KILLED')"),
        ("attribute:run_name ILIKE 'x%'", "attr.\"Run name\" ilike 'x%'"),
        ("attribute:run_name = 'x'", "run.name = 'x'"),
        ("attribute:run_name = 'x'", "tags.mlflow.runName = 'x'"),
        ("attribute:user_id = 'x'", "tags.`mlflow.user` = 'x'"),
        ("attribute:parent = 'x'", 'tags."mlflow.parentRunId" = "x"'),
        ("attribute:commit = 'x'", "tags.mlflow.source.git.commit = 'x'"),
        ("tag:mlflow.note.content = 'x'", "tags.mlflow.note.content = 'x'"),
        ("attribute:start_time > 1767225600000", "attribute.created > 1767225600000"),
        ("attribute:start_time > 1767225600000", "start_time > '2026-01-01'"),
        ("attribute:end_time <= 1767225600123", "end_time <= '2026-01-01T02:00:00.123+02:00'"),
        ("attribute:dirty != True", "dirty != true"),
        ("dataset:context = 'train'", "datasets.context = 'train'"),
        ("and(tag:a = '1', or(tag:b = '2', tag:c = '3'))", "tags.a='1' AND (tags.b='2' OR tags.c='3')"),
        ("or(and(tag:a = '1', tag:b = '2'), tag:c = '3')", "tags.a='1'and tags.b='2'or tags.c='3'"),
        ("and(not(tag:a = '1'), tag:b = '2')", "NOT tags.a = '1' AND tags.b = '2'"),
        ("not(or(tag:a = '1', tag:b = '2'))", "not(tags.a = '1' or tags.b = '2')"),
        ("and(tag:a = 'and', tag:or = 'x')", "tags.a = 'and' AND tags.or = 'x'"),
    ],
)
def test_what_a_filter_means(meaning: str, text: str) -> None:
    """Each way to write a filter reads as one meaning."""
    assert meaning == brief(parse_filter(text, RUNS))


@pytest.mark.parametrize(
    ("problem", "at", "next_step", "text"),
    [
        ("text must stand in quotes", 9, "Write 'FINISHED'.", "status = FINISHED"),
        ("it ends too early", 11, ANY_VALUE, "metrics.x <"),
        ("`<` cannot stand here", 11, ANY_VALUE, "metrics.x << 1"),
        ("`1e` cannot stand here", 12, ANY_VALUE, "metrics.x > 1e"),
        ("it ends too early", 6, ANY_COMPARISON, "status"),
        ("`b` cannot stand here", 10, ANY_COMPARISON, "metrics.a b > 1"),
        ("it ends too early", 17, ANY_FIELD, "metrics.x > 1 and"),
        ("`;` cannot stand here", 0, ANY_FIELD, "; DROP TABLE run"),
        ("the dot is followed by no name", 7, "Write metrics.mse or params.lr.", "metrics. > 1"),
        ("`metrics` is followed by no name", 0, "Write `metrics.` and the name behind it.", "metrics > 1"),
        ("the quote opened here is never closed", 9, "Add a ' at its end.", "status = 'x"),
        ("it ends too early", 13, "Expected a closing parenthesis.", "(status = 'x'"),
        ("`)` cannot stand here", 12, "Expected the end.", "status = 'x')"),
        ("`--` cannot stand here", 14, "Expected AND, OR or the end.", "metrics.x = 1 -- y"),
        ("`status` cannot stand here", 13, "Expected AND, OR or the end.", "status = 'x' status = 'y'"),
        ("`'x'` cannot stand here", 10, "Expected an opening parenthesis.", "status IN 'x'"),
        ("`'y')` cannot stand here", 15, "Expected a comma or a closing parenthesis.", "status IN ('x' 'y')"),
        ("`)` cannot stand here", 11, ANY_VALUE, "status IN ()"),
        ("`or` cannot stand here", 21, "Expected AND.", "params.x between 1   or 2"),
        ("`1` cannot stand here", 13, "Expected NULL or NOT.", "metrics.x is 1"),
        ("the name between the quotes is empty", 7, "Write a name.", "params.`` = 1"),
        ("one function cannot hold another", 4, "Write min(metrics.loss).", "min(max(metrics.x)) > 1"),
        ("`min(…)` is for metrics, and `min(params.x)` is none", 0, "Write `min(metrics.loss)`.", "min(params.x) > 1"),
        ("`metrics.x` is a number", 12, "Write a number without quotes.", "metrics.x > '0.5'"),
        ("`tags.a` is text, and text stands in quotes", 9, "Write '3'.", "tags.a = 3"),
        (
            "> cannot compare `tags.a`, which is text",
            7,
            "It can be compared with =, !=, IN, NOT IN, LIKE, ILIKE and IS NULL.",
            "tags.a > 'x'",
        ),
        (
            "LIKE cannot compare `metrics.a`, which is a number",
            10,
            "It can be compared with =, !=, <, <=, >, >=, IN, BETWEEN and IS NULL.",
            "metrics.a LIKE '1%'",
        ),
        ("> compares numbers, and '3' is text", 11, "Write a number without quotes.", "params.x > '3'"),
        ("LIKE needs text in quotes", 12, "Write '%3%'.", "tags.a LIKE 3"),
        ("`dirty` is true or false", 8, "Write true or false, without quotes.", "dirty = 1"),
        (
            "'yesterday' is no time",
            13,
            "Write '2026-11-22', '2026-11-22T06:12:03Z' or Unix milliseconds.",
            "start_time > 'yesterday'",
        ),
        (
            "runs have no `foo.`",
            0,
            "Begin with `attributes.`, `params.`, `metrics.`, `tags.`, `dataset.`.",
            "foo.bar = 1",
        ),
        (
            "runs have no `metrcs.`",
            13,
            "Did you mean metrics? Begin with `attributes.`, `params.`, `metrics.`, `tags.`, `dataset.`.",
            "status='x'or metrcs.x > 1",
        ),
        (
            "runs have no attribute `stats`",
            0,
            f"Did you mean status or started? {ALL_ATTRIBUTES}Others: `params.stats`, `metrics.stats` …",
            "stats = 'x'",
        ),
        (
            "datasets have no `foo`",
            0,
            "Write dataset.name, dataset.digest or dataset.context.",
            "dataset.foo = 'a'",
        ),
        ("it is nested more than 50 deep", 204, "Simplify it.", "not " * 60 + "status = 'x'"),
    ],
)
def test_what_is_said_of_a_bad_filter(problem: str, at: int, next_step: str, text: str) -> None:
    """The message names the problem, points at its place and says what to write instead."""
    with pytest.raises(FilterInvalid) as caught:
        parse_filter(text, RUNS)
    assert (problem, at, next_step) == (caught.value.problem, caught.value.at, caught.value.next_step)


def test_the_whole_message() -> None:
    """The text of the error is the problem, the filter with a caret under the place, and the next step."""
    with pytest.raises(FilterInvalid) as caught:
        parse_filter("metrics.mse < 0.5 AND\nstatus = FINISHED", RUNS)
    assert (
        "The filter cannot be read: text must stand in quotes.\n"
        "  metrics.mse < 0.5 AND status = FINISHED\n"
        "                                 ^\n"
        "Write 'FINISHED'."
    ) == str(caught.value)


def test_a_long_filter_is_shown_in_part() -> None:
    """Of a long filter only what lies around the place is shown, and the caret still points at it."""
    with pytest.raises(FilterInvalid) as caught:
        parse_filter("tags.a = 'x' OR " * 10 + "tags.b = 1" + " OR tags.c = 'z'" * 10, RUNS)
    _, shown, caret, _ = str(caught.value).split("\n")
    assert "1 OR tags.c" == shown[caret.index("^") :][:11]
    assert (shown[:3], shown[-1]) == ("  …", "…")


def test_too_many_values_are_refused() -> None:
    """A filter with more values than SQLite could bind is refused by us, with the place."""
    text = f"run_id IN ({', '.join(repr(str(n)) for n in range(10_001))})"
    with pytest.raises(FilterInvalid) as caught:
        parse_filter(text, RUNS)
    assert "it has more than 10000 values" == caught.value.problem


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ("`NULLS` cannot stand here", "start_time DESC NULLS LAST"),
        ("`,` cannot stand here", "metrics.x, params.y"),
        ("a run may have several datasets, so they give no order", "dataset.name"),
        ("it ends too early", ""),
        ("runs have no attribute `score`", "score DESC"),
    ],
)
def test_what_is_said_of_a_bad_order(problem: str, text: str) -> None:
    """An `order_by` that cannot be read says why, and that it is the `order_by`."""
    with pytest.raises(FilterInvalid) as caught:
        parse_order_by([text], RUNS)
    assert ("order_by", problem) == (caught.value.kind, caught.value.problem)


@pytest.mark.parametrize(
    ("key", "is_descending", "text"),
    [
        ("mse", False, "metrics.mse"),
        ("mse", True, "metrics.mse DESC"),
        ("mse", True, "  metrics.mse   desc "),
        ("mse", False, "min(metrics.mse) asc"),
        ("a b", True, "metrics.`a b` DESC"),
        ("start_time", True, "attributes.start_time DESC"),
        ("run_name", False, 'attribute."Run Name"'),
    ],
)
def test_orders(key: str, is_descending: bool, text: str) -> None:
    """An `order_by` is a field, and perhaps a direction in any case of letters."""
    (order,) = parse_order_by(text, RUNS)
    assert (key, is_descending) == (order.field.key, order.is_descending)


def test_a_column_is_one_field() -> None:
    """A column is a field as in a filter, and nothing after it."""
    column = parse_column('max(metrics."a b")', RUNS)
    assert ("metric", "a b", "max") == (column.entity, column.key, column.part)
    with pytest.raises(FilterInvalid) as caught:
        parse_column("metrics.a DESC", RUNS)
    assert "Expected a field such as metrics.mse, params.lr, tags.team or status, and nothing after it." == (
        caught.value.next_step
    )


@pytest.mark.parametrize(
    ("meaning", "text", "vocabulary"),
    [
        ("attribute:name LIKE 'a%'", "name LIKE 'a%'", EXPERIMENTS),
        ("attribute:creation_time > 5", "creation_time > 5", EXPERIMENTS),
        ("tag:team = 'x'", "tags.team = 'x'", EXPERIMENTS),
        ("attribute:version IN 1 2", "version_number IN (1, 2)", MODEL_VERSIONS),
        ("attribute:alias = 'champion'", "alias = 'champion'", MODEL_VERSIONS),
    ],
)
def test_other_things_have_their_own_attributes(meaning: str, text: str, vocabulary: Vocabulary) -> None:
    """Experiments and models are filtered in the same language by their own attributes."""
    assert meaning == brief(parse_filter(text, vocabulary))


def test_experiments_have_no_metrics() -> None:
    """What a thing does not have is refused by name."""
    with pytest.raises(FilterInvalid) as caught:
        parse_filter("metrics.mse > 1", EXPERIMENTS)
    assert (
        "The filter cannot be read: experiments have no `metrics.`.\n  metrics.mse > 1\n  ^\n"
        "Begin with `attributes.`, `tags.`."
    ) == str(caught.value)
