"""A reviewer's pipeline: every wrong file is told with its line and what to do, from a clone of one commit."""

import tempfile
from pathlib import Path

import pytest

from runstone.registry.version import register_version
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace
from tests.cli.support import run_cli
from tests.promotion.support import ANN, stage_file, write
from tests.registry.support import log_model
from tests.sharing import Team
from tests.support import git

STAGE = "schema: runstone/stage/v1\n"
POLICY = """\
schema: runstone/policy/v1
stages:
  Staging:
    from: [None]
  Production:
    from: [Staging]
    holders: 1
    previous: Archived
  Archived:
    from: [Production]
"""
PRODUCTION, STAGING, ARCHIVED = (f"registry/churn/stages/{name}.yaml" for name in ("Production", "Staging", "Archived"))


@pytest.fixture
def ann(team: Team) -> Path:
    """Ann's clone: three versions of `churn`, the first in Production, the second, of code that was never committed, in
    Staging; all of it shared.
    """
    path = team.folder / "ann"
    workspace = Workspace.open(path)
    for number in (1, 2, 3):
        (path / "train.py").write_text("print('better')\n" if number == 2 else "print('trained')\n")
        register_version(workspace, "churn", log_model(workspace, f"run-{number}", text="w" * number))
    files: dict[str, str | None] = {
        "registry/policy.yaml": POLICY,
        PRODUCTION: stage_file(1),
        STAGING: stage_file(2),
    }
    write(path, files, "Begin the registry")
    sync(Workspace.open(path))
    git("push", "-q", "origin", "main", cwd=path)
    return path


def pipeline(team: Team, ann: Path, files: dict[str, str | None], command: str) -> tuple[int, str]:
    """Ann pushes a branch with some files changed; what a command of its pipeline says, in a clone of one commit."""
    git("checkout", "-q", "-B", "proposal", "main", cwd=ann)
    head = write(ann, files, "Change the registry", ANN)
    git("push", "-q", "--force", "origin", "proposal", cwd=ann)
    ci = Path(tempfile.mkdtemp(prefix="ci-", dir=team.folder))
    git("init", "-q", ci, cwd=team.folder)
    git("remote", "add", "origin", team.remote.as_uri(), cwd=ci)
    git("fetch", "-q", "--no-tags", "--depth=1", "origin", head, cwd=ci)
    git("checkout", "-q", "--detach", head, cwd=ci)
    variables = {
        "GITLAB_CI": "true",
        "CI_COMMIT_SHA": head,
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "proposal",
    }
    done = run_cli("ci", command, cwd=ci, env=variables)
    assert "" == done.stderr
    return done.returncode, done.stdout


def check(team: Team, ann: Path, files: dict[str, str | None]) -> tuple[int, list[str]]:
    """What the check of such a branch finds, the summary left out."""
    code, said = pipeline(team, ann, files, "check")
    return code, [line for line in said.splitlines() if ": error: " in line or ": warning: " in line]


def test_a_sound_promotion_passes(team: Team, ann: Path) -> None:
    """Version 2 goes to Production, version 1 makes room; the report compares their runs, and the code they ran."""
    files: dict[str, str | None] = {PRODUCTION: stage_file(2), STAGING: None, ARCHIVED: stage_file(1)}
    assert (0, []) == check(team, ann, files)
    code, report = pipeline(team, ann, files, "report")
    assert 0 == code
    assert "| `churn` | `churn v1: Production → Archived` | makes room |" in report
    assert "1 file changed, 1 insertion(+), 1 deletion(-): `runstone diff churn@v1 churn@v2 --code`" in report
    assert "| `train.py` | +1 | −1 |" in report


SHOW = "Name one that exists: `runstone models show churn`"
WRONG: dict[str, tuple[dict[str, str | None], str]] = {
    "a version that does not exist": (
        {STAGING: f"{STAGE}versions:\n- 2\n- 7\n"},
        f"{STAGING}:4: error: there is no version 7 of 'churn', which has versions 1 to 3. {SHOW}",
    ),
    "a version twice in a stage": (
        {STAGING: f"{STAGE}versions:\n- 2\n- 2\n"},
        f"{STAGING}:4: error: `versions[1]` must stand there once, but 2 stands there twice. "
        f"Correct it, then: `runstone validate {STAGING}`",
    ),
    "a version in two stages": (
        {ARCHIVED: f"{STAGE}versions: [1]\n"},
        f"{PRODUCTION}:3: error: version 1 is in two stages: in `{ARCHIVED}`, too. Take it out of one of them",
    ),
    "an unknown stage": (
        {"registry/churn/stages/Prod.yaml": f"{STAGE}versions: [3]\n"},
        "registry/churn/stages/Prod.yaml:1: error: 'Prod' is no stage of the policy, which has Staging, Production, "
        f"Archived. If `Production` was meant: `git mv registry/churn/stages/Prod.yaml {PRODUCTION}`",
    ),
    "an illegal transition": (
        {PRODUCTION: f"{STAGE}versions: [3]\n", ARCHIVED: f"{STAGE}versions: [1]\n"},
        f"{PRODUCTION}:2: error: churn v3 comes from no stage, and the policy lets a version enter Production from "
        "Staging only. First: `runstone promote churn 3 --stage Staging`",
    ),
    "too many in a stage": (
        {PRODUCTION: f"{STAGE}versions: [1, 2]\n", STAGING: None},
        f"{PRODUCTION}:2: error: Production of churn would hold 2 versions (v1, v2), and the policy allows 1 "
        "(`holders`). Let it make room: `runstone promote churn 2 --stage Production --propose`",
    ),
    "an alias of a version that does not exist": (
        {"registry/churn/aliases/champion.yaml": "schema: runstone/alias/v1\nversion: 12\n"},
        "registry/churn/aliases/champion.yaml:2: error: there is no version 12 of 'churn', which has versions 1 to 3. "
        f"{SHOW}",
    ),
    "broken YAML": (
        {PRODUCTION: "schema: runstone/stage/v1\nversions: [1\nx: 2\n"},
        f"{PRODUCTION}:3: error: line 3 is not YAML; look for a missing quote or bracket, a tab, or wrong indentation "
        f"there. Correct it, then: `runstone validate {PRODUCTION}`",
    ),
    "a policy that contradicts itself": (
        {"registry/policy.yaml": POLICY.replace("[Staging]", "[Stagin]")},
        "registry/policy.yaml:6: error: `stages.Production.from` names the stage 'Stagin', which the policy does not "
        "have. Correct it, then: `runstone validate registry/policy.yaml`",
    ),
}


def test_what_is_wrong_is_told_with_file_and_line(team: Team, ann: Path) -> None:
    """The whole message, once."""
    for what, (files, said) in WRONG.items():
        assert (1, [said]) == check(team, ann, files), what


def test_a_file_that_nothing_heeds_is_warned_of(team: Team, ann: Path) -> None:
    """A misspelt folder promotes nobody; it is no failure."""
    said = (
        "registry/churn/stage/Production.yml:1: warning: is no file of the registry, so nothing heeds it. If "
        "`registry/churn/stages/Production.yaml` was meant: "
        "`git mv registry/churn/stage/Production.yml registry/churn/stages/Production.yaml`"
    )
    assert (0, [said]) == check(team, ann, {"registry/churn/stage/Production.yml": stage_file(3)})


def test_two_people_propose_the_same_stage(team: Team, ann: Path) -> None:
    """The second one's pipeline says that it conflicts, and how to mend that."""
    first: dict[str, str | None] = {PRODUCTION: None, ARCHIVED: stage_file(1)}
    second: dict[str, str | None] = {
        PRODUCTION: stage_file(2),
        STAGING: None,
        ARCHIVED: stage_file(1),
    }
    bob = team.clone("bob")
    write(bob, first, "Demote churn v1")
    git("push", "-q", "origin", "main", cwd=bob)
    code, said = check(team, ann, second)
    assert 1 == code
    assert (
        f"{PRODUCTION}:1: error: was changed on the target branch, too, since this proposal was made, so it cannot be "
        "merged. Make it anew from there: `runstone proposals refresh proposal`"
    ) in said
