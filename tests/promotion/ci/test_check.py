"""The files of a registry, checked: what is wrong, in which line, and what to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from runstone.git.repository import Repository
from runstone.promotion.ci.annotations import format_github, format_gitlab, without_commands
from runstone.promotion.ci.approved import with_approvals
from runstone.promotion.ci.check import check, write_report
from runstone.promotion.ci.context import Context, find_context
from runstone.promotion.ci.file_checks import check_files
from runstone.promotion.ci.file_names import meant_path
from runstone.promotion.ci.files import File, add_versions, read_versions
from runstone.promotion.ci.findings import Finding, find_line
from runstone.promotion.ci.merged import merge_registry
from runstone.records import yaml
from runstone.tracking.workspace import Workspace
from tests.promotion.merged import request_in
from tests.promotion.support import alias_file, make_versions, propose, stage_file, write
from tests.support import git

VERSIONS = {"churn": {1: False, 2: False, 3: True, 4: False}}
SHOW = "`runstone models show churn`"
STAGE = "schema: runstone/stage/v1\n"
ALIAS = "schema: runstone/alias/v1\n"
POLICY = "schema: runstone/policy/v1\n"


def findings(**files: str) -> list[tuple[str, str, int, str]]:
    """What is wrong with some files, named below `registry/churn/` with `__` for a slash."""
    return findings_of({f"registry/churn/{name.replace('__', '/')}.yaml": text for name, text in files.items()})


def findings_of(files: dict[str, str]) -> list[tuple[str, str, int, str]]:
    """What is wrong with some files: level, path, line, and the sentence."""
    given = {path: File(path, "", text.encode()) for path, text in files.items()}
    found = check_files("registry", given, VERSIONS).findings
    return [(each.level, each.path.removeprefix("registry/"), each.line, each.message) for each in found]


def test_a_registry_in_which_nothing_is_wrong() -> None:
    """Every kind of file, as Runstone writes it, and files for git and for people."""
    files = {
        "runstone.yaml": "promotion: review\n",
        "registry/policy.yaml": POLICY,
        "registry/README.md": "About\n",
        "registry/.gitattributes": "* -text\n",
        "registry/churn/README.md": "# Card\n",
        "registry/churn/model.yaml": "schema: runstone/registered-model/v1\ndescription: It\n",
        "registry/churn/policy.yaml": POLICY + "aliases:\n  champion: {}\n",
        "registry/churn/stages/Production.yaml": stage_file(1, 2),
        "registry/churn/aliases/champion.yaml": alias_file(4),
        "registry/churn/versions/3.yaml": "schema: runstone/version-notes/v1\ndescription: Retired\n",
    }
    assert [] == findings_of(files)


def test_versions_that_do_not_exist() -> None:
    """In a stage, behind an alias, in notes: at the line that names them."""
    missing = f"there is no version 9 of 'churn', which has versions 1, 2 and 4. Name one that exists: {SHOW}"
    assert [
        ("error", "churn/aliases/champion.yaml", 2, missing),
        ("error", "churn/stages/Production.yaml", 4, missing),
        ("error", "churn/versions/9.yaml", 1, missing),
    ] == findings(
        stages__Production=f"{STAGE}versions:\n- 1\n- 9\n",
        aliases__champion=f"{ALIAS}version: 9\n",
        versions__9="schema: runstone/version-notes/v1\n",
    )


def test_a_retired_version_holds_no_place() -> None:
    """Neither a stage nor an alias; notes may stay."""
    retired = f"version 3 of 'churn' is retired. Name one that is not: {SHOW}"
    assert [
        ("error", "churn/aliases/champion.yaml", 2, retired),
        ("error", "churn/stages/Staging.yaml", 2, retired),
    ] == findings(stages__Staging=f"{STAGE}versions: [3]\n", aliases__champion=f"{ALIAS}version: 3\n")


def test_a_version_twice() -> None:
    """In one stage, or in two."""
    step = "Correct it, then: `runstone validate registry/churn/stages/Staging.yaml`"
    assert [
        (
            "error",
            "churn/stages/Staging.yaml",
            4,
            f"`versions[1]` must stand there once, but 2 stands there twice. {step}",
        )
    ] == findings(stages__Staging=f"{STAGE}versions:\n- 2\n- 2\n")
    where = "version 2 is in two stages: in `registry/churn/stages/Production.yaml`, too. Take it out of one of them"
    assert [("error", "churn/stages/Staging.yaml", 2, where)] == findings(
        stages__Staging=f"{STAGE}versions: [1, 2]\n", stages__Production=f"{STAGE}versions: [2]\n"
    )


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        (
            "production",
            "If `Production` was meant: "
            "`git mv registry/churn/stages/production.yaml registry/churn/stages/Production.yaml`",
        ),
        (
            "Prodution",
            "If `Production` was meant: "
            "`git mv registry/churn/stages/Prodution.yaml registry/churn/stages/Production.yaml`",
        ),
        (
            "Live",
            "Add it to `registry/policy.yaml` first, or remove the file: `git rm registry/churn/stages/Live.yaml`",
        ),
    ],
)
def test_an_unknown_stage(stage: str, step: str) -> None:
    """The one that was likely meant is named."""
    why = f"{stage!r} is no stage of the policy, which has Staging, Production, Archived"
    assert [("error", f"churn/stages/{stage}.yaml", 1, f"{why}. {step}")] == findings_of(
        {f"registry/churn/stages/{stage}.yaml": stage_file(1)}
    )


def test_the_policy_says_which_stages_there_are() -> None:
    """A model's own policy adds to the project's, wherever its folder stands in the order."""
    files = {
        "registry/policy.yaml": POLICY + "stages:\n  Canary: {holders: 1}\n",
        "registry/churn/policy.yaml": POLICY + "stages:\n  Live: {from: [Canary]}\n",
        "registry/churn/stages/Live.yaml": stage_file(1),
        "registry/churn/stages/Canary.yaml": f"{STAGE}versions: [2, 4]\n",
        "registry/churn/stages/Staging.yaml": f"{STAGE}versions: []\n",
    }
    assert [
        (
            "error",
            "churn/stages/Canary.yaml",
            2,
            "Canary has 2 versions, and the policy allows 1. Take out those that shall leave, as here the oldest: "
            "`runstone demote churn 2`",
        ),
        (
            "error",
            "churn/stages/Staging.yaml",
            1,
            "'Staging' is no stage of the policy, which has Canary, Live. Add it to `registry/policy.yaml` first, or "
            "remove the file: `git rm registry/churn/stages/Staging.yaml`",
        ),
    ] == findings_of(files)


def test_a_policy_that_contradicts_itself_or_is_misspelt() -> None:
    """The line of the rule; a key that nobody knows is warned of, since nothing would heed it."""
    text = POLICY + "stages:\n  Staging: {}\n  Production:\n    holders: 1\n    from: [Stagging]\nalias: {}\n"
    step = "Correct it, then: `runstone validate registry/policy.yaml`"
    why = "`stages.Production.from` names the stage 'Stagging', which the policy does not have"
    assert [("error", "policy.yaml", 6, f"{why}. {step}")] == findings_of({"registry/policy.yaml": text})
    text = POLICY + "stages:\n  Staging: {}\nalias: {}\n"
    warned = "`alias` is not known, so nothing heeds it. Did you mean `aliases`?"
    assert [("warning", "policy.yaml", 4, warned)] == findings_of({"registry/policy.yaml": text})
    text = POLICY + "stages:\n  Staging:\n    gates:\n    - metric: {name: auc}\n"
    why = "`stages.Staging.gates[0].metric.at_least` or `at_most` is missing"
    assert [("error", "policy.yaml", 5, f"{why}. {step}")] == findings_of({"registry/policy.yaml": text})


def test_yaml_that_is_broken() -> None:
    """The line is told; a value of the wrong kind stands at its own; a newer format says so."""
    step = "Correct it, then: `runstone validate registry/churn/stages/Production.yaml`"
    hint = "look for a missing quote or bracket, a tab, or wrong indentation there"
    path = "churn/stages/Production.yaml"
    for text, line, why in (
        (f"{STAGE}versions: [1\nnext: 2\n", 3, f"line 3 is not YAML; {hint}"),
        (f"{STAGE}\nversions: [1, x]\n", 3, '`versions[1]` must be a whole number of 1 or more, but is the text "x"'),
        (f"{STAGE}version: 1\n", 1, "`versions` is missing"),
        ("- 1\n", 1, "the document must be a map, but is a list"),
    ):
        assert [("error", path, line, f"{why}. {step}")] == findings(stages__Production=text)
    newer = findings(stages__Production="schema: runstone/stage/v2\nversions: [1]\n")
    why = "has the format `runstone/stage/v2`, and this Runstone reads up to `runstone/stage/v1`"
    assert [("error", path, 1, f"{why}. Upgrade: `pip install --upgrade runstone`")] == newer


def test_files_that_nothing_heeds() -> None:
    """A warning, with the file that was likely meant."""
    why = "is no file of the registry, so nothing heeds it"
    files = {
        "registry/churn/stage/Production.yml": stage_file(1),
        "registry/churn/Readme.md": "# Card\n",
        "registry/churn/notes.txt": "",
        "registry/churn/versions/v04.yaml": "",
        "registry/polices.yaml": "",
    }
    found = {path: message for level, path, _, message in findings_of(files) if level == "warning"}
    assert {
        "churn/stage/Production.yml": f"{why}. If `registry/churn/stages/Production.yaml` was meant: "
        "`git mv registry/churn/stage/Production.yml registry/churn/stages/Production.yaml`",
        "churn/Readme.md": f"{why}. If `registry/churn/README.md` was meant: "
        "`git mv registry/churn/Readme.md registry/churn/README.md`",
        "churn/notes.txt": f"{why}. Remove it: `git rm registry/churn/notes.txt`",
        "churn/versions/v04.yaml": f"{why}. If `registry/churn/versions/4.yaml` was meant: "
        "`git mv registry/churn/versions/v04.yaml registry/churn/versions/4.yaml`",
        "polices.yaml": f"{why}. If `registry/policy.yaml` was meant: "
        "`git mv registry/polices.yaml registry/policy.yaml`",
    } == found
    assert meant_path("registry", "registry/churn/stages/Production.yaml") is None


def test_names_that_cannot_be() -> None:
    """Paths that differ by case alone, an alias that means a version, a folder that is not encoded, one name twice."""
    name = "schema: runstone/registered-model/v1\nname: churn\n"
    files = {
        "registry/churn/aliases/Best.yaml": alias_file(1),
        "registry/churn/aliases/best.yaml": alias_file(1),
        "registry/churn/aliases/v1.yaml": alias_file(1),
        "registry/my model/README.md": "",
        "registry/churn/model.yaml": "schema: runstone/registered-model/v1\n",
        "registry/other/model.yaml": name,
    }
    assert [
        (
            "error",
            "churn/aliases/best.yaml",
            1,
            "differs from `registry/churn/aliases/Best.yaml` by case alone, and on many disks the two are one file. "
            "Remove one of them: `git rm registry/churn/aliases/best.yaml`",
        ),
        (
            "error",
            "churn/aliases/v1.yaml",
            1,
            "'v1' cannot be an alias: `latest`, numbers and `v<number>` already mean a version. "
            "Remove it: `git rm registry/churn/aliases/v1.yaml`",
        ),
        (
            "error",
            "my model",
            1,
            "is no folder of a model: that of 'my model' is `my%20model`. "
            "Rename it: `git mv 'registry/my model' registry/my%20model`",
        ),
        (
            "error",
            "other/model.yaml",
            2,
            "calls its model 'churn', as `registry/churn/model.yaml` does its own. Choose another `name`",
        ),
    ] == findings_of(files)


def test_a_request_is_named_after_its_run() -> None:
    """Or nobody would find it."""
    text = (
        f"schema: runstone/registration/v1\nrun: run-2\npath: model\nrecord: experiments/x\ncommit: {'a' * 40}\n"
        "digest: md5:1.dir\n"
    )
    why = "`run` must be the name of the file, but is 'run-2'"
    step = "Rename it: `git mv registry/churn/registrations/run-1.yaml registry/churn/registrations/run-2.yaml`"
    assert [("error", "churn/registrations/run-1.yaml", 2, f"{why}. {step}")] == findings_of(
        {"registry/churn/registrations/run-1.yaml": text}
    )


def test_the_line_of_a_key() -> None:
    """Also behind keys with dots, in lists, in any style; of what is missing, that of its place."""
    data = b"# c\nmetrics:\n  a.b: higher\n  'a.b.c': lower\nlist:\n- x: 1\n- {x: 2,\n   y: 3}\n"
    for key, line in (
        ("metrics.a.b", 3),
        ("metrics.a.b.c", 4),
        ("list[1].y", 8),
        ("list[1].z", 7),
        ("list[9]", 5),
        ("none", 1),
        ("metrics", 2),
    ):
        assert line == find_line(data, key), key
    assert 1 == find_line(b"a: [", "a")


def test_annotations_hold_no_commands() -> None:
    """What a finding says cannot end its line, its properties, or begin another command."""
    finding = Finding("error", "registry/a:b,c\n::warning::x", 3, "format", "50%: `a`, b\n::set-output name=x::y\r")
    line = (
        "::error file=registry/a%3Ab%2Cc\\n%3A%3Awarning%3A%3Ax,line=3,title=runstone format::"
        "50%25: `a`, b%0A::set-output name=x::y\\r"
    )
    assert line == format_github(finding)
    assert "a\n  :\u200b:error::x\n#\u200b#[y]\nb :: c" == without_commands("a\n  ::error::x\n##[y]\nb :: c")


def test_a_code_quality_report_tells_findings_apart() -> None:
    """Each has a fingerprint of its own that does not change when lines move."""
    one = Finding("error", "registry/x.yaml", 3, "format", "broken")
    moved = Finding("error", "registry/x.yaml", 9, "format", "broken")
    first, second = format_gitlab([one, moved])
    assert first["fingerprint"] != second["fingerprint"]
    assert first["fingerprint"] == format_gitlab([moved])[0]["fingerprint"]
    assert {
        "description": "broken",
        "check_name": "runstone/format",
        "severity": "major",
        "location": {"path": "registry/x.yaml", "lines": {"begin": 3}},
    } == {key: value for key, value in first.items() if key != "fingerprint"}


# --- with git


@pytest.fixture
def registry(git_repo: Path) -> Path:
    """Two versions of `churn`: the first in Production, the second in Staging."""
    make_versions(git_repo)
    files: dict[str, str | None] = {
        "registry/churn/stages/Production.yaml": stage_file(1),
        "registry/churn/stages/Staging.yaml": stage_file(2),
    }
    write(git_repo, files, "Begin the registry")
    return git_repo


PROMOTE: dict[str, str | None] = {
    "registry/churn/stages/Production.yaml": stage_file(2),
    "registry/churn/stages/Staging.yaml": None,
}


def checked(repo: Path, head: str, **options: bool) -> tuple[str, list[tuple[str, int, str]]]:
    """The result of checking a branch, and its findings."""
    workspace = Workspace(Repository.open(repo))
    found = check(workspace, find_context(workspace.repo, base="main", head=head, environ={}), **options)
    workspace.repo.close()
    return found.result, [(each.path, each.line, each.message) for each in found.findings]


def test_what_main_got_meanwhile_is_not_the_proposals(registry: Path) -> None:
    """Changes are judged as they would be after the merge; nothing that main did is undone or judged."""
    propose(registry, PROMOTE, "Promote churn v2", "promote/churn-v2-production")
    write(registry, {"registry/churn/aliases/champion.yaml": alias_file(1)}, "An alias")
    assert ("pass", []) == checked(registry, "promote/churn-v2-production")
    workspace = Workspace(Repository.open(registry))
    found = check(workspace, find_context(workspace.repo, base="main", head="promote/churn-v2-production", environ={}))
    assert found.judgement is not None
    assert ["StageChange", "StageChange"] == [type(each.change).__name__ for each in found.judgement.judged]


def test_a_file_that_both_sides_changed_conflicts(registry: Path) -> None:
    """It is told which, and what to do."""
    propose(registry, PROMOTE, "Promote churn v2", "promote/churn-v2-production")
    write(registry, {"registry/churn/stages/Production.yaml": None}, "Demote v1")
    why = "was changed on the target branch, too, since this proposal was made, so it cannot be merged"
    result, found = checked(registry, "promote/churn-v2-production")
    step = "Make it anew from there: `runstone proposals refresh promote/churn-v2-production`"
    assert ("fail", [("registry/churn/stages/Production.yaml", 1, f"{why}. {step}")]) == (result, found)


def test_two_sides_that_together_put_a_version_in_two_stages(registry: Path) -> None:
    """No file conflicts, and still it is found: files are checked as they would be after the merge."""
    propose(registry, PROMOTE, "Promote churn v2", "promote/churn-v2-production")
    moved: dict[str, str | None] = {
        "registry/churn/stages/Staging.yaml": None,
        "registry/churn/stages/Archived.yaml": stage_file(2),
    }
    write(registry, moved, "Archive v2")
    result, found = checked(registry, "promote/churn-v2-production")
    assert "fail" == result
    why = "version 2 is in two stages: in `registry/churn/stages/Archived.yaml`, too. Take it out of one of them"
    assert ("registry/churn/stages/Production.yaml", 3, why) in found


def test_the_policy_of_the_base_judges(registry: Path) -> None:
    """A proposal that loosens the policy for itself is judged by the one that stands."""
    strict = POLICY + "stages:\n  Staging: {}\n  Production:\n    gates:\n    - tags: [approved-by-legal]\n"
    write(registry, {"registry/policy.yaml": strict}, "Ask for a tag")
    loose: dict[str, str | None] = {"registry/policy.yaml": POLICY, **PROMOTE}
    propose(registry, loose, "Promote churn v2, and loosen the policy", "promote/churn-v2-production")
    result, found = checked(registry, "promote/churn-v2-production")
    assert "fail" == result
    assert ["registry/churn/stages/Production.yaml"] == [path for path, _, _ in found]
    assert found[0][2].startswith("tags approved-by-legal: ")
    assert ("pass", []) == checked(registry, "promote/churn-v2-production", gates=False)


def test_a_policy_of_the_base_that_cannot_be_read_decides_nothing(registry: Path) -> None:
    """Neither pass nor fail, even where the proposal mends it."""
    write(registry, {"registry/policy.yaml": POLICY + "stages: 3\n"}, "Break the policy")
    mended: dict[str, str | None] = {"registry/policy.yaml": POLICY, **PROMOTE}
    propose(registry, mended, "Mend it", "mend")
    result, found = checked(registry, "mend")
    assert "unknown" == result
    assert [("registry/policy.yaml", 1)] == [(path, line) for path, line, _ in found]
    assert "so nothing can be judged by it" in found[0][2]


def test_the_merge_that_is_judged_touches_nothing(registry: Path) -> None:
    """It has both parents, only the registry's files of the proposal, and no ref names it."""
    changed: dict[str, str | None] = {**PROMOTE, "train.py": "print('theirs')\n"}
    head = propose(registry, changed, "Promote and train", "both")
    base = write(registry, {"train.py": "print('ours')\n"}, "Train")
    repo = Repository.open(registry)
    before = git("for-each-ref", cwd=registry)
    fork = git("merge-base", base, head, cwd=registry)
    merged = merge_registry(repo, base, head, fork)
    assert () == merged.conflicts
    assert f"{base} {head}" == git("log", "-1", "--format=%P", merged.commit, cwd=registry)
    assert "print('ours')" == git("show", f"{merged.commit}:train.py", cwd=registry)
    assert "Production.yaml" == git("ls-tree", "--name-only", f"{merged.commit}:registry/churn/stages", cwd=registry)
    assert before == git("for-each-ref", cwd=registry)
    assert (head, base) == (
        merge_registry(repo, None, head, None).commit,
        merge_registry(repo, base, fork, fork).commit,
    )


def test_versions_are_annotated_tags_here_or_on_the_remote(registry: Path) -> None:
    """A project's own plain tag is none; a retirement is one."""
    git("tag", "lib@v7", cwd=registry)
    git("tag", "-a", "-m", "Retire", "churn@v2!", cwd=registry)
    known = read_versions(Repository.open(registry))
    assert {"churn": {1: False, 2: True}} == known
    assert {"churn": {1: False, 2: True, 3: True}, "x": {1: False}} == add_versions(known, ["churn@v3!", "x@v1", "y"])


def test_a_version_that_may_be_on_a_remote_nobody_can_ask(registry: Path) -> None:
    """Whether it is missing cannot be told."""
    head = write(registry, {"registry/churn/stages/Staging.yaml": stage_file(9)}, "Stage v9")
    workspace = Workspace(Repository.open(registry))
    found = check(workspace, Context(head, head, head, note="The remote `origin` cannot be reached."))
    assert ("unknown", 1) == (found.result, found.count("unknown"))
    assert found.findings[0].message.endswith("It may be on the remote: The remote `origin` cannot be reached.")


@pytest.mark.parametrize("text", ["promotion: direct\n", "promotion: [\n"])
def test_settings_are_told_as_what_they_are(git_repo: Path, text: str) -> None:
    """Of their own file: in the report, and with the approvals that they lack; said once where they are broken."""
    write(git_repo, {"runstone.yaml": "promotion: review\n", "registry/policy.yaml": POLICY}, "Review")
    head = propose(git_repo, {"runstone.yaml": text}, "Let everybody", "settings")
    workspace = Workspace.open(git_repo)
    found = check(workspace, find_context(workspace.repo, base="main", head="settings", environ={}))
    assert head == found.merged
    assert "### `settings changed`" in write_report(workspace, found)
    broken = ["runstone.yaml"] if text.endswith("[\n") else []
    assert broken == [each.path for each in found.findings]
    told = with_approvals(workspace.repo, found).findings
    assert ("unknown", "runstone.yaml") in [(each.level, each.path) for each in told]


def test_a_conflict_that_git_left_is_called_one() -> None:
    """At its first line, with what to do; not as a missing bracket."""
    text = f"{STAGE}<<<<<<< HEAD\nversions: [1]\n=======\nversions: [2]\n>>>>>>> theirs\n"
    (found,) = findings(stages__Production=text)
    assert ("error", "churn/stages/Production.yaml", 2) == found[:3]
    assert (
        "line 2 begins a conflict that git left when it merged (`<<<<<<<`). Keep the one side or the other, and remove "
        "the lines `<<<<<<<`, `=======` and `>>>>>>>`"
    ) == found[3]


@pytest.mark.parametrize("archived", [True, False])
def test_who_makes_room_is_told_where_it_goes(registry: Path, archived: bool) -> None:
    """Of the file that has to name it, at its `versions`; also where the version that comes does not exist."""
    policy = f"{POLICY}stages:\n  Production: {{holders: 1, previous: Archived}}\n  Archived: {{}}\n  Staging: {{}}\n"
    files: dict[str, str | None] = {"registry/policy.yaml": policy}
    if archived:
        files["registry/churn/stages/Archived.yaml"] = f"{STAGE}# old ones\nversions: []\n"
    write(registry, files, "Rules")
    propose(registry, {"registry/churn/stages/Production.yaml": stage_file(44)}, "Promote", "odd")
    result, found = checked(registry, "odd")
    assert "fail" == result
    missing = f"there is no version 44 of 'churn', which has versions 1 to 2. Name one that exists: {SHOW}"
    assert missing in [text for _, _, text in found]
    why = (
        "churn v1 makes room for v44 in Production, and the policy sends it to Archived (`previous`), not to no stage."
    )
    path = "registry/churn/stages/Archived.yaml"
    if archived:
        assert (path, 3, f"{why} Add 1 to `versions` in `{path}`") in found
    else:
        here = ("registry/churn/stages/Production.yaml", 3)
        assert (*here, f"{why} Make the file `{path}`, with 1 in its `versions`") in [
            (each[0], 3, each[2]) for each in found
        ]


def test_a_request_with_another_digest_is_told_at_its_line(registry: Path) -> None:
    """With how to make it anew."""
    asked = replace(request_in(registry, "churn-run-1"), digest=f"md5:{'0' * 32}.dir")
    text = yaml.dump(asked.to_document())
    path = "registry/fresh/registrations/churn-run-1.yaml"
    propose(registry, {path: text}, "Register", "register/1")
    _, found = checked(registry, "register/1")
    (at,) = [(where, line, why) for where, line, why in found if "has the digest" in why]
    line = next(number for number, row in enumerate(text.split("\n"), 1) if row.startswith("digest: "))
    assert (path, line) == at[:2]
    assert at[2].endswith("anew from the run: `runstone register fresh --run churn-run-1 --propose`")
