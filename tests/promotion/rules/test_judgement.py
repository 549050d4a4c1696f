"""Judgement: what is said of each change between two commits, by the policy of the first."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import RecordInvalid
from runstone.git.objects import FILE, TreeEntry
from runstone.git.process import Conversation
from runstone.promotion.rules.bypass import find_reason
from runstone.promotion.rules.judgement import Judged, Judgement, judge
from runstone.promotion.rules.versions import find_version
from runstone.records.policy import Approvals
from runstone.registry.changes import AliasChange, CardChange, ModelChange, NotesChange, PolicyChange, StageChange
from runstone.registry.people import parse_person
from runstone.tracking.workspace import Workspace
from tests.promotion.policy_support import KIM, LEAD, Line, alias, policy, register, stage
from tests.support import git

GRAPH: dict[str, Any] = {
    "Staging": {"from": ["None"]},
    "Production": {"from": ["Staging", "Archived"], "holders": 1, "previous": "Archived"},
    "Archived": {},
}


@pytest.fixture
def line(workspace: Workspace) -> Line:
    """A repository whose churn has three versions, with a graph; the first is in Production, the second in Staging."""
    for number, auc in enumerate((0.9, 0.92, 0.8), 1):
        register(workspace, f"run-{number}", metrics={"auc": auc})
    line = Line(workspace)
    line.commit(
        {
            "policy.yaml": policy({"stages": GRAPH}),
            "churn/stages/Production.yaml": stage(1),
            "churn/stages/Staging.yaml": stage(2),
        }
    )
    return line


def problems(found: Judgement) -> list[str]:
    """All that is wrong."""
    return [*found.problems, *(problem for each in found.judged for problem in each.problems)]


def test_a_promotion_that_the_policy_knows_passes(line: Line) -> None:
    """The newcomer and the one that makes room are two changes, and neither is at fault."""
    found = line.judge(
        {
            "churn/stages/Production.yaml": stage(2),
            "churn/stages/Staging.yaml": None,
            "churn/stages/Archived.yaml": stage(1),
        }
    )
    moves = [StageChange("churn", "churn", 1, "Production", "Archived")]
    moves += [StageChange("churn", "churn", 2, "Staging", "Production")]
    assert moves == [each.change for each in found.judged]
    assert ("pass", []) == (found.result, problems(found))
    assert [None, 1] == [each.holder for each in found.judged]


NO_SUCH = (
    "There is no version 9 of churn. See what there is: `runstone models versions churn`; what is not here yet: "
    "`runstone sync`"
)
ILLEGAL: list[tuple[dict[str, str | None], list[str]]] = [
    ({"churn/stages/Production.yaml": stage(3), "churn/stages/Archived.yaml": stage(1)},
     ["churn v3 comes from no stage, and the policy lets a version enter Production from Staging or Archived only."]),
    ({"churn/stages/Production.yaml": stage(1, 2), "churn/stages/Staging.yaml": None},
     ["Production of churn would hold 2 versions (v1, v2), and the policy allows 1 (`holders`). Let it make room: "
      "`runstone promote churn 2 --stage Production --propose`"]),
    ({"churn/stages/Production.yaml": stage(1, 2, 3), "churn/stages/Staging.yaml": None},
     ["Production of churn would hold 3 versions (v1, v2, v3), and the policy allows 1 (`holders`). ",
      "churn v3 comes from no stage, and the policy lets a version enter Production from Staging or Archived only.",
      "Production of churn would hold 3 versions (v1, v2, v3), and the policy allows 1 (`holders`). Take out as "
      "many as are too much, say v1 and v2: `$EDITOR registry/churn/stages/Production.yaml`"]),
    ({"churn/stages/Production.yaml": stage(2), "churn/stages/Staging.yaml": None},
     ["churn v1 makes room for v2 in Production, and the policy sends it to Archived (`previous`), not to no stage."]),
    ({"churn/stages/Production.yaml": stage(2), "churn/stages/Staging.yaml": stage(1)},
     ["churn v1 makes room for v2 in Production, and the policy sends it to Archived (`previous`), not to Staging.",
      "churn v1 comes from Production, and the policy lets a version enter Staging from no stage only."]),
    ({"churn/stages/Canary.yaml": stage(3)},
     ["'Canary' is no stage of the policy at the base, which has Archived, Production, Staging. A new "
      "stage goes into the policy first, by a change of its own."]),
    ({"churn/stages/production.yaml": stage(3)},
     ["`registry/churn/stages/Production.yaml` and `registry/churn/stages/production.yaml` are one file on many disks. "
      "Keep one of them.",
      "'production' is no stage of the policy at the base, which has Archived, Production, Staging. A new "
      "stage goes into the policy first, by a change of its own."]),
    ({"churn/stages/Archived.yaml": stage(9)}, [NO_SUCH]),
    ({"churn/stages/Archived.yaml": stage(2)}, ["churn v2 would be in 2 stages at once: Archived, Staging."]),
    ({"churn/stages/Zoo.yaml": stage(2)}, ["churn v2 would be in 2 stages at once: Staging, Zoo.",
      "'Zoo' is no stage of the policy at the base, which has Archived, Production, Staging. A new "
      "stage goes into the policy first, by a change of its own."]),
    ({"churn/stages/Archived.yaml": "schema: runstone/stage/v1\nversions: [x]\n"},
     ["`registry/churn/stages/Archived.yaml` at HEAD: `versions[0]` must be a whole number of 1 or more, but is the "
      'text "x". Correct it, then: `runstone validate registry/churn/stages/Archived.yaml`']),
    ({"churn/aliases/champion.yaml": alias(9)}, [NO_SUCH]),
    ({"churn/aliases/latest.yaml": alias(1)},
     ["The alias 'latest' cannot be used: `latest`, numbers and `v<number>` already mean a version."]),
    ({"churn/aliases/a.yaml": alias(1), "churn/aliases/A.yaml": alias(1)},
     ["`registry/churn/aliases/A.yaml` and `registry/churn/aliases/a.yaml` are one file on many disks. Keep one of "
      "them.", "The alias 'A' differs from 'a' by case alone.", "The alias 'a' differs from 'A' by case alone."]),
    ({"a@{1}/stages/Archived.yaml": stage(1)}, ["There is no version 1 of a@{1}."]),
    ({"churn/versions/9.yaml": "schema: runstone/version-notes/v1\n"}, [NO_SUCH]),
    ({"churn/model.yaml": "schema: runstone/registered-model/v1\nname: ''\n"},
     ["The model '' cannot be used: it is empty."]),
    ({"churn/README.md": "---\n[\n---\n# Churn\n"}, ["`The model card of churn`: line"]),
    ({"policy.yaml": "schema: runstone/policy/v1\nstages: {A: {from: [B]}}\n"},
     ["`registry/policy.yaml` at HEAD: `stages.A.from` names the stage 'B', which the policy does not have."]),
    ({"churn/policy.yaml": "schema: runstone/policy/v1\nstages: {A: {holder: 1}}\n"},
     ["`registry/churn/policy.yaml` at HEAD: `stages.A.holder` is unknown here"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), ILLEGAL)
def test_what_the_policy_does_not_allow_is_told(line: Line, files: dict[str, str | None], expected: list[str]) -> None:
    """One sentence for each; the beginning of long ones is compared."""
    found = line.judge(files)
    told = [re.sub(r"` at [0-9a-f]{7}", "` at HEAD", problem) for problem in problems(found)]
    assert len(expected) == len(told), told
    for each, text in zip(expected, told, strict=True):
        assert text.startswith(each)
    assert "fail" == found.result


LEGAL: list[dict[str, str | None]] = [
    {"churn/stages/Production.yaml": None},
    {"churn/stages/Production.yaml": None, "churn/stages/Archived.yaml": stage(1)},
    {"churn/stages/Staging.yaml": stage(2, 3)},
    {"churn/stages/Staging.yaml": stage(3), "churn/stages/Archived.yaml": stage(2)},
    {"churn/aliases/champion.yaml": alias(3), "churn/model.yaml": "schema: runstone/registered-model/v1\n"},
    {"churn/README.md": "# Churn\n", "churn/versions/3.yaml": "schema: runstone/version-notes/v1\n"},
    {"churn/stages/notes.txt": "anything", "README.md": "The registry\n"},
    {},
]


@pytest.mark.parametrize("files", LEGAL)
def test_what_the_policy_allows_passes(line: Line, files: dict[str, str | None]) -> None:
    """Leaving a stage, entering from where one may, and all that no rule is about."""
    found = line.judge(files)
    assert ("pass", []) == (found.result, problems(found))


def test_a_version_that_was_retired_enters_nothing(line: Line) -> None:
    """It may still leave."""
    repo = line.workspace.repo
    git("tag", "-a", "-m", "Retire", "churn@v1!", "churn@v1^{}", cwd=repo.git_dir)
    found = line.judge({"churn/aliases/champion.yaml": alias(1), "churn/stages/Production.yaml": None})
    assert ["churn v1 is retired, so it enters no stage and no alias points at it."] == problems(found)
    assert ["pass", "fail"] == [each.result for each in found.judged]


def test_each_kind_of_change_is_judged(line: Line) -> None:
    """One entry for each, in the order of `read_changes`."""
    files = {
        "policy.yaml": policy({"stages": GRAPH, "metrics": {"auc": "higher"}}),
        "churn/model.yaml": "schema: runstone/registered-model/v1\ndescription: Who leaves\n",
        "churn/aliases/champion.yaml": alias(1),
        "churn/versions/1.yaml": "schema: runstone/version-notes/v1\ndescription: Good\n",
        "churn/README.md": "# Churn\n",
    }
    found = line.judge(files)
    kinds = [PolicyChange, ModelChange, AliasChange, NotesChange, CardChange]
    assert kinds == [type(each.change) for each in found.judged]
    assert "pass" == found.result


def gated(line: Line, extra: dict[str, Any] | None = None, **rule: Any) -> None:
    """Put a policy on the line under which version 3, which is worse, does not enter Canary."""
    rule = {"gates": [{"metric": {"name": "auc", "at_least": 0.9}}], **rule}
    line.commit({"policy.yaml": policy({"stages": {**GRAPH, "Canary": rule}, **(extra or {})})})


def the_gated(found: Judgement) -> Judged:
    """The one change that gates were asked about."""
    (judged,) = [each for each in found.judged if each.verdicts]
    return judged


CANARY = {"churn/stages/Canary.yaml": stage(3)}


def test_gates_stand_before_a_stage(line: Line) -> None:
    """The verdict has the gate, what it asks, and the figures; without gates only the move is judged."""
    gated(line)
    found = line.judge(CANARY)
    (verdict,) = the_gated(found).verdicts
    assert ("metric", "auc at least 0.9", "fail") == (verdict.gate, verdict.subject, verdict.result)
    assert "`auc` of churn v3 is 0.8, below 0.9." == verdict.message
    assert "fail" == found.result
    base, head = line.tip, line.commit(CANARY)
    assert "pass" == judge(line.workspace, base, head, gates=False).result
    assert "pass" == line.judge({"churn/stages/Canary.yaml": None}).result


def test_the_policy_of_the_proposal_does_not_judge_it(line: Line) -> None:
    """Neither a laxer project's policy, nor a model's own that comes with the change, nor its `Bypass` list counts."""
    gated(line)
    lax = policy({"stages": {**GRAPH, "Canary": {"bypass": ["*"]}}})
    files = {"policy.yaml": lax, "churn/policy.yaml": lax, **CANARY}
    found = line.judge(files, "Promote\n\nBypass: I say so\n")
    assert "fail" == the_gated(found).verdicts[0].result
    line.commit({"policy.yaml": lax})
    assert "pass" == line.judge(CANARY).result


def test_a_models_own_policy_holds_for_it_alone(line: Line) -> None:
    """What it names is replaced as a whole; what it does not name stays the project's."""
    gated(line, extra={"aliases": {"*": {"gates": [{"metric": {"name": "auc", "at_least": 0.85}}]}}})
    own = {"stages": {"Canary": {"gates": [{"metric": {"name": "auc", "at_least": 0.75}}]}}}
    line.commit({"churn/policy.yaml": policy(own)})
    register(line.workspace, "run-4", model="other", metrics={"auc": 0.8})
    assert "pass" == line.judge(CANARY).result
    assert "fail" == line.judge({"other/stages/Canary.yaml": stage(1)}).result
    assert "fail" == line.judge({"churn/aliases/champion.yaml": alias(3)}).result
    assert "pass" == line.judge({"churn/aliases/champion.yaml": alias(2)}).result


def test_gates_of_aliases(line: Line) -> None:
    """An alias has its own rule, or that of `*`; it is compared with the version that it pointed at."""
    gates = [{"no_worse": {"metric": "auc", "by": "5%", "direction": "higher"}}]
    line.commit({"policy.yaml": policy({"aliases": {"champion": {"gates": gates}, "*": {}}})})
    line.commit({"churn/aliases/champion.yaml": alias(1), "churn/aliases/old.yaml": alias(1)})
    judged = the_gated(line.judge({"churn/aliases/champion.yaml": alias(3)}))
    assert (1, "fail") == (judged.holder, judged.verdicts[0].result)
    assert "pass" == the_gated(line.judge({"churn/aliases/champion.yaml": alias(2)})).result
    for files in ({"churn/aliases/old.yaml": alias(3)}, {"churn/aliases/champion.yaml": None}):
        assert [()] == [each.verdicts for each in line.judge(files).judged]


def test_who_only_makes_room_is_asked_nothing(line: Line) -> None:
    """The gates of Archived hold for those who are sent there by hand, not for who is displaced."""
    graph = {**GRAPH, "Archived": {"gates": [{"metric": {"name": "auc", "at_least": 2}}], "from": ["Staging"]}}
    line.commit({"policy.yaml": policy({"stages": graph})})
    files = {"churn/stages/Production.yaml": stage(2), "churn/stages/Staging.yaml": None}
    assert "pass" == line.judge({**files, "churn/stages/Archived.yaml": stage(1)}).result
    demotion = line.judge({"churn/stages/Production.yaml": None, "churn/stages/Archived.yaml": stage(1)})
    told = "churn v1 comes from Production, and the policy lets a version enter Archived from Staging only."
    assert [told] == problems(demotion)
    assert "fail" == the_gated(demotion).verdicts[0].result


def test_with_several_holders_it_is_compared_with_the_one_that_goes(line: Line) -> None:
    """Else with the newest."""
    graph = {"Production": {"gates": [{"no_worse": {"metric": "auc", "direction": "higher"}}]}}
    line.commit({"policy.yaml": policy({"stages": graph})})
    line.commit({"churn/stages/Production.yaml": stage(1, 2), "churn/stages/Staging.yaml": None})
    assert 2 == the_gated(line.judge({"churn/stages/Production.yaml": stage(1, 2, 3)})).holder
    assert 1 == the_gated(line.judge({"churn/stages/Production.yaml": stage(2, 3)})).holder


BYPASSES = [
    ("Promote\n\nBypass: fixes an outage\n", LEAD, "bypassed", " Set aside by lead@example.org: fixes an outage"),
    ("Promote\n\nWhy: haste\nBypass:   tidy  \n\nSigned-off-by: x\n", LEAD, "bypassed", "lead@example.org: tidy"),
    ("Promote\n\nBypass: x\n", LEAD.replace("lead@", "LEAD@"), "bypassed", "lead@example.org: x"),
    ("Promote\n\nBypass: x\n", KIM, "fail", " kim@example.org asks to set it aside, and the policy does not let them."),
    ("Promote\n\nBypass:\n", LEAD, "fail", "below 0.9."),
    ("Bypass: in the subject\n", LEAD, "fail", "below 0.9."),
    ("Promote\n\nNo bypass: x\n", LEAD, "fail", "below 0.9."),
    (
        "Promote\n\nBypass: x\n",
        "Nobody <> 1795327923 +0000",
        "fail",
        " Somebody without a mail address asks to set it aside, and the policy does not let them.",
    ),
]


@pytest.mark.parametrize(("message", "author", "result", "told"), BYPASSES)
def test_gates_are_set_aside_with_a_reason_by_those_who_may(
    line: Line, message: str, author: str, result: str, told: str
) -> None:
    """The reason stands in the verdict; who may not is told so."""
    gated(line, bypass=["lead@*"])
    found = line.judge(CANARY, message, author)
    (verdict,) = the_gated(found).verdicts
    assert result == verdict.result
    assert verdict.message.endswith(told), verdict.message
    assert ("pass" if result == "bypassed" else "fail") == found.result


def test_a_merge_is_set_aside_by_the_commit_that_it_brings(line: Line) -> None:
    """A forge checks the merge that would be made, whose author is its own."""
    gated(line, bypass=["lead@example.org"])
    base = line.tip
    head = line.commit(CANARY, "Promote\n\nBypass: outage\n", LEAD)
    objects = line.workspace.repo.objects
    merge = objects.write_commit(objects.commit(head).tree, [base, head], KIM, KIM, "Merge it\n")
    assert "pass" == judge(line.workspace, base, merge).result


@pytest.mark.parametrize(
    ("old", "new"), [(b"\n\n", b"\nencoding UTF-16LE\n\n"), (b"\n\nBypass", b"\n\0\n\nBypass")], ids=["encoding", "NUL"]
)
def test_a_bypass_that_the_history_would_not_show_is_none(line: Line, old: bytes, new: bytes) -> None:
    """What git shows of the message counts: else gates could be set aside and nobody would be told."""
    gated(line, bypass=["lead@example.org"])
    base, objects = line.tip, line.workspace.repo.objects
    shown = line.commit(CANARY, "Promote\n\nBypass: xy\n", LEAD)  # of an even number of bytes, as UTF-16 has
    assert "pass" == judge(line.workspace, base, shown).result
    hidden = objects.write("commit", objects.read(shown)[2].replace(old, new, 1))
    assert "fail" == judge(line.workspace, base, hidden).result


def test_a_long_line_of_spaces_takes_no_time(line: Line) -> None:
    """Messages come from other people: a reason or a name of a megabyte is read as fast as any other text."""
    long = f"a{' ' * 1_000_000}b"
    begun = time.process_time()
    assert long == find_reason(f"Promote\n\nBypass: {long}  \n")
    assert long == parse_person(f"{long} <a@example.org>").name
    assert long == parse_person(long).name
    assert time.process_time() - begun < 5


def test_bypass_does_not_excuse_an_illegal_move(line: Line) -> None:
    """Transitions and holders are no gates."""
    rule: dict[str, Any] = {"from": ["Staging"], "bypass": ["lead@example.org"]}
    gated(line, **rule)
    assert "fail" == line.judge(CANARY, "Promote\n\nBypass: x\n", LEAD).result


def test_a_mailmap_lets_nobody_set_gates_aside(line: Line, git_repo: Path) -> None:
    """Neither that of the proposal, which CI has checked out, nor that of the base: the written address counts."""
    gated(line, bypass=["lead@example.org"])
    (git_repo / ".mailmap").write_text("Lea Lead <lead@example.org> <kim@example.org>\n")
    proposal = (CANARY, "Promote\n\nBypass: x\n", KIM)
    assert "fail" == line.judge(*proposal).result
    objects = line.workspace.repo.objects
    entry = TreeEntry(FILE, objects.write("blob", (git_repo / ".mailmap").read_bytes()))
    tree = objects.update_tree(objects.commit(line.tip).tree, {".mailmap": entry})
    assert tree is not None
    line.tip = objects.write_commit(tree, [line.tip], LEAD, LEAD, "Map")
    assert "fail" == line.judge(*proposal).result


FORGE = "GitHub <noreply@github.com> 1795327923 +0000"
COMMITTERS = [
    (LEAD, FORGE, {}, "bypassed", " Set aside by lead@example.org: x"),
    (LEAD, KIM, {}, "fail",
     " kim@example.org, who made the commit, asks to set it aside, and the policy does not let them."),
    (FORGE, FORGE, {}, "fail", " noreply@github.com asks to set it aside, and the policy does not let them."),
    (LEAD, LEAD, {"approvals": {"signed": True}}, "fail",
     " lead@example.org asks to set it aside, and the commit has no good signature of theirs."),
]  # fmt: skip


@pytest.mark.parametrize(("author", "committer", "rule", "result", "told"), COMMITTERS)
def test_who_made_the_commit_must_be_let_too(
    line: Line, author: str, committer: str, rule: dict[str, Any], result: str, told: str
) -> None:
    """Anybody can write `--author`; a forge's button writes the forge; `signed` asks for a signature."""
    gated(line, bypass=["lead@example.org"], **rule)
    objects, base = line.workspace.repo.objects, line.tip
    tree = objects.commit(line.commit(CANARY)).tree
    head = objects.write_commit(tree, [base], author, committer, "Promote\n\nBypass: x\n")
    (verdict,) = the_gated(judge(line.workspace, base, head)).verdicts
    assert (result, True) == (verdict.result, verdict.message.endswith(told)), verdict.message


def test_a_signed_wish_sets_gates_aside_where_signatures_are_asked_for(line: Line, git_repo: Path) -> None:
    """By the key of who is let, and by no other."""
    gated(line, bypass=["lead@example.org"], approvals={"signed": True})
    results = {}
    for owner in ("lead@example.org", "kim@example.org"):
        key = git_repo.parent / owner
        run_keygen(key)
        (git_repo.parent / "allowed").write_text(f"{owner} {key.with_suffix('.org.pub').read_text()}")
        git("config", "gpg.format", "ssh", cwd=git_repo)
        git("config", "gpg.ssh.allowedSignersFile", str(git_repo.parent / "allowed"), cwd=git_repo)
        base = line.tip
        tree = line.workspace.repo.objects.commit(line.commit(CANARY)).tree
        line.tip = base
        lea = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "Lea"), ("EMAIL", "lead@example.org"))}  # fmt: skip
        message = "Promote\n\nBypass: x"
        command = ("-c", f"user.signingkey={key}", "commit-tree", "-S", "-p", base, "-m", message, tree)
        head = git(*command, cwd=git_repo, env=lea)
        results[owner] = the_gated(judge(line.workspace, base, head)).verdicts[0].result
    assert {"lead@example.org": "bypassed", "kim@example.org": "fail"} == results


def run_keygen(key: Path) -> None:
    """An ssh key of its own."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True, capture_output=True)


def test_approvals_are_those_of_the_base(line: Line) -> None:
    """What a rule asks for; nobody's without one, under `promotion: direct`."""
    gated(line, approvals={"count": 2, "by": ["*@example.org"]})
    assert [(Approvals(2, ("*@example.org",)),)] == [each.approvals for each in line.judge(CANARY).judged]
    assert [()] == [each.approvals for each in line.judge({"churn/stages/Staging.yaml": None}).judged]


def registration(line: Line, **changed: str) -> str:
    """A request to register the model of run-9, which is version 1 of `other`."""
    found = find_version(line.workspace.repo, "other", 1)
    assert found is not None
    rows = {"run": "run-9", "record": found.body.record, "path": "model", "digest": found.body.digest}
    rows |= {"commit": found.commit, **changed}
    return "schema: runstone/registration/v1\n" + "".join(f"{key}: '{value}'\n" for key, value in rows.items())


REQUESTS = [
    ({}, None),
    ({"commit": "0" * 40}, "The run run-9 is to be found in the commit 000000000000, which is not here."),
    ({"record": "experiments/x/2026-01-01/-9/run-9"}, "There is no run run-9 in `experiments/x/2026-01-01/-9/run-9`"),
    ({"path": "model/sub"}, "The run run-9 logged no model `model/sub`; it has `model`."),
    ({"digest": "md5:0.dir"}, "The model `model` of the run run-9 has the digest md5:"),
    ({"run": "run-8"}, "The file of a request is named after its run, but 'run-9' asks for the run 'run-8'."),
]


@pytest.mark.parametrize(("changed", "problem"), REQUESTS)
def test_requests_to_register(line: Line, changed: dict[str, str], problem: str | None) -> None:
    """The run must be where the request says, and its model the one that it names."""
    register(line.workspace, "run-9", model="other")
    found = line.judge({"churn/registrations/run-9.yaml": registration(line, **changed)})
    assert ([] if problem is None else [problem]) == [text[: len(problem or "")] for text in problems(found)]


def test_a_request_that_is_met_is_refused(line: Line) -> None:
    """Also if the version was retired since: its number stays taken."""
    register(line.workspace, "run-9", model="other")
    text = registration(line)
    met = "`model` of the run run-9 is other v1 already"
    assert [f"{met}."] == problems(line.judge({"other/registrations/run-9.yaml": text}))
    git("tag", "-a", "-m", "Retire", "other@v1!", "other@v1^{}", cwd=line.workspace.repo.git_dir)
    assert [f"{met}, which is retired."] == problems(line.judge({"other/registrations/run-9.yaml": text}))


def test_nobody_judges_by_a_policy_that_cannot_be_read(line: Line) -> None:
    """The error names the file; a proposal that mends it is judged by nobody either, but by people."""
    line.commit({"policy.yaml": "schema: runstone/policy/v1\nstages: 3\n"})
    with pytest.raises(RecordInvalid, match=r"registry/policy\.yaml` at [0-9a-f]{7}: `stages` must be a map"):
        line.judge(CANARY)


def test_a_registry_does_not_move_unseen(line: Line, git_repo: Path) -> None:
    """Else a proposal could hide behind a folder that nobody compares."""
    objects = line.workspace.repo.objects
    config = TreeEntry(FILE, objects.write("blob", b"registry: elsewhere\n"))
    tree = objects.update_tree(objects.commit(line.tip).tree, {"runstone.yaml": config})
    assert tree is not None
    head = objects.write_commit(tree, [line.tip], KIM, KIM, "Move")
    found = judge(line.workspace, line.tip, head)
    assert "fail" == found.result
    assert found.problems[0].startswith("`runstone.yaml` moves the registry from `registry` to `elsewhere`")
    (git_repo / "runstone.yaml").write_text("registry: elsewhere\n")
    base = line.tip
    other = judge(Workspace(type(line.workspace.repo).open(git_repo)), base, line.commit(CANARY))
    assert other.judged  # by the settings of the base, whatever the work tree says
    assert judge(line.workspace, base, line.tip).judged == other.judged


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("promotion: direct\n", 1),
        ("promotion: review\nbranch: trials\n", 1),
        ("promotion: [\n", 1),
        (None, 1),
        ("promotion: review\nsecrets: {keys: [pin]}\n", None),
        ("promotion: review # still\n", None),
    ],
)
def test_settings_that_guard_count_as_policy(line: Line, text: str | None, count: int | None) -> None:
    """Turning review off is judged by the settings of the base, and needs the approvals that a policy needs."""
    objects = line.workspace.repo.objects

    def commit(content: str | None) -> str:
        blob = None if content is None else TreeEntry(FILE, objects.write("blob", content.encode()))
        tree = objects.update_tree(objects.commit(line.tip).tree, {"runstone.yaml": blob})
        assert tree is not None
        return objects.write_commit(tree, [line.tip], KIM, KIM, "Settings")

    line.tip = base = commit("promotion: review\n")
    found = judge(line.workspace, base, commit(text))
    expected = [] if count is None else [(PolicyChange, "runstone.yaml", [count])]
    told = [(type(each.change), each.change.model, [rule.count for rule in each.approvals]) for each in found.judged]
    assert expected == told
    assert (text == "promotion: [\n") == bool(problems(found))


def test_the_first_registry_is_judged_by_what_holds_without_a_policy(workspace: Workspace) -> None:
    """MLflow's stages, free moves."""
    register(workspace, "run-1")
    line = Line(workspace)
    head = line.commit({"churn/stages/Production.yaml": stage(1), "churn/stages/QA.yaml": None})
    assert "pass" == judge(workspace, None, head).result
    head = line.commit({"churn/stages/QA.yaml": stage(1), "churn/stages/Production.yaml": None})
    assert "fail" == judge(workspace, None, head).result


def test_only_what_changed_is_read(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of 200 models, with 5,000 versions, is judged by as few objects as one of a few."""
    files = {f"m{i}/{kind}": text for i in range(200) for kind, text in (
        ("model.yaml", "schema: runstone/registered-model/v1\n"),
        ("stages/Production.yaml", stage(1)),
        ("aliases/champion.yaml", alias(1)),
    )}  # fmt: skip
    repo = line.workspace.repo
    target = repo.refs.list("refs/tags/churn@v1")["refs/tags/churn@v1"]
    tags = "".join(f"{target} refs/tags/m{i}@v{n}\n" for i in range(200) for n in range(1, 26))
    packed = repo.git_dir / "packed-refs"
    header = "" if packed.exists() else "# pack-refs with: peeled fully-peeled sorted \n"
    assert header, "nothing is packed yet"
    packed.write_text(header + "".join(sorted(tags.splitlines(keepends=True), key=lambda row: row.split()[1])))
    line.commit(files)
    line.judge(CANARY)
    asked, ask = [], Conversation.ask

    def note(conversation: Conversation, question: bytes, missing: Callable[[bytearray], int]) -> bytearray:
        asked.append(question)
        return ask(conversation, question, missing)

    monkeypatch.setattr(Conversation, "ask", note)
    found = line.judge({"churn/stages/Archived.yaml": stage(3)})
    assert "pass" == found.result
    assert 40 > len(asked), asked
