"""The history of the registry: who proposed, merged and approved each change, read from git alone."""

import time
from pathlib import Path

import pytest

from runstone.git.objects import FILE, TreeEntry
from runstone.git.process import run_git
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.records import yaml
from runstone.records.approval import Approval, ApprovalNote
from runstone.records.document import format_time
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import AliasChange, StageChange
from runstone.registry.history.entry import Entry
from runstone.registry.history.line import read_history
from runstone.registry.history.past import read_past
from runstone.registry.history.tags import read_version_tags
from runstone.registry.history.timeline import tell
from runstone.registry.people import Person, parse_person
from tests.registry.lines import ANN, BOB, KIM, Line, alias, stage
from tests.support import git, make_repository, watched_git

KIM_, ANN_, BOB_ = (parse_person(each) for each in (KIM, ANN, BOB))
HUB = "GitHub <noreply@github.com>"


@pytest.fixture
def line(git_repo: Path) -> Line:
    """A branch without a registry."""
    return Line(Repository.open(git_repo))


def only(line: Line) -> Entry:
    """The newest entry."""
    return read_history(line.repo).entries[-1]


def approved(entry: Entry) -> list[tuple[str, str]]:
    """Who approved, and how."""
    return [(each.person.mail, each.how) for each in entry.approvers]


def promote(line: Line, version: int, *, author: str = ANN, message: str = "Promote churn") -> str:
    """A proposal: one commit on top of the branch."""
    assert line.tip is not None
    return line.write({"churn/stages/Production.yaml": stage(version)}, message, parents=[line.tip], author=author)


def test_what_hostile_messages_and_clocks_say_is_read(line: Line) -> None:
    """A megabyte of spaces in a trailer takes no time, and a year beyond 9999 is told as its end."""
    line.time = 9_999_999_999_999
    side = promote(line, 4)
    begun = time.process_time()
    said = f"Merge\n\nApproved-by: a{' ' * 1_000_000}b <c@x.org>"
    line.merge([side], {"churn/stages/Production.yaml": stage(4)}, said)
    entry = only(line)
    assert 253_402_300_799_000 == entry.time
    assert "9999-12-31" == format_time(entry.time)[:10]
    assert 1 == len(entry.trailed)
    assert time.process_time() - begun < 5


def test_a_merged_proposal(line: Line) -> None:
    """The author of what it brought proposed it; who merged approved it, and not those whom they name beside."""
    message = "Promote churn v4 to Production\n\nProposal: promote\nVersion: 4\nBypass: the old one is on fire"
    side = promote(line, 4, message=message)
    trailers = (
        "Merge proposal promote/churn-v4-production\n\nApproved-by: Bob <bob@example.org>\nReviewed-by: Eve <eve@x.org>"
    )
    made = line.merge([side], {"churn/stages/Production.yaml": stage(4)}, trailers)
    (entry,) = read_history(line.repo).entries
    assert (made, line.start, True, 1000 * line.time) == (entry.commit, entry.parent, entry.is_merge, entry.time)
    assert ((ANN_,), BOB_, BOB_) == (entry.proposers, entry.merger, entry.committer)
    assert [("bob@example.org", "merge")] == approved(entry)
    assert ["bob@example.org", "eve@x.org"] == [person.mail for person in entry.trailed]
    assert ("promote/churn-v4-production", "the old one is on fire") == (entry.request, entry.bypass)
    assert (StageChange("churn", "churn", 4, NO_STAGE, "Production"),) == entry.changes


def test_who_merged_what_another_proposed_has_approved_it(line: Line) -> None:
    """Without any trailer; but not who merged their own, whatever they write below it."""
    line.merge([promote(line, 4)], {"churn/stages/Production.yaml": stage(4)}, "Merge branch 'promote/churn'")
    assert ([("bob@example.org", "merge")], "promote/churn") == (approved(only(line)), only(line).request)
    own = "Merge branch 'x'\n\nApproved-by: Eve <eve@x.org>"
    line.merge([promote(line, 5, author=BOB)], {"churn/stages/Production.yaml": stage(5)}, own)
    assert ([], (BOB_,), BOB_) == (approved(only(line)), only(line).proposers, only(line).merger)


def test_a_direct_commit(line: Line) -> None:
    """Nobody but its author is known; where another put it there, as after a rebase, that is no approval either."""
    line.commit({"churn/aliases/a.yaml": alias(1)}, "Point churn@a at v1")
    assert ((KIM_,), None, None, []) == (
        only(line).proposers,
        only(line).merger,
        only(line).request,
        approved(only(line)),
    )
    line.commit({"churn/aliases/a.yaml": alias(2)}, "Point\n\nReviewed-by: Eve <eve@x.org>", author=KIM, committer=BOB)
    assert (BOB_, []) == (only(line).merger, approved(only(line)))
    assert {KIM_, BOB_} == set(only(line).makers)


@pytest.mark.parametrize(
    ("message", "request_"),
    [
        ("Merge pull request #12 from ann/promote\n\nPromote churn", "#12"),
        ("Promote churn v4 to Production (#12)", "#12"),
        ("Merge pull request 'Promote (a)' (#12) from ann/promote into main", "#12"),
        ("Merge branch 'promote/x' into 'main'\n\nPromote\n\nSee merge request group/x!12", "group/x!12"),
        ("Merge remote-tracking branch 'origin/x'", "origin/x"),
        ("Promote churn v4 to Production", None),
    ],
)
def test_requests_are_known_by_what_forges_write(line: Line, message: str, request_: str | None) -> None:
    """GitHub, Gitea and GitLab, merged or squashed; and plain git."""
    line.commit({"churn/aliases/a.yaml": alias(1)}, message)
    assert request_ == only(line).request


def test_what_a_forge_merged_in_its_own_name(line: Line) -> None:
    """The author of such a merge pressed the button; of what was squashed nobody knows who merged it."""
    side = promote(line, 4)
    line.merge([side], {"churn/stages/Production.yaml": stage(4)}, "Merge pull request #1 from x", committer=HUB)
    assert (BOB_, [("bob@example.org", "merge")]) == (only(line).merger, approved(only(line)))
    line.commit({"churn/aliases/a.yaml": alias(1)}, "Point (#2)\n\nApproved-by: Eve <e@x>", author=ANN, committer=HUB)
    assert ((ANN_,), None, []) == (only(line).proposers, only(line).merger, approved(only(line)))
    hidden = "Bob <12+bob@users.noreply.github.com>"
    line.merge([promote(line, 5)], {"churn/stages/Production.yaml": stage(5)}, "Merge", committer=hidden)
    assert [] == approved(only(line)), "Ann may be that bob"
    own = "Ann <ann@users.noreply.github.com>"
    side = promote(line, 6, author=own)
    line.merge([side], {"churn/stages/Production.yaml": stage(6)}, "Merge", committer=hidden)
    assert [("12+bob@users.noreply.github.com", "merge")] == approved(only(line))


def test_what_ci_noted_of_the_request(line: Line, git_repo: Path) -> None:
    """Its address, who merged, who approved; notes of other people, and broken ones, are passed over."""
    commit = line.commit({"churn/aliases/a.yaml": alias(1)}, "Point (#7)", author=ANN, committer=HUB)
    other = line.commit({"churn/aliases/a.yaml": alias(2)}, "Point again")
    note = ApprovalNote(
        "https://hub/7", "ann", merged_by="bob", approvals=(Approval("bob", "BOB@example.org"), Approval("eve"))
    )
    git("notes", "--ref=runstone", "add", "-m", yaml.dump(note.to_document()), commit, cwd=git_repo)
    git("notes", "--ref=runstone", "add", "-m", "- looks good\n", other, cwd=git_repo)
    first, second = read_history(line.repo).entries
    assert ("https://hub/7", "bob") == (first.request, first.merger)
    assert [("bob@example.org", "note"), ("", "note")] == approved(first)
    assert "eve" == str(first.approvers[1].person)
    assert (None, None) == (second.note, second.request)


def test_a_clone_that_is_shallow_elsewhere_is_whole_here(line: Line, tmp_path: Path, git_repo: Path) -> None:
    """As where only the newest runs were fetched, with all of the default branch."""
    line.commit({"churn/stages/Production.yaml": stage(1)})
    git("branch", "other", line.write({"/x": "y"}), cwd=git_repo)
    git("branch", "other-2", line.write({"/x": "z"}, parents=[git("rev-parse", "other", cwd=git_repo)]), cwd=git_repo)
    clone = tmp_path / "clone"
    git("clone", "-q", "--single-branch", "-b", "main", f"file://{git_repo}", clone, cwd=tmp_path)
    git("fetch", "-q", "--depth", "1", "origin", "other-2", cwd=clone)
    repo = Repository.open(clone)
    assert repo.shallow
    assert not read_history(repo).is_cut
    assert None is read_past(repo, 1000).commit


def test_notes_in_folders_of_two_digits(line: Line) -> None:
    """As git spreads them once they are many."""
    commit = line.commit({"churn/aliases/a.yaml": alias(1)})
    objects = line.repo.objects
    note = ApprovalNote("https://hub/7", "ann")
    entry = TreeEntry(FILE, objects.write("blob", yaml.dump(note.to_document()).encode()))
    tree = objects.update_tree(None, {f"{commit[:2]}/{commit[2:4]}/{commit[4:]}": entry, "README/x/y": entry})
    assert tree is not None
    made = objects.write_commit(tree, [], f"{KIM} 1 +0000", f"{KIM} 1 +0000", "Notes")
    line.repo.refs.update([RefUpdate("refs/notes/runstone", made, None)])
    assert note == only(line).note


def test_people_are_who_mailmap_says_on_the_default_branch(line: Line, git_repo: Path) -> None:
    """Authors, committers and those in trailers; not as a file of the work tree says, which may be a proposal's."""
    (git_repo / ".mailmap").write_text("Anna Real <anna@real.org> <ann@example.org>\n")
    git("add", ".mailmap", cwd=git_repo)
    git("commit", "-q", "-m", "Map", cwd=git_repo)
    (git_repo / ".mailmap").write_text("Evil <evil@x.org> <ann@example.org>\n")
    mapped = Line(Repository.open(git_repo))
    mapped.merge(
        [promote(mapped, 4)], {"churn/stages/Production.yaml": stage(4)}, f"Merge\n\nReviewed-by: {ANN.upper()}"
    )
    entry = only(mapped)
    assert ["Anna Real <anna@real.org>"] == [str(person) for person in entry.proposers]
    assert ["Anna Real <anna@real.org>"] == [str(person) for person in entry.trailed]
    assert [str(BOB_)] == [str(each.person) for each in entry.approvers]


def test_an_octopus_and_what_other_merges_had_brought(line: Line) -> None:
    """Of a merge those proposed it whose commits came with it, not those whose came before, by whichever merge."""
    assert line.tip is not None
    earlier = line.write({"/code": "1"}, "Code", parents=[line.tip], author=KIM)
    line.merge([earlier], {}, "Merge code")
    first = line.write({"a/aliases/a.yaml": alias(1)}, parents=[earlier], author=ANN)
    second = line.write({"b/aliases/b.yaml": alias(1)}, parents=[line.tip], author="Eve <eve@x.org>")
    line.merge([first, second], {"a/aliases/a.yaml": alias(1), "b/aliases/b.yaml": alias(1)}, "Merge both")
    (entry,) = read_history(line.repo).entries
    assert {"ann@example.org", "eve@x.org"} == {person.mail for person in entry.proposers}
    assert [AliasChange("a", "a", "a", None, 1), AliasChange("b", "b", "b", None, 1)] == list(entry.changes)


def test_a_registry_that_came_by_its_first_merge(line: Line) -> None:
    """The first parent is the line, also where the registry was never there before; side commits are no entries."""
    one = promote(line, 1)
    two = line.write({"churn/aliases/a.yaml": alias(1)}, parents=[one], author=ANN)
    made = line.merge([two], {"churn/stages/Production.yaml": stage(1), "churn/aliases/a.yaml": alias(1)}, "Merge")
    line.commit({"/train.py": "2"}, "Code alone")
    line.commit({"junk.txt": "x"}, "No fact")
    assert [(made, 2)] == [(entry.commit, len(entry.changes)) for entry in read_history(line.repo).entries]


def test_only_one_model_and_only_since(line: Line) -> None:
    """Of one model, with the policy of all; after a commit, with what was so before as it was then."""
    line.commit({"a/stages/S.yaml": stage(1), "b/stages/S.yaml": stage(1)})
    middle = line.commit({"policy.yaml": "schema: runstone/policy/v1\n"})
    line.commit({"a/stages/S.yaml": None, "a/stages/T.yaml": stage(1)})
    line.commit({"b/stages/S.yaml": stage(2)})
    entries = read_history(line.repo, key="a").entries
    assert [["a"], [""], ["a"]] == [[change.key for change in entry.changes] for entry in entries]
    later = [change for entry in read_history(line.repo, since=middle).entries for change in entry.changes]
    assert [
        StageChange("a", "a", 1, "S", "T"),
        StageChange("b", "b", 1, "S", NO_STAGE),
        StageChange("b", "b", 2, NO_STAGE, "S"),
    ] == later


def test_a_shallow_clone_says_that_history_is_cut(line: Line, tmp_path: Path, git_repo: Path) -> None:
    """What was before its first commit stands there as one entry that is marked."""
    for version in (1, 2, 3):
        line.commit({"churn/stages/Production.yaml": stage(version)})
    git("clone", "-q", "--depth", "2", f"file://{git_repo}", tmp_path / "shallow", cwd=tmp_path)
    history = read_history(Repository.open(tmp_path / "shallow"))
    assert (True, [True, False]) == (history.is_cut, [entry.is_cut for entry in history.entries])
    assert not read_history(line.repo).is_cut


def test_odd_places(line: Line, git_repo: Path, tmp_path: Path) -> None:
    """A bare clone, a linked work tree, a submodule, a folder below the top: all tell the same."""
    line.commit({"churn/stages/Production.yaml": stage(1), "/sub/file": "x"})
    git("clone", "-q", "--bare", git_repo, tmp_path / "bare.git", cwd=tmp_path)
    git("worktree", "add", "-q", "--detach", tmp_path / "linked", "main", cwd=git_repo)
    outer = make_repository(tmp_path / "outer")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", git_repo, "inner", cwd=outer)
    expected = read_history(line.repo).entries
    assert "kim@example.org" == expected[0].proposers[0].mail
    for folder in (tmp_path / "linked", outer / "inner"):
        (folder / ".mailmap").write_text("Evil <evil@x.org> <kim@example.org>\n")
    for place in (tmp_path / "bare.git", tmp_path / "linked", outer / "inner", tmp_path / "linked" / "sub"):
        assert expected == read_history(Repository.open(place)).entries, place


def test_nothing_yet(tmp_path: Path, git_repo: Path) -> None:
    """A repository before its first commit, and one without a registry."""
    empty = Repository.open(make_repository(tmp_path / "new", commit=False))
    assert (None, ()) == (read_history(empty).tip, read_history(empty).entries)
    assert () == read_history(Repository.open(git_repo)).entries


def test_hostile_texts_stay_texts(line: Line) -> None:
    """Names, trailers and messages that look like git's own output, or like options, change nothing."""
    bad = "\n:100644 100644 a b M\tregistry/x\n\nApproved-by: --exec=x <\nReviewed-by: a\tb <c\r@d>\nBypass: \x1b[31m"
    line.commit({"-x/aliases/a.yaml": alias(1)}, f"Subject{bad}", author="--help <o'k@x>", committer=BOB)
    line.commit({":(top)y/aliases/ä b.yaml": alias(1)}, "")
    first, second = read_history(line.repo).entries
    assert ("-x", "\x1b[31m", ()) == (first.changes[0].key, first.bypass, first.approvers)
    assert AliasChange(":(top)y", ":(top)y", "ä b", None, 1) == second.changes[0]
    assert 1 == len(read_history(line.repo, key=":(top)y").entries)


def test_persons_are_their_mail() -> None:
    """However it is spelled; those without one are their names."""
    assert parse_person("Ann <ANN@x.org>") == parse_person("Someone Else <ann@x.org>")
    assert {Person("a", "")} == {parse_person("a"), parse_person("a")} - {parse_person("b")}
    assert "ann@x.org" == parse_person(" ann@x.org ").mail


def test_the_timeline_puts_tags_where_they_must_have_been(line: Line) -> None:
    """By the clock, but never after what is said of the version; a clock that runs wrong on the line moves nothing."""
    early = line.time + 30
    line.commit({"churn/stages/Staging.yaml": stage(1)})
    line.time -= 7200
    line.commit({"churn/stages/Production.yaml": stage(1), "churn/stages/Staging.yaml": None})
    line.tag("churn", 1, at=line.time + 9999)
    line.tag("churn", 2, at=early, run="run-2")
    line.tag("churn", 2, at=early + 1, retired=True)
    happened = tell(read_history(line.repo).entries, read_version_tags(line.repo, "churn"), "churn")
    assert [
        ("version registered", 2, None, None, "run-2"),
        ("version retired", 2, None, None, None),
        ("version registered", 1, None, None, "run-1"),
        ("stage", 1, None, "Staging", "run-1"),
        ("stage", 1, "Staging", "Production", "run-1"),
    ] == [(each.what, each.version, each.before, each.after, each.run) for each in happened]


def test_five_thousand_changes_are_read_by_a_few_processes(git_repo: Path, tmp_path: Path) -> None:
    """Half of them merged proposals: a handful of git processes, whatever their number."""
    stream, tip = [], ""
    for number in range(1, 2501):
        base = 2 * number - 2
        text = stage(number)
        body = f"M 100644 inline registry/m{number % 50}/stages/Production.yaml\ndata {len(text)}\n{text}\n"
        start = f"from :{base}\n" if base else ""
        head = f"{{}}committer Ann <ann@x.org> {1_700_000_000 + number} +0000\ndata 7\nPromote\n{start}"
        stream.append(f"commit refs/heads/side\nmark :{base + 1}\n{head.format('')}{body}\n")
        merge = f"merge :{base + 1}\n" if base else ""
        stream.append(f"commit refs/heads/big\nmark :{base + 2}\n{head.format('')}{merge}{body}\n")
    run_git(["fast-import", "--quiet"], cwd=git_repo, input="".join(stream).encode())
    tip = git("rev-parse", "big", cwd=git_repo)
    repo = Repository.open(git_repo)
    with watched_git(tmp_path / "trace") as commands:
        entries = read_history(repo, tip=tip).entries
    assert 2500 == len(entries)
    assert 8 > len(commands), commands
