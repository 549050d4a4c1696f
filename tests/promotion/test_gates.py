"""Gates: each asked of versions of real runs, through a policy, with the sentence that it answers."""

import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runstone.git.objects import FILE, TreeEntry
from runstone.git.repository import Repository
from runstone.promotion.gates import GATES, Verdict, describe
from runstone.promotion.rules.judgement import judge
from runstone.records import gate as form
from runstone.records.gate import Gate, read_gate
from runstone.tracking.workspace import Workspace
from tests.promotion.policy_support import KIM, Line, policy, register, stage
from tests.sharing import Team
from tests.support import git


@pytest.fixture
def line(workspace: Workspace) -> Line:
    """A repository whose churn has two versions, the first in Production."""
    register(workspace, "first-run", metrics={"auc": 0.9, "mse": 4.0, "odd": float("nan"), "zero": 0.0, "only": 1.0})
    register(
        workspace,
        "second-run",
        metrics={"auc": 0.88, "mse": 3.0, "odd": 1.0, "zero": 0.0, "bad": float("nan"), "high": float("inf")},
        tags={"team": "growth"},
        signature={"inputs": "[]"},
    )
    return Line(workspace)


def verdicts(
    line: Line, *gates: dict[str, Any], holder: bool = True, files: dict[str, str] | None = None, **rest: Any
) -> list[Verdict]:
    """What gates say of version 2 on its way into Production."""
    rules = {"stages": {"Production": {"gates": list(gates), "holders": 1}}, **rest}
    line.commit({"policy.yaml": policy(rules)} | ({"churn/stages/Production.yaml": stage(1)} if holder else {}))
    judged = line.judge({"churn/stages/Production.yaml": stage(2), **(files or {})}).judged
    found = next(each for each in judged if each.verdicts)
    assert (1 if holder else None) == found.holder
    return list(found.verdicts)


def test_every_gate_of_the_format_has_a_judge() -> None:
    """The table of forms and that of judges agree."""
    assert list(form.GATES) == list(GATES)


METRICS: list[tuple[dict[str, Any], str, str]] = [
    ({"metric": {"name": "auc", "at_least": 0.8}}, "pass", "`auc` of churn v2 is 0.88; at least 0.8 is asked for."),
    ({"metric": {"name": "auc", "at_least": 0.88, "at_most": 1}}, "pass",
     "`auc` of churn v2 is 0.88; at least 0.88 and at most 1 is asked for."),
    ({"metric": {"name": "auc", "at_least": 0.9}}, "fail", "`auc` of churn v2 is 0.88, below 0.9."),
    ({"metric": {"name": "mse", "at_most": 2.5}}, "fail", "`mse` of churn v2 is 3, above 2.5."),
    ({"metric": {"name": "high", "at_most": 2.5}}, "fail", "`high` of churn v2 is inf, above 2.5."),
    ({"metric": {"name": "bad", "at_most": 2.5}}, "fail", "`bad` of churn v2 is nan."),
    ({"metric": {"name": "f1", "at_least": 0}}, "fail", "The run second-run of v2 logged no metric `f1`."),
    ({"no_worse": {"metric": "auc", "direction": "higher"}}, "fail",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1."),
    ({"no_worse": {"metric": "auc"}}, "fail",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1."),
    ({"no_worse": {"metric": "auc", "by": 0.02}}, "pass",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1; 0.02 worse is allowed."),
    ({"no_worse": {"metric": "auc", "by": 0.0199}}, "fail",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1; 0.0199 worse is allowed."),
    ({"no_worse": {"metric": "auc", "by": "2%"}}, "fail",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1; 2% worse is allowed."),
    ({"no_worse": {"metric": "auc", "by": "2.5%"}}, "pass",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1; 2.5% worse is allowed."),
    ({"no_worse": {"metric": "auc", "by": "20%"}}, "pass",
     "`auc` is 0.88, 0.02 (2.22%) worse than the 0.9 of the present holder v1; 20% worse is allowed."),
    ({"no_worse": {"metric": "auc", "direction": "lower"}}, "pass",
     "`auc` is 0.88, 0.02 (2.22%) better than the 0.9 of the present holder v1."),
    ({"no_worse": {"metric": "mse", "direction": "lower"}}, "pass",
     "`mse` is 3, 1 (25.00%) better than the 4 of the present holder v1."),
    ({"no_worse": {"metric": "zero", "direction": "lower", "by": "5%"}}, "pass",
     "`zero` is 0, as good as the 0 of the present holder v1; 5% worse is allowed."),
    ({"no_worse": {"metric": "mse"}}, "unknown",
     "Whether a higher or a lower `mse` is better is not known. Declare it in the policy: `metrics: {mse: higher}`"),
    ({"no_worse": {"metric": "odd", "direction": "lower"}}, "pass",
     "`odd` is 1, and nan of the present holder v1."),
    ({"no_worse": {"metric": "bad", "direction": "lower"}}, "fail", "`bad` of churn v2 is nan."),
    ({"no_worse": {"metric": "only", "direction": "lower"}}, "fail",
     "The run second-run of v2 logged no metric `only`."),
    ({"no_worse": {"metric": "high", "direction": "higher"}}, "unknown",
     "The run first-run of v1 logged no metric `high`. So there is nothing to compare with. Set the gate aside with a "
     "reason, or have a holder that logged it"),
]  # fmt: skip


def test_gates_on_metrics(line: Line) -> None:
    """Thresholds, and the present holder's value: absolute or relative, with the gate's direction or the policy's."""
    found = verdicts(line, *(gate for gate, _, _ in METRICS), metrics={"auc": "higher"})
    assert [(result, message) for _, result, message in METRICS] == [(v.result, v.message) for v in found]


def test_the_first_holder_has_nothing_to_be_compared_with(line: Line) -> None:
    """It passes, also where the direction is not declared; a metric that it did not log fails all the same."""
    first, lacking = verdicts(
        line, {"no_worse": {"metric": "mse"}}, {"no_worse": {"metric": "f1", "direction": "higher"}}, holder=False
    )
    assert ("pass", "`mse` is 3, and there is nothing to compare it with: nobody holds the place.") == (
        first.result,
        first.message,
    )
    assert "fail" == lacking.result


def test_an_infinite_holder_is_not_excused_by_a_share(workspace: Workspace) -> None:
    """A share of infinity would allow anything."""
    register(workspace, "run-a", metrics={"auc": float("inf")})
    register(workspace, "run-b", metrics={"auc": 0.5})
    (found,) = verdicts(Line(workspace), {"no_worse": {"metric": "auc", "by": "2%", "direction": "higher"}})
    assert "fail" == found.result


def test_gates_on_tags(line: Line) -> None:
    """The version's own tags count first, then those of its run; the notes at the head are the version's own."""
    asks: list[dict[str, Any]] = [
        {"tags": ["team"]},
        {"tags": [{"key": "team", "value": "growth"}, "checked"]},
        {"tags": ["checked", "seen", {"key": "team", "value": "risk"}]},
        {"tags": []},
    ]
    notes = {"churn/versions/2.yaml": "schema: runstone/version-notes/v1\ntags: {checked: 'yes'}\n"}
    found = verdicts(line, *asks, files=notes)
    assert [
        ("pass", "churn v2 has `team`."),
        ("pass", "churn v2 has `team=growth`, `checked`."),
        (
            "fail",
            "churn v2 lacks `seen`, and has `team=growth` where `team=risk` is asked for. Tag it: "
            "`runstone models tag churn seen=VALUE --version 2`",
        ),
        ("pass", "churn v2 has what is asked for, which is nothing."),
    ] == [(v.result, v.message) for v in found]
    notes["churn/versions/2.yaml"] = "schema: runstone/version-notes/v1\ntags: {team: risk}\n"
    assert ["pass", "fail", "fail", "pass"] == [v.result for v in verdicts(line, *asks, files=notes)]


def test_the_gate_on_signatures(line: Line) -> None:
    """The second version has one, the first has none."""
    (found,) = verdicts(line, {"signature": True})
    assert ("pass", "churn v2 has a signature.") == (found.result, found.message)
    (judged,) = [each for each in line.judge({"churn/stages/Production.yaml": stage(1, 2)}).judged if each.verdicts]
    assert "pass" == judged.verdicts[0].result
    line.commit({"churn/stages/Production.yaml": stage(2)})
    judged = next(each for each in line.judge({"churn/stages/Production.yaml": stage(1)}).judged if each.verdicts)
    assert "fail" == judged.verdicts[0].result
    assert judged.verdicts[0].message.startswith("churn v1 has no signature. Log the model with one")


CARDS = [
    (None, ["fail", "fail"], "churn has no model card. Write one: `runstone models card churn --write`"),
    ("---\nlicense: mit\n---\n", ["fail", "fail"], "The model card lacks `Intended use`, `Limits`."),
    ("# Churn\n\n## Intended use\n\n## limits  \nNone.\n", ["pass", "fail"],
     "The model card says nothing below `Intended use`."),
    ("# Churn\n## INTENDED USE\n<!-- say what for -->\n### Sub\n\n## Limits\nx\n", ["pass", "fail"],
     "The model card says nothing below `Intended use`."),
    ("```\n## Intended use\nx\n```\n# Limits\nx\n", ["pass", "fail"], "The model card lacks `Intended use`."),
    ("Intended  use\n---\nA\n\n# Limits\n## Known\nB\n", ["pass", "pass"],
     "The model card has 2 sections as asked for: `Intended use`, `Limits`."),
]  # fmt: skip


@pytest.mark.parametrize(("card", "results", "message"), CARDS)
def test_gates_on_the_card(line: Line, card: str | None, results: list[str], message: str) -> None:
    """A card at all, and headings with text below them; comments, blocks of code and front matter are no text."""
    files = {} if card is None else {"churn/README.md": card}
    found = verdicts(line, {"card": []}, {"card": ["Intended use", "Limits"]}, files=files)
    assert results == [v.result for v in found]
    assert message == found[1].message


def test_gates_on_age(line: Line) -> None:
    """The git tags were made just now."""
    old, young, aged = verdicts(
        line, {"age": {"at_least": "1d"}}, {"age": {"at_most": "1d"}}, {"age": {"at_least": "0s", "at_most": "2w"}}
    )
    assert "fail" == old.result
    assert re.fullmatch(r"churn v2 was made \d+ seconds ago; at least 24 hours is asked for\.", old.message)
    assert ("pass", "pass") == (young.result, aged.result)


def test_gates_on_code(line: Line) -> None:
    """A run of a commit as it was is clean; one with local edits is not, but its code is in git all the same."""
    repo = line.workspace.repo
    assert repo.work_tree is not None
    (repo.work_tree / "train.py").write_text("print('edited')\n")
    register(line.workspace, "third-run")
    gates = [{"clean": True}, {"code": True}]
    clean, code = verdicts(line, *gates)
    head = str(repo.head())[:12]
    assert ("pass", f"The run's code was the commit {head}, without local edits.") == (clean.result, clean.message)
    assert ("pass", f"The code is the commit {head}, a parent of the run's own.") == (code.result, code.message)
    judged = next(each for each in line.judge({"churn/stages/Production.yaml": stage(3)}).judged if each.verdicts)
    assert ["fail", "pass"] == [v.result for v in judged.verdicts]
    told = judged.verdicts[0].message
    assert told.startswith(f"The run third-run had local edits on {head}. See them: `git diff {head}")
    assert "+print('edited')" in git(*told.split("`")[1].split()[1:], cwd=repo.work_tree)


def test_gates_need_the_run(team: Team) -> None:
    """In a clone that has the git tag but not the commits that it leads to, they say so instead of guessing."""
    ann = team.folder / "ann"
    workspace = Workspace.open(ann)
    register(workspace, "first-run", metrics={"auc": 0.9}, signature={"inputs": "[]"})
    gates = [{"metric": {"name": "auc", "at_least": 0.5}}, {"tags": ["x"]}, {"code": True}, {"clean": True}]
    gates += [{"no_secrets": True}, {"signature": True}]
    line = Line(workspace)
    line.commit({"policy.yaml": policy({"stages": {"Production": {"gates": gates}}})})
    base, head = line.tip, line.commit({"churn/stages/Production.yaml": stage(1)})
    git("update-ref", "refs/heads/proposal", head, cwd=ann)
    git("push", "-q", "origin", "proposal", cwd=ann)
    other = team.folder / "other"
    git("init", "-q", "-b", "main", other, cwd=team.folder)
    git("fetch", "-q", "--depth=2", f"file://{team.remote}", "proposal", cwd=other)
    tag = git("cat-file", "tag", "churn@v1", cwd=ann)
    (other / "tag").write_text(tag + "\n")
    oid = git("hash-object", "-t", "tag", "-w", "--literally", "tag", cwd=other)
    (other / ".git" / "packed-refs").write_text(f"{oid} refs/tags/churn@v1\n")
    found = judge(Workspace.open(other), base, head)
    (judged,) = found.judged
    assert ["unknown"] * 5 + ["pass"] == [v.result for v in judged.verdicts]
    assert "unknown" == found.result
    assert "The run first-run of churn v1 is not here. Fetch it: `runstone sync`" == judged.verdicts[0].message


def test_code_that_nothing_keeps_fails(line: Line) -> None:
    """A tag made by hand, of a commit with the run's record that does not lead to its code: a fetch of it has none."""
    objects = line.workspace.repo.objects
    runs = objects.commit(str(line.workspace.repo.runs_tip()))
    loose = objects.write_commit(runs.tree, [], runs.author, runs.committer, "Forged")
    _, _, data = objects.read("refs/tags/churn@v2")
    forged = objects.write("tag", data.replace(data.split(b"\n")[0], f"object {loose}".encode()))
    git("update-ref", "refs/tags/churn@v2", forged, cwd=line.workspace.repo.git_dir)
    (found,) = verdicts(line, {"code": True})
    head = str(line.workspace.repo.head())[:12]
    told = f"Nothing keeps the code of churn v2: its git tag does not lead to the commit {head}."
    assert ("fail", told) == (found.result, found.message)


def test_in_a_shallow_clone_nobody_knows_whether_code_is_kept(team: Team) -> None:
    """The run is here, but not the commit that its code is."""
    ann = team.folder / "ann"
    workspace = Workspace.open(ann)
    register(workspace, "first-run")
    line = Line(workspace)
    line.commit({"policy.yaml": policy({"stages": {"Production": {"gates": [{"code": True}]}}})})
    base, head = line.tip, line.commit({"churn/stages/Production.yaml": stage(1)})
    git("update-ref", "refs/heads/proposal", head, cwd=ann)
    git("push", "-q", "origin", "proposal", cwd=ann)
    other = team.folder / "other"
    git("init", "-q", "-b", "main", other, cwd=team.folder)
    for depth, ref in ((2, "proposal"), (1, "refs/tags/churn@v1:refs/tags/churn@v1")):
        git("fetch", "-q", f"--depth={depth}", f"file://{team.remote}", ref, cwd=other)
    (judged,) = judge(Workspace.open(other), base, head).judged
    snapshot = git("rev-parse", "main", cwd=ann)[:12]
    told = f"Whether the commit {snapshot} is kept cannot be told in a shallow clone. Fetch the rest: "
    assert [("unknown", f"{told}`git fetch --unshallow`")] == [(v.result, v.message) for v in judged.verdicts]


def test_the_gate_on_artifacts(team: Team) -> None:
    """All files on the remote pass; one that is missing there is named; a damaged copy here, a remote that is gone."""
    ann = team.folder / "ann"
    workspace = Workspace.open(ann)
    register(workspace, "first-run", weights="first")
    register(workspace, "second-run", weights="second")
    line = Line(workspace)
    (found,) = verdicts(line, {"artifacts": True})
    assert (
        "All 2 files of the model are on the DVC remote `store`; the digests of all were verified here."
        == found.message
    )
    weights = next(team.store.rglob("a9f0e61a137d86aa9db53465e0801612"[2:]))  # md5 of `second`
    weights.chmod(0o644)
    weights.unlink()
    (found,) = verdicts(line, {"artifacts": True})
    assert "fail" == found.result
    assert found.message.startswith("1 of 2 files of the model are not on the DVC remote `store`: `sub/weights.txt`.")
    team.store.rename(team.folder / "elsewhere")
    (found,) = verdicts(line, {"artifacts": True})
    assert ("unknown", True) == (found.result, found.message.startswith("The DVC remote cannot be asked: "))


def test_a_damaged_copy_fails_the_gate_on_artifacts(team: Team) -> None:
    """Bytes that are here are compared with what git recorded."""
    workspace = Workspace.open(team.folder / "ann")
    register(workspace, "first-run", weights="first")
    register(workspace, "second-run", weights="second")
    path = workspace.artifacts.cache.path("a9f0e61a137d86aa9db53465e0801612")
    path.chmod(0o644)
    path.write_text("edited")
    (found,) = verdicts(Line(workspace), {"artifacts": True})
    assert "fail" == found.result
    assert found.message.startswith("`sub/weights.txt` is not what git recorded: ")


def test_without_a_remote_the_gate_on_artifacts_fails(line: Line) -> None:
    """Nobody else could have the model."""
    (found,) = verdicts(line, {"artifacts": True})
    assert (
        "fail",
        "No DVC remote is configured, so nobody else has the model. Add one: `dvc remote add --default NAME URL`",
    ) == (found.result, found.message)


def test_the_gate_on_secrets(line: Line, git_repo: Path) -> None:
    """Record, card, notes and the model's text files are looked through; what is found is named by its place alone.

    What the work tree allows, which CI has from the proposal, does not count.
    """
    (git_repo / "runstone.yaml").write_text("secrets: {allow: ['.*']}\n")
    line.workspace = Workspace(Repository.open(git_repo))
    assert "a" == line.workspace.redactor.param("password", "a")
    token = "ghp_" + "a1B2" * 9
    (found,) = verdicts(line, {"no_secrets": True})
    assert "pass" == found.result, found.message
    assert "Nothing in the record, the card and 2 text files of the model looks secret." == found.message
    files = {
        "churn/README.md": f"# Churn\nUse {token}\n",
        "churn/versions/2.yaml": "schema: runstone/version-notes/v1\ntags: {api_key: abcdef}\n",
    }
    (found,) = verdicts(line, {"no_secrets": True}, files=files)
    assert (
        "fail",
        "2 places may hold a secret: `the version's tag api_key`, `the model card`. If they are none, allow them in "
        "runstone.yaml of the default branch: `secrets: {allow: […]}`",
    ) == (found.result, found.message)
    register(line.workspace, "third-run", weights=f"key = {token}")
    judged = next(each for each in line.judge({"churn/stages/Production.yaml": stage(3)}).judged if each.verdicts)
    assert judged.verdicts[0].message.startswith("1 place may hold a secret: `model/sub/weights.txt`.")


JUDGE = """\
import os, subprocess, sys, time
from pathlib import Path
mode = sys.argv[1]
print("first line")
for name in ("MODEL", "VERSION", "MODEL_URI", "STAGE", "ALIAS"):
    print(name, os.environ.get(f"RUNSTONE_{name}"))
if mode == "slow":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(os.environ["RUNSTONE_REPO"], "child").write_text(str(child.pid))
    time.sleep(60)
if mode == "token":
    print("token=" + "ghp_" + "a1B2" * 9)
assert Path("registry/policy.yaml").is_file() and not Path(".git").exists()
assert "GIT_DIR" not in os.environ
print("strict")
sys.exit({"good": 0, "unsure": 2, "bad": 1, "token": 0}[mode])
"""


def command(line: Line, mode: str, timeout: str = "60s") -> Verdict:
    """The verdict of a program that lies in the base, while the proposal would have it pass always."""
    gate = {"command": {"run": [sys.executable, "registry/judge.py", mode], "timeout": timeout}}
    line.commit({"judge.py": JUDGE})
    (found,) = verdicts(line, gate, files={"judge.py": "print('lax')\n"})
    return found


@pytest.mark.parametrize(("mode", "result", "told"), [
    ("good", "pass", "ended with 0"),
    ("unsure", "unknown", "cannot tell: it ended with 2"),
    ("bad", "fail", "ended with 1"),
])  # fmt: skip
def test_the_gate_that_is_a_program(
    line: Line, monkeypatch: pytest.MonkeyPatch, mode: str, result: str, told: str
) -> None:
    """Its exit code is the answer; it is the base's program, it knows what is judged, and no hook's variables."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("RUNSTONE_ALIAS", "left over")
    found = command(line, mode)
    assert result == found.result, found.message
    lines = "VERSION 2 / MODEL_URI models:/churn/2 / STAGE Production / ALIAS None / strict"
    assert f"`{sys.executable} registry/judge.py {mode}` {told}, and said: {lines}" == found.message


def test_a_program_that_may_miss_submodules_is_told_so(line: Line) -> None:
    """Where it did not pass, since it starts in a checkout without them."""
    objects = line.workspace.repo.objects
    entry = TreeEntry(FILE, objects.write("blob", b'[submodule "x"]\npath = x\nurl = ../x\n'))
    tree = objects.update_tree(objects.commit(line.tip).tree, {".gitmodules": entry})
    assert tree is not None
    line.tip = objects.write_commit(tree, [line.tip], KIM, KIM, "A submodule")
    note = "/ strict. Submodules are not checked out for it: their folders are empty."
    assert command(line, "bad").message.endswith(note)
    assert command(line, "good").message.endswith("/ strict")


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(line: Line) -> None:
    """The whole group of processes goes."""
    found = command(line, "slow", "3s")
    assert "fail" == found.result
    assert "was ended after 3 s, and said: " in found.message or found.message.endswith("was ended after 3 s.")
    assert line.workspace.repo.work_tree is not None
    pid = (line.workspace.repo.work_tree / "child").read_text()
    end = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < end:  # a process that was killed is not gone at once
        time.sleep(0.01)
    assert not is_running(pid)


def is_running(pid: str) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_is_not_there_cannot_tell(line: Line) -> None:
    """It says nothing of the model that this machine lacks it."""
    (found,) = verdicts(line, {"command": {"run": ["no-such-program", "a b"]}})
    assert ("unknown", "`no-such-program a b` could not be started: No such file or directory.") == (
        found.result,
        found.message,
    )


def test_what_a_program_says_is_shown_without_secrets(line: Line) -> None:
    """The report is public where the log of CI is not."""
    found = command(line, "token")
    assert "pass" == found.result
    assert "token=[redacted]" in found.message
    assert "a1B2" not in found.message


@pytest.mark.parametrize(("gate", "words"), [
    ({"metric": {"name": "auc", "at_least": 0.9, "at_most": 1}}, "auc at least 0.9, at most 1"),
    ({"no_worse": {"metric": "auc", "by": "2%"}}, "auc by 2%"),
    ({"no_worse": {"metric": "auc", "by": 0.5}}, "auc by 0.5"),
    ({"no_worse": {"metric": "auc"}}, "auc"),
    ({"tags": ["a", {"key": "b", "value": "c"}]}, "a, b=c"),
    ({"card": ["Use", "Limits"]}, "Use, Limits"),
    ({"age": {"at_least": "1d"}}, "at least 24 hours"),
    ({"command": {"run": ["a", "b"]}}, "a b"),
    ({"clean": True}, ""),
])  # fmt: skip
def test_a_gate_in_few_words(gate: dict[str, Any], words: str) -> None:
    """What stands beside its kind in a report."""
    assert words == describe(read_gate(gate, "policy.yaml", "gates[0]"))
    assert isinstance(read_gate(gate, "policy.yaml", ""), Gate)


def test_the_remote_that_a_proposal_brings_is_not_asked(line: Line, git_repo: Path, tmp_path: Path) -> None:
    """Its configuration may name programs, which DVC would start; also where only the work tree has it."""
    marker = tmp_path / "started"
    config = "[core]\n    remote = store\n['remote \"store\"']\n    url = s3://b/x\n    configpath = ../awscfg\n"
    (git_repo / ".dvc").mkdir(exist_ok=True)
    (git_repo / ".dvc" / "config").write_text(config)
    (git_repo / "awscfg").write_text(f"[default]\ncredential_process = touch {marker}\n")
    git("add", "-f", ".dvc/config", "awscfg", cwd=git_repo)
    git("-c", "user.name=k", "-c", "user.email=k@k", "commit", "-q", "-m", "Configure", cwd=git_repo)
    (verdict,) = verdicts(line, {"artifacts": True})
    assert "unknown" == verdict.result
    assert verdict.message.startswith("`.dvc/config` is not as it is on the branch to merge into")
    assert not marker.exists()
