"""Policies and gates as documents: what they mean, and what is refused with which sentence."""

from typing import Any

import pytest

from runstone.errors import RecordInvalid
from runstone.records.gate import Gate, parse_duration, read_gate
from runstone.records.policy import Approvals, Policy, Rule, check_graph


def policy(**document: Any) -> Policy:
    """A policy of the project."""
    return Policy.from_document({"schema": "runstone/policy/v1", **document}, "policy.yaml")


def own(**document: Any) -> Policy:
    """A model's own."""
    return Policy.from_document({"schema": "runstone/policy/v1", **document}, "policy.yaml", own=True)


def test_without_a_policy_the_stages_are_mlflows_and_moves_are_free() -> None:
    """An empty file says as much as none."""
    assert Policy() == policy()
    assert {name: Rule() for name in ("Staging", "Production", "Archived")} == policy().stages
    assert {} == policy(stages={}).stages


def test_a_rule_in_full() -> None:
    """`from: []` is nowhere, no `from` is anywhere; approvals that are named count one person."""
    rules = policy(
        stages={
            "QA": {"from": []},
            "Live": {"from": ["QA", "None"], "holders": 2, "previous": "QA", "approvals": {}, "bypass": ["a@b"]},
            "Any": None,
        }
    ).stages
    assert Rule(sources=()) == rules["QA"]
    expected = Rule(("QA", "None"), holders=2, previous="QA", approvals=Approvals(count=1), bypass=("a@b",))
    assert expected == rules["Live"]
    assert Rule() == rules["Any"]


def test_stages_are_found_however_they_are_written() -> None:
    """The very name goes before one that differs by case."""
    found = policy(stages={"live": {}, "Live": {}, "QA": {}})
    assert ["Live", "live", "QA", None] == [found.find_stage(name) for name in ("Live", "live", "qa", "x")]


def test_an_alias_has_its_own_rule_or_that_of_all_others() -> None:
    """Even an empty one of its own."""
    found = policy(aliases={"champion": {"bypass": ["a"]}, "free": {}, "*": {"bypass": ["b"]}})
    assert [("a",), (), ("b",)] == [found.alias_rule(name).bypass for name in ("champion", "free", "other")]
    assert Rule() == policy().alias_rule("other")


def test_a_models_own_rules_stand_in_place_of_the_projects() -> None:
    """Rule by rule; what it does not name is the project's, the stages too."""
    project = policy(
        stages={"QA": {"holders": 1}, "Live": {"holders": 1}},
        aliases={"*": {"bypass": ["a"]}},
        metrics={"auc": "higher", "mse": "lower"},
        changes={"count": 3},
    )
    merged = project.overridden_by(own(stages={"Live": {"from": ["QA"]}}, metrics={"auc": "lower"}))
    assert {"QA": Rule(holders=1), "Live": Rule(sources=("QA",))} == merged.stages
    assert {"auc": "lower", "mse": "lower"} == merged.metrics
    assert (project.aliases, project.changes) == (merged.aliases, merged.changes)
    assert project == project.overridden_by(None)
    assert project.stages == project.overridden_by(own(aliases={"x": {}})).stages
    with pytest.raises(RecordInvalid, match="names the stage 'Gone', which the policy does not have"):
        check_graph(project.overridden_by(own(stages={"Live": {"from": ["Gone"]}})), "policy.yaml")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"stages": {"A": {"from": ["B"]}}}, "`stages.A.from` names the stage 'B', which the policy does not have"),
        ({"stages": {"A": {"previous": "A"}}}, '`stages.A.previous` must be another stage, but is the text "A"'),
        ({"stages": {"none": {}}},
         "`stages.none` is no name for a stage: `latest`, `None` and numbers already mean something else"),
        ({"aliases": {"v1": {}}},
         "`aliases.v1` is no name for an alias: `latest`, numbers and `v<number>` already mean a version"),
        ({"aliases": {"a": {"holders": 1}}}, "`aliases.a.holders` is unknown here; known are gates, approvals, bypass"),
        ({"changes": {"counts": 1}}, "`changes.counts` is unknown here; known are count, by, by_author, "
         "signed, trailers"),
        ({"changes": {"count": -1}}, "`changes.count` must be 0 or more, but is the number -1"),
        ({"metrics": {"auc": "up"}}, '`metrics.auc` must be `higher` or `lower`, but is the text "up"'),
    ],
)  # fmt: skip
def test_what_a_policy_cannot_say(document: dict[str, Any], problem: str) -> None:
    """Each sentence names the key."""
    with pytest.raises(RecordInvalid) as error:
        policy(**document)
    assert problem == error.value.problem


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"metric": {"name": "a", "at_least": 1}}, Gate("metric", {"name": "a", "at_least": 1.0})),
        ({"metric": {"name": "a", "at_most": 1, "data": "june"}},
         Gate("metric", {"name": "a", "at_most": 1.0, "data": "june"})),
        ({"no_worse": {"metric": "a", "data": "june"}},
         Gate("no_worse", {"metric": "a", "by": 0.0, "relative": False, "data": "june"})),
        ({"no_worse": {"metric": "a"}}, Gate("no_worse", {"metric": "a", "by": 0.0, "relative": False})),
        ({"no_worse": {"metric": "a", "by": "2.5%"}}, Gate("no_worse", {"metric": "a", "by": 0.025, "relative": True})),
        ({"no_worse": {"metric": "a", "by": 10**400}},
         Gate("no_worse", {"metric": "a", "by": float("inf"), "relative": False})),
        ({"tags": ["a", {"key": "b", "value": "c"}]}, Gate("tags", {"required": {"a": None, "b": "c"}})),
        ({"card": None}, Gate("card", {"sections": []})),
        ({"age": {"at_most": "2w"}}, Gate("age", {"at_most": 1_209_600})),
        ({"command": {"run": ["a"]}}, Gate("command", {"run": ["a"], "timeout": 600})),
        ({"clean": True}, Gate("clean")),
    ],
)  # fmt: skip
def test_gates_are_read(document: dict[str, Any], expected: Gate) -> None:
    """Numbers as floats, shares as such, durations in seconds."""
    assert expected == read_gate(document, "policy.yaml", "gates[0]")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "`gates[0]` must be a map of one key, one of metric, no_worse, tags, card, signature, artifacts, code, "
             "clean, age, no_secrets, command, but has none"),
        ({"clean": True, "code": True}, "`gates[0]` must be a map of one key, one of metric, no_worse, tags, card, "
         "signature, artifacts, code, clean, age, no_secrets, command, but has clean, code"),
        ({"metric": {"name": "a", "at_leest": 1, "at_most": 2}},
         "`gates[0].metric.at_leest` is unknown here; known are name, at_least, at_most, data"),
        ({"metric": {"name": "a"}}, "`gates[0].metric.at_least` or `at_most` is missing"),
        ({"no_worse": {"metric": "a", "by": "-1%"}},
         '`gates[0].no_worse.by` must be a number of 0 or more, or a share such as 2%, but is the text "-1%"'),
        ({"tags": [{"key": "a"}]}, "`gates[0].tags[0].value` is missing"),
        ({"age": {}}, "`gates[0].age.at_least` or `at_most` is missing"),
        ({"command": {"run": "make check"}}, '`gates[0].command.run` must be a list, but is the text "make check"'),
        ({"artifacts": False}, "`gates[0].artifacts` must be true; leave the gate out otherwise"),
    ],
)  # fmt: skip
def test_gates_that_cannot_be_read(document: dict[str, Any], problem: str) -> None:
    """A gate that is not understood would be no gate, so nothing in it is passed over."""
    with pytest.raises(RecordInvalid) as error:
        read_gate(document, "policy.yaml", "gates[0]")
    assert problem == error.value.problem


def test_durations() -> None:
    """A whole number and a unit."""
    texts = {
        "90s": 90,
        "2m": 120,
        "1h": 3600,
        "1d": 86_400,
        "1w": 604_800,
        "d": None,
        "1.5d": None,
        "1 d": None,
        "": None,
    }
    assert texts == {text: parse_duration(text) for text in texts}
