"""What wishes come to, with nothing but values: stages, aliases, displaced versions, names of branches."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.errors import (
    AliasNotFound,
    InvalidName,
    TooManyHolders,
    TransitionRefused,
    UnknownStage,
    UsageError,
    VersionNotFound,
    VersionRetired,
)
from runstone.promotion.proposals.plan import Plan, Wish, plan
from runstone.records import yaml
from runstone.records.policy import Policy, Rule
from runstone.registry.numbers import Numbers
from runstone.registry.state import ModelState

NUMBERS = Numbers(dict.fromkeys(range(1, 7), "tag"), {6: "tag"})
STRICT = Policy(
    stages={
        "Staging": Rule(sources=("None", "Archived")),
        "Production": Rule(sources=("Staging", "Archived"), holders=1, previous="Archived"),
        "Archived": Rule(),
    }
)


def made(
    wish: Wish,
    stages: Mapping[str, tuple[int, ...]] | None = None,
    aliases: Mapping[str, int] | None = None,
    policy: Policy | None = None,
) -> Plan:
    """The plan of a wish about `churn`."""
    state = ModelState("churn", stages=stages or {}, aliases=aliases or {})
    return plan(wish, state, policy or Policy(), NUMBERS, "registry")


def wish(kind: Any = "promote", *versions: int, **more: Any) -> Wish:
    """A wish about `churn`."""
    return Wish(kind, "churn", "churn", versions, **more)


def held(found: Plan) -> dict[str, list[int] | None]:
    """Stage → its versions, of the stages that a plan changes."""
    return {
        path.rpartition("/")[2].removesuffix(".yaml"): None if text is None else yaml.load(text, path)["versions"]
        for path, text in found.changes.items()
    }


def test_a_stage_is_entered_and_the_former_holder_archived_in_one_go() -> None:
    """The files of all three stages, who was displaced, the subject and the branch."""
    found = made(wish("promote", 4, stage="production"), {"Staging": (4, 5), "Production": (3,)}, policy=STRICT)
    assert {"Archived": [3], "Production": [4], "Staging": [5]} == held(found)
    assert (3,) == found.displaced
    assert ("Promote churn v4 to Production", "promote/churn-v4-production") == (found.subject, found.branch)
    assert "Production" == found.wish.stage


def test_without_a_limit_holders_add_up() -> None:
    """MLflow's stages hold any number; a version leaves the stage it was in."""
    found = made(wish("promote", 4, stage="Production"), {"Staging": (4,), "Production": (3,)})
    assert {"Production": [3, 4], "Staging": None} == held(found)
    assert () == found.displaced


def test_archive_existing_archives_all_others() -> None:
    """As MLflow's flag."""
    found = made(wish("promote", 4, stage="Production", archive_existing=True), {"Production": (1, 3)})
    assert {"Production": [4], "Archived": [1, 3]} == held(found)


@pytest.mark.parametrize("stage", ["Archived", "Live"])
def test_archive_existing_needs_another_stage_to_archive_to(stage: str) -> None:
    """Not for Archived itself, and not without such a stage."""
    policy = Policy(stages={"Live": Rule()}) if stage == "Live" else Policy()
    with pytest.raises(UsageError, match="cannot be archived"):
        made(wish("promote", 4, stage=stage, archive_existing=True), policy=policy)


def test_the_oldest_make_room() -> None:
    """Of three where two may be, the one with the lowest number goes; with no `previous` it leaves the stages."""
    policy = Policy(stages={"Live": Rule(holders=2)})
    found = made(wish("promote", 2, stage="Live"), {"Live": (1, 3)}, policy=policy)
    assert {"Live": [2, 3]} == held(found)
    assert (1,) == found.displaced


def test_who_is_displaced_displaces_others() -> None:
    """Down the line of `previous`, as far as there is no room."""
    policy = Policy(
        stages={
            "A": Rule(holders=1, previous="B"),
            "B": Rule(holders=1, previous="C"),
            "C": Rule(holders=1),
        }
    )
    found = made(wish("promote", 5, stage="A"), {"A": (4,), "B": (3,), "C": (2,)}, policy=policy)
    assert {"A": [5], "B": [4], "C": [3]} == held(found)
    assert (2, 3, 4) == found.displaced


def test_stages_that_displace_into_each_other_come_to_an_end() -> None:
    """Nobody is sent back to where room was made."""
    policy = Policy(stages={"A": Rule(holders=1, previous="B"), "B": Rule(holders=1, previous="A")})
    found = made(wish("promote", 5, stage="A"), {"A": (4,), "B": (3,)}, policy=policy)
    assert {"A": [5], "B": [4]} == held(found)


def test_a_transition_that_the_policy_does_not_know_names_the_way() -> None:
    """From no stage to Production it goes through Staging."""
    with pytest.raises(TransitionRefused) as caught:
        made(wish("promote", 4, stage="Production"), policy=STRICT)
    assert ("Staging", "Production") == caught.value.way
    assert (
        "churn v4 is in no stage, and the policy lets a version enter Production from Staging, Archived only. "
        "First: `runstone promote 'churn' 4 --stage Staging`"
    ) == str(caught.value)


@pytest.mark.parametrize(("number", "error"), [(6, VersionRetired), (9, VersionNotFound)])
def test_a_version_must_be_there(number: int, error: type[Exception]) -> None:
    """Neither a retired one nor one that never was may enter a stage or get an alias."""
    for more in ({"stage": "Staging"}, {"alias": "champion"}):
        with pytest.raises(error):
            made(wish("promote", number, **more))


def test_an_unknown_stage() -> None:
    """The known ones are named."""
    with pytest.raises(UnknownStage, match=r"no stage 'Prod'\. It has Staging, Production, Archived"):
        made(wish("promote", 4, stage="Prod"))


def test_nothing_to_do() -> None:
    """Where it is already, said in words; no files."""
    there = made(wish("promote", 4, stage="Staging"), {"Staging": (4,)})
    assert ({}, "churn v4 is in Staging already.") == (there.changes, there.nothing)
    pointed = made(wish("promote", 4, alias="champion"), aliases={"champion": 4})
    assert ({}, "churn@champion points at v4 already.") == (pointed.changes, pointed.nothing)


def test_an_alias_moves_and_goes() -> None:
    """One file; the version that it pointed at is displaced."""
    found = made(wish("promote", 4, alias="Champion"), aliases={"Champion": 3})
    assert ["registry/churn/aliases/Champion.yaml"] == list(found.changes)
    assert ("Point churn@Champion at v4", "promote/churn-v4-champion", (3,)) == (
        found.subject,
        found.branch,
        found.displaced,
    )
    gone = made(wish("demote", alias="Champion"), aliases={"Champion": 3})
    assert ({"registry/churn/aliases/Champion.yaml": None}, "Remove churn@Champion") == (gone.changes, gone.subject)
    assert ("demote/churn-v3-champion", (3,)) == (gone.branch, gone.wish.versions)


def test_aliases_that_cannot_be() -> None:
    """One that is not there to remove, one that differs by case alone, one that means a version."""
    with pytest.raises(AliasNotFound):
        made(wish("demote", alias="champion"))
    for alias in ("CHAMPION", "latest"):
        with pytest.raises(InvalidName):
            made(wish("promote", 4, alias=alias), aliases={"champion": 3})


def test_a_demotion_goes_where_the_policy_leads() -> None:
    """To `previous`; to the stage that is named; out of the stages where neither is; nowhere from nowhere."""
    stages = {"Production": (4,)}
    assert {"Production": None, "Archived": [4]} == held(made(wish("demote", 4), stages, policy=STRICT))
    assert {"Production": None, "Staging": [4]} == held(made(wish("demote", 4, to="staging"), stages))
    out = made(wish("demote", 4), stages)
    assert {"Production": None} == held(out)
    assert ("Demote churn v4 from Production", "demote/churn-v4-production", "None") == (
        out.subject,
        out.branch,
        out.wish.to,
    )
    assert "churn v5 is in no stage already." == made(wish("demote", 5), stages).nothing


def test_a_retired_version_may_leave() -> None:
    """What became of it is no reason to keep it in a stage."""
    assert {"Staging": None} == held(made(wish("demote", 6), {"Staging": (6,)}))


def test_a_rollback_restores_just_those() -> None:
    """Who came since goes to `previous`, or is archived."""
    found = made(wish("rollback", 3, stage="Production"), {"Production": (4,), "Archived": (3,)}, policy=STRICT)
    assert {"Production": [3], "Archived": [4]} == held(found)
    assert ("Roll churn Production back to v3", "rollback/churn-production", (4,)) == (
        found.subject,
        found.branch,
        found.displaced,
    )
    several = made(wish("rollback", 1, 2, stage="Production"), {"Production": (2, 4)})
    assert {"Production": [1, 2], "Archived": [4]} == held(several)
    assert "Roll churn Production back to v1, v2" == several.subject


def test_a_rollback_obeys_the_number_of_holders() -> None:
    """Two that were there once, and now there is room for one."""
    with pytest.raises(TooManyHolders):
        made(wish("rollback", 1, 2, stage="Production"), {"Production": (4,), "Archived": (1, 2)}, policy=STRICT)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(list(STRICT.stages))), max_size=12),
    st.sampled_from([Policy(), STRICT]),
)
def test_a_version_is_never_in_two_stages_nor_a_stage_over_full(moves: list[tuple[int, str]], policy: Policy) -> None:
    """Whatever is wished, in whatever order."""
    state: dict[str, tuple[int, ...]] = {}
    for version, stage in moves:
        try:
            found = made(wish("promote", version, stage=stage), state, policy=policy)
        except TransitionRefused:
            continue
        state |= {name: tuple(versions or ()) for name, versions in held(found).items()}
        state = {name: versions for name, versions in state.items() if versions}
        flat = [number for versions in state.values() for number in versions]
        assert len(set(flat)) == len(flat)
        assert version in state[stage]
        if policy is STRICT:
            assert 1 >= len(state.get("Production", ()))


@pytest.mark.parametrize("key", ["a%20b%2Fc", "Ünïcode", "x" * 150])
def test_every_branch_is_a_name_that_disks_and_git_take(key: str) -> None:
    """However long; two that are cut differ all the same."""
    found = []
    for stage in ("p" * 149 + "1", "p" * 149 + "2", "x..y.lock"):
        policy = Policy(stages={stage: Rule()})
        state = ModelState(key)
        found.append(plan(Wish("promote", key, key, (1,), stage=stage), state, policy, NUMBERS, "r").branch)
    assert 3 == len(set(found))
    for branch in found:
        kind, _, name = branch.partition("/")
        assert "promote" == kind
        assert len(name.encode()) <= 200
        assert ".." not in name
        assert not name.endswith(".lock")
