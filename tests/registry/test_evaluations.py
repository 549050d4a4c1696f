"""Evaluations of a model, as runs' tags tell of them; and what gates and cards make of these."""

import json
from typing import Any

import pytest

from runstone.registry.card_fill import fill_card
from runstone.registry.evaluations import Evaluation, evaluations_of, format_tag, newest_by_data, parse_tag, tag_of
from runstone.registry.version import get_version
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from tests.promotion.policy_support import Line, policy, register, stage


def evaluate(
    workspace: Workspace,
    version: int,
    run_id: str,
    data: str,
    status: str = "FINISHED",
    digest: str | None = None,
    **metrics: float,
) -> None:
    """Record an evaluation of a version of churn, as `runstone.evaluate` does."""
    tag = tag_of(get_version(workspace.repo, "churn", version).digest)
    assert tag is not None
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"), run_id=run_id)
    made = Evaluation(f"models:/churn/{version}", data, digest or f"md5:{data}", metrics)
    run.set_tags({tag: format_tag(None, made)})
    run.end(status)


def judge(workspace: Workspace, *gates: dict[str, Any]) -> list[tuple[str, str]]:
    """What gates say of version 2, which is to replace version 1."""
    line = Line(workspace)
    rules = {"stages": {"Production": {"gates": list(gates), "holders": 1}}}
    line.commit({"policy.yaml": policy(rules), "churn/stages/Production.yaml": stage(1)})
    judged = line.judge({"churn/stages/Production.yaml": stage(2)}).judged
    return [(each.result, each.message) for found in judged for each in found.verdicts]


@pytest.fixture
def churn(workspace: Workspace) -> Workspace:
    """Two versions, whose runs logged only `auc`."""
    register(workspace, "first-run", metrics={"auc": 0.9})
    register(workspace, "second-run", metrics={"auc": 0.8})
    return workspace


def test_a_tag_holds_one_evaluation_of_each_data() -> None:
    """Of the same data values are joined, the later ones win, and it becomes the latest."""
    first = format_tag(None, Evaluation("models:/a/1", "june", "md5:1", {"auc": 0.5, "f1": 0.5}))
    second = format_tag(first, Evaluation("models:/a/1", "july", "md5:2", {"auc": 0.6}))
    third = format_tag(second, Evaluation("runs:/x/a", "June", "md5:1", {"auc": 0.7}))
    assert [
        Evaluation("models:/a/1", "july", "md5:2", {"auc": 0.6}, "run"),
        Evaluation("runs:/x/a", "June", "md5:1", {"auc": 0.7, "f1": 0.5}, "run"),
    ] == parse_tag(third, "run")


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "3", "[3]", '[{"metrics": {}}]', "[" * 100_000,
     '[{"model": 1, "data": "", "digest": "", "metrics": {}}]'],
)  # fmt: skip
def test_tags_that_others_wrote(text: str) -> None:
    """What is not understood says nothing."""
    assert [] == parse_tag(text)


def test_values_that_are_no_finite_numbers() -> None:
    """A gate must not be met by them, nor by the value of an older evaluation in their place; they are null in JSON."""
    metrics = '{"a": NaN, "b": Infinity, "c": true, "d": "1", "e": 1, "f": null}'
    (found,) = parse_tag(f'[{{"model": "", "data": "", "digest": "", "metrics": {metrics}}}]')
    assert "{'a': nan, 'b': nan, 'e': 1.0, 'f': nan}" == str(found.metrics)
    written = json.loads(format_tag(None, found), parse_constant=pytest.fail)
    assert {"a": None, "b": None, "e": 1.0, "f": None} == written[0]["metrics"]


@pytest.mark.parametrize("digest", ["md5:abc.dir", "md5:" + "a" * 32, 'md5:" OR 1=1 .dir', ""])
def test_only_digests_of_folders_name_a_model(workspace: Workspace, digest: str) -> None:
    """Others are evaluated by nobody."""
    assert (None, []) == (tag_of(digest), evaluations_of(workspace.repo, digest))


def test_the_newest_stands_first(churn: Workspace) -> None:
    """Only runs that finished count, only of these very bytes, and of each data only the newest is shown."""
    evaluate(churn, 2, "run-a", "june", f1=0.5)
    evaluate(churn, 2, "run-b", "june", f1=0.6)
    evaluate(churn, 2, "run-c", "july", f1=0.7)
    evaluate(churn, 2, "run-d", "july", status="FAILED", f1=0.8)
    evaluate(churn, 1, "run-e", "july", f1=0.9)
    found = evaluations_of(churn.repo, get_version(churn.repo, "churn", 2).digest)
    assert ["run-c", "run-b", "run-a"] == [each.run_id for each in found]
    assert {"run-c", "run-b"} == {each.run_id for each in newest_by_data(found)}


def test_a_gate_counts_a_later_evaluation(churn: Workspace) -> None:
    """It stands in for what the version's own run did not log, and is named; what that run logged is not replaced."""
    evaluate(churn, 2, "run-a", "june", f1=0.7, auc=0.99)
    assert [
        ("pass", "`f1` (run run-a, on 'june') of churn v2 is 0.7; at least 0.6 is asked for."),
        ("fail", "`f1` (run run-a, on 'june') of churn v2 is 0.7, below 0.8."),
        ("fail", "`auc` of churn v2 is 0.8, below 0.95."),
        ("fail", "The run second-run of v2 logged no metric `recall`."),
    ] == judge(
        churn,
        {"metric": {"name": "f1", "at_least": 0.6}},
        {"metric": {"name": "f1", "at_least": 0.8}},
        {"metric": {"name": "auc", "at_least": 0.95}},
        {"metric": {"name": "recall", "at_least": 0.5}},
    )


def test_an_evaluation_is_compared_on_the_same_data(churn: Workspace) -> None:
    """The holder's value is that on the candidate's data; without one there is nothing to compare with."""
    gate = {"no_worse": {"metric": "f1", "direction": "higher"}}
    evaluate(churn, 2, "run-a", "june", f1=0.7)
    evaluate(churn, 1, "run-b", "july", f1=0.1)
    assert [
        ("unknown", "The run first-run of v1 logged no metric `f1`. So there is nothing to compare with. Set the gate "
         "aside with a reason, or have a holder that logged it")
    ] == judge(churn, gate)  # fmt: skip
    evaluate(churn, 1, "run-c", "june", f1=0.75)
    told = "`f1` (run run-a, on 'june') is 0.7, 0.05 (6.67%) worse than the 0.75 of the present holder v1."
    assert [("fail", told)] == judge(churn, gate)


def test_a_gate_names_the_data(churn: Workspace) -> None:
    """By name, or by digest for these very bytes; the run's own value and other data's do not count then."""
    asked: dict[str, Any] = {"name": "auc", "at_least": 0.7}
    own, digest = f"md5:{'1' * 32}", f"md5:{'a' * 32}"
    evaluate(churn, 2, "run-a", "june", digest=own, auc=0.75)
    evaluate(churn, 2, "run-b", "july", auc=0.99)
    evaluate(churn, 2, "run-c", digest, auc=0.99)  # called as a digest, which is not its own
    step = "Evaluate it: `runstone evaluate models:/churn/2 --data FILE --name"
    assert [
        ("pass", "`auc` (run run-a, on 'june') of churn v2 is 0.75; at least 0.7 is asked for."),
        ("pass", "`auc` (run run-a, on 'june') of churn v2 is 0.75; at least 0.7 is asked for."),
        ("fail", f"No evaluation of v2 on 'may day' measured `auc`. {step} 'may day' …`"),
        ("fail", f"No evaluation of v2 on '{digest}' measured `auc`. {step} {digest} …`"),
    ] == judge(
        churn,
        {"metric": {**asked, "data": "june"}},
        {"metric": {**asked, "data": own}},
        {"metric": {**asked, "data": "may day"}},
        {"metric": {**asked, "data": digest}},
    )


def test_a_comparison_names_the_data(churn: Workspace) -> None:
    """Both versions must have been evaluated on it: what the holder's run logged is of other data."""
    gate = {"no_worse": {"metric": "auc", "direction": "higher", "data": "june"}}
    evaluate(churn, 2, "run-a", "june", auc=0.7)
    step = "Evaluate it: `runstone evaluate models:/churn/1 --data FILE --name june …`"
    told = f"No evaluation of v1 on 'june' measured `auc`. {step} So there is nothing to compare with."
    assert [("unknown", told)] == judge(churn, gate)
    evaluate(churn, 1, "run-b", "june", auc=0.65)
    told = "`auc` (run run-a, on 'june') is 0.7, 0.05 (7.69%) better than the 0.65 of the present holder v1."
    assert [("pass", told)] == judge(churn, gate)


def test_a_value_that_is_not_finite_replaces_an_older_one(churn: Workspace) -> None:
    """The gate fails: the newest evaluation counts, not the best."""
    evaluate(churn, 2, "run-a", "june", f1=0.9)
    evaluate(churn, 2, "run-b", "june", f1=float("nan"))
    assert [("fail", "`f1` (run run-b, on 'june') of churn v2 is nan.")] == judge(
        churn, {"metric": {"name": "f1", "at_least": 0.5}}
    )


def test_the_card_tells_of_evaluations(churn: Workspace) -> None:
    """Below the run's own metrics, with data, digest and run; text of others is no markup."""
    evaluate(churn, 2, "run-a", "<b>june</b>", f1=0.7)
    text = fill_card(churn, "churn", 2)
    assert "Evaluated on `<b>june</b>` (`md5:<b>june</b>`) by the run `run-a`:\n\n" in text
    assert "| `f1` | 0.7 |" in text
    assert "Evaluated" not in fill_card(churn, "churn", 1)


def test_tags_are_json_that_other_tools_read(churn: Workspace) -> None:
    """The text of the tag, whole."""
    text = format_tag(None, Evaluation("models:/é/1", "june", "md5:1", {"f1": 0.5}))
    expected = [{"model": "models:/é/1", "data": "june", "digest": "md5:1", "metrics": {"f1": 0.5}}]
    assert expected == json.loads(text)
