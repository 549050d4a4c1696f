"""Refs move by compare-and-swap, all or none, and a refusal says why in whole sentences."""

import subprocess
from pathlib import Path

import pytest

from runstone.errors import RefBlocked, RefMoved
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from tests.git.support import check_clean, record
from tests.support import git

REF = "refs/heads/runs"


def commit(repo: Repository, text: str) -> str:
    """A commit that no ref names."""
    identity = repo.identity()
    return repo.objects.write_commit(repo.objects.write_tree({}), [], identity, identity, text)


def test_update_only_from_where_it_was(git_repo: Path) -> None:
    """A move from elsewhere is refused and changes nothing; the next one works."""
    repo = Repository.open(git_repo)
    first, second = commit(repo, "first"), commit(repo, "second")
    repo.refs.update([RefUpdate(REF, first, None)])
    for old in (None, second):
        with pytest.raises(RefMoved):
            repo.refs.update([RefUpdate(REF, second, old)])
        assert first == repo.refs.read(REF)
    repo.refs.update([RefUpdate(REF, second, first)])
    assert second == git("rev-parse", REF, cwd=git_repo)
    repo.refs.update([RefUpdate(REF, None, second)])
    assert repo.refs.read(REF) is None
    check_clean(git_repo)


def test_refs_that_were_packed_twice_in_a_second_are_read_anew(git_repo: Path) -> None:
    """A git that runs on takes a file of the same second, size and inode for what it has read; nothing is moved by it.

    Source: `stat_validity_check` of git, as it is built without USE_NSEC.
    """
    repo = Repository.open(git_repo)
    first, second, third = (commit(repo, text) for text in ("first", "second", "third"))
    repo.refs.update([RefUpdate(REF, first, None)])
    git("pack-refs", "--all", "--prune", cwd=git_repo)
    packed = git_repo / ".git" / "packed-refs"
    known = packed.read_text()
    for _ in range(20):
        packed.write_text(known)
        before = int(packed.stat().st_ctime)
        assert first == repo.refs.read(REF)
        with pytest.raises(RefMoved):  # so that git has read it
            repo.refs.update([RefUpdate(REF, third, second)])
        packed.write_text(known.replace(first, second))  # the same inode and size
        if before == int(packed.stat().st_ctime):
            break
    with pytest.raises(RefMoved):
        repo.refs.update([RefUpdate(REF, third, first)])
    assert second == repo.refs.read(REF)
    repo.refs.update([RefUpdate(REF, third, second)])
    assert third == git("rev-parse", REF, cwd=git_repo)


def test_update_all_or_none(git_repo: Path) -> None:
    """If one of two moves is refused, the other is not made."""
    repo = Repository.open(git_repo)
    made = commit(repo, "made")
    with pytest.raises(RefMoved):
        repo.refs.update([RefUpdate("refs/tags/a", made, None), RefUpdate(REF, made, "1" * 40)])
    assert {} == repo.refs.list("refs/tags/")


def test_list_with_odd_names(git_repo: Path) -> None:
    """Names that Python would take for line ends, as U+2028, are one name."""
    git("tag", "a\u2028b", cwd=git_repo)
    git("tag", "ä@v1", cwd=git_repo)
    head = git("rev-parse", "HEAD", cwd=git_repo)
    assert {"refs/tags/a\u2028b": head, "refs/tags/ä@v1": head} == Repository.open(git_repo).refs.list("refs/tags/")


def test_branch_below_runs_stands_in_the_way(git_repo: Path) -> None:
    """A branch `runs/x` bars `runs`; the message names it and both ways out."""
    git("branch", "runs/x", cwd=git_repo)
    with pytest.raises(RefBlocked) as caught:
        record(Repository.open(git_repo), "blocked")
    assert (
        "git refused to write `refs/heads/runs`: `refs/heads/runs/x` stands in its way. Rename that branch "
        "(`git branch -m`), or keep runs on another one: `branch: runstone-runs` in runstone.yaml"
    ) == str(caught.value)


def test_runs_waiting_behind_a_blocking_branch(git_repo: Path) -> None:
    """Once the branch that stood in the way is renamed, the run that had ended is recorded, and nothing is lost."""
    git("branch", "runs/x", cwd=git_repo)
    repo = Repository.open(git_repo)
    with pytest.raises(RefBlocked):
        record(repo, "waits")
    git("branch", "-m", "runs/x", "other", cwd=git_repo)
    record(repo, "next")
    assert {"waits", "next"} == {line for line in messages(git_repo) if line in ("waits", "next")}
    check_clean(git_repo)


def messages(path: Path) -> list[str]:
    """The ids of the runs that the branch's commits name."""
    return git("log", "--first-parent", "--format=%(trailers:key=Run,valueonly)", "runs", cwd=path).split()


def test_other_branch_by_configuration(git_repo: Path) -> None:
    """`branch:` in runstone.yaml keeps the runs elsewhere."""
    git("branch", "runs/x", cwd=git_repo)
    (git_repo / "runstone.yaml").write_text("branch: runstone-runs\n")
    record(Repository.open(git_repo), "elsewhere")
    assert "elsewhere" in git("log", "--format=%B", "runstone-runs", cwd=git_repo)


def test_hook_veto_is_told(git_repo: Path) -> None:
    """A reference-transaction hook may refuse; its own words, even if they look like git's, reach the user."""
    hook = git_repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text("#!/bin/sh\n[ \"$1\" != prepared ] || { echo 'file exists but expected approval' >&2; exit 1; }\n")
    hook.chmod(0o755)
    with pytest.raises(RefBlocked) as caught:
        record(Repository.open(git_repo), "vetoed")
    assert (
        "git refused to write `refs/heads/runs`: file exists but expected approval\n"
        "fatal: ref updates aborted by hook. The repository's reference-transaction hook says so"
    ) == str(caught.value).replace("commit: ", "").replace("prepare: ", "")
    hook.unlink()
    record(Repository.open(git_repo), "approved")
    assert {"vetoed", "approved"} == set(messages(git_repo))


def test_broken_ref_is_told(git_repo: Path) -> None:
    """A ref file of garbage is not overwritten in silence."""
    (git_repo / ".git" / "refs" / "heads" / "runs").write_text("")
    repo = Repository.open(git_repo)
    with pytest.raises(RefBlocked, match=r"reference broken\. Mend it: `runstone doctor --fix`$"):
        repo.refs.update([RefUpdate(REF, commit(repo, "new"), None)])


def test_name_with_a_line_feed_is_no_second_command(git_repo: Path) -> None:
    """A ref name cannot smuggle a command into git's input."""
    repo = Repository.open(git_repo)
    made = commit(repo, "made")
    with pytest.raises(RefBlocked, match="no spaces and no control characters"):
        repo.refs.update([RefUpdate(f"{REF}\ndelete refs/heads/main", made, None)])
    assert "main" == git("branch", "--format=%(refname:short)", cwd=git_repo)


def test_packed_refs(git_repo: Path) -> None:
    """Refs that git packed are read and moved all the same."""
    repo = Repository.open(git_repo)
    record(repo, "first")
    git("pack-refs", "--all", "--prune", cwd=git_repo)
    assert git("rev-parse", "runs", cwd=git_repo) == repo.refs.read(REF)
    record(repo, "second")
    check_clean(git_repo)


@pytest.mark.parametrize("bare", [False, True])
def test_git_gc_has_nothing_to_say_about_our_refs(tmp_path: Path, bare: bool) -> None:
    """Branches have a reflog, in a bare repository too; git gc complains of one that a tag object has."""
    path = tmp_path / "r"
    git("init", "-q", *(["--bare"] if bare else []), path, cwd=tmp_path)
    repo = Repository.open(path)
    tree = repo.objects.write_tree({})
    commit = repo.objects.write_commit(tree, [], repo.identity(), repo.identity(), "one")
    tag = repo.objects.write_tag(commit, "churn@v1", repo.identity(), "churn@v1")
    for ref, oid in [("refs/heads/runs", commit), ("refs/tags/churn@v1", tag), ("refs/runstone/seen/churn@v1", tag)]:
        repo.refs.update([RefUpdate(ref, oid, None)])
    assert ["refs/heads/runs"] == [
        log.relative_to(repo.common_dir / "logs").as_posix()
        for log in (repo.common_dir / "logs").rglob("*")
        if log.is_file()
    ]
    done = subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=path, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_ref_is_where_git_has_it_now(git_repo: Path) -> None:
    """What is remembered of commits never hides a move by others: of a loose ref, a packed one, one of another name."""
    repo = Repository.open(git_repo)
    first, second = commit(repo, "first"), commit(repo, "second")
    repo.refs.update([RefUpdate(REF, first, None)])
    assert [first, second] == [repo.objects.commit(oid).oid for oid in (first, second)]  # from now on remembered
    assert first == repo.refs.read(REF)
    git("update-ref", REF, second, cwd=git_repo)
    assert second == repo.refs.read(REF)
    git("pack-refs", "--all", cwd=git_repo)
    assert second == repo.refs.read(REF)
    git("update-ref", REF, first, cwd=git_repo)
    assert first == repo.refs.read(REF)
    git("symbolic-ref", "refs/remotes/origin/HEAD", REF, cwd=git_repo)
    assert first == repo.refs.read("refs/remotes/origin/HEAD")
    assert repo.refs.read("refs/heads/../heads/runs") is None
    git("update-ref", "-d", REF, cwd=git_repo)
    assert repo.refs.read(REF) is None
