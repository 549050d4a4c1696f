"""The two readings of a filter, Python's and SQL's, agree on whatever one may write and record."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstone.index.evaluate import predicate, sort_rows
from runstone.index.fields import RUNS
from runstone.index.filter import parse_filter, parse_order_by
from runstone.records.dataset import Dataset
from runstone.records.metric import MetricSummary
from runstone.records.run import ParamValue, Run, Source
from tests.index.rows import describe, ids_by_sql, tables_of

# Few keys and few values, so that conditions meet rows; the odd ones among them on purpose.
KEYS = ["a", "a.b", "x y", 'q"`q', "ö", "or"]
TEXTS = [
    "",
    "a",
    "A",
    "Ab",
    "ä",
    "Ä",
    "1",
    "1.0",
    "1e3",
    "50%",
    "a_b",
    "it's",
    "nan",
    "True",
    "None",
    "\0",
    "a\nb",
    "🦦",
]
NUMBERS = [0, 1, -1, 3, 2**53 + 1, -(2**63), 2**64, 0.1, 1.0, 1e300, -0.0, math.inf, -math.inf, math.nan]
TIMES = [0, 1_767_225_600_000, 1_767_312_000_000]

keys = st.sampled_from(KEYS)
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
numbers = st.sampled_from(NUMBERS) | st.floats() | st.integers()
floats = numbers.map(float)
params: st.SearchStrategy[ParamValue] = (
    texts | numbers | st.booleans() | st.none() | st.lists(st.integers(), max_size=2)
)
summaries = st.builds(
    MetricSummary, last=floats, step=st.integers(-3, 3), min=floats, max=floats, count=st.integers(1, 3)
)
datasets = st.builds(
    Dataset, name=st.sampled_from(TEXTS), digest=st.sampled_from(["md5:1", "md5:2"]), role=st.none() | texts
)
commands = st.lists(texts, max_size=2).map(tuple)
maybe = st.none() | st.sampled_from(TEXTS)


@st.composite
def runs(draw: st.DrawFn) -> list[Run]:
    """Up to six runs."""
    return [
        Run(
            id=f"run-{number}",
            name=draw(texts),
            experiment=draw(st.sampled_from(["One", "Two"])),
            experiment_id=draw(st.sampled_from(["one", "two"])),
            status=draw(st.sampled_from(["FINISHED", "FAILED"])),
            user=draw(texts),
            started=draw(st.sampled_from(TIMES)),
            ended=draw(st.none() | st.sampled_from(TIMES)),
            parent=draw(maybe),
            rerun_of=draw(maybe),
            source=Source(command=draw(commands), branch=draw(maybe), dirty=draw(st.none() | st.booleans())),
            params=draw(st.dictionaries(keys, params, max_size=4)),
            metrics=draw(st.dictionaries(keys, summaries, max_size=4)),
            tags=draw(st.dictionaries(keys, texts, max_size=4)),
            datasets=tuple(draw(st.lists(datasets, max_size=2))),
        )
        for number in range(draw(st.integers(0, 6)))
    ]


def quote(text: str) -> str:
    """A text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def key(entity: str) -> st.SearchStrategy[str]:
    """A field of an entity, its key in quotes."""
    return keys.map(lambda name: f'{entity}."' + name.replace('"', '""') + '"')


text_literals = texts.map(quote)
number_literals = numbers.map(repr)
like_literals = st.text("ab%_Ää1", max_size=4).map(quote)
metrics = st.builds("{}({})".format, st.sampled_from(["min", "max", "last", "count", "step"]), key("metrics"))
text_fields = st.sampled_from(
    "run_name user status parent rerun_of command branch experiment_name dataset.name dataset.context".split()
)


def conditions(
    fields: st.SearchStrategy[str], literals: st.SearchStrategy[str], operators: str
) -> st.SearchStrategy[str]:
    """Comparisons of some fields with some literals."""
    several = st.lists(literals, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("{} {} {}".format, fields, st.sampled_from(operators.split()), literals),
        st.builds("{} {} ({})".format, fields, st.sampled_from(["IN", "not in"]), several),
        st.builds("{} IS {}NULL".format, fields, st.sampled_from(["", "NOT "])),
    )


def ranges(fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """BETWEEN."""
    words = st.sampled_from(["BETWEEN", "NOT BETWEEN"])
    return st.builds("{} {} {} AND {}".format, fields, words, number_literals, number_literals)


number_fields = metrics | key("metrics") | st.sampled_from(["start_time", "end_time", "duration"])
comparisons = st.one_of(
    conditions(text_fields | key("tags"), text_literals, "= !="),
    conditions(key("params"), text_literals | st.sampled_from(["true", "false"]), "= !="),
    conditions(number_fields | key("params"), number_literals, "= != < <= > >= <> =="),
    conditions(key("params"), text_literals | number_literals, "="),
    ranges(number_fields | key("params")),
    st.builds("dirty {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(["true", "false"])),
    st.builds(
        "{} {} {}".format,
        text_fields | key("tags") | key("params"),
        st.sampled_from(["LIKE", "NOT LIKE", "ilike", "not ilike"]),
        like_literals | text_literals,
    ),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} or {} OR {})".format, inner, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=5,
)
orders = st.lists(
    st.builds(
        "{} {}".format,
        metrics | key("metrics") | key("params") | key("tags") | st.sampled_from(["start_time", "end_time", "parent"]),
        st.sampled_from(["ASC", "DESC", ""]),
    ),
    max_size=3,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs(), st.lists(filters, min_size=1, max_size=4))
def test_python_and_sql_find_the_same_runs(recorded: list[Run], asked: list[str]) -> None:
    """Whatever the filter and the runs, `predicate` keeps the runs that the SQL finds."""
    connection = tables_of(recorded)
    for text in asked:
        meets = predicate(parse_filter(text, RUNS))
        assert [run.id for run in recorded if meets(describe(run))] == sorted(ids_by_sql(connection, text)), text
    connection.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs(), orders)
def test_python_and_sql_order_alike(recorded: list[Run], asked: list[str]) -> None:
    """Whatever the order asked for, `sort_rows` gives the order of the SQL."""
    connection = tables_of(recorded)
    order = parse_order_by([*asked, "start_time DESC", "run_id ASC"], RUNS)
    rows = sort_rows([describe(run) for run in recorded], order)
    assert [row["attributes"]["run_id"] for row in rows] == ids_by_sql(connection, order_by=asked)
    connection.close()
