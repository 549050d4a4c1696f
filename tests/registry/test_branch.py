"""Which branch is the registry's, and which of its commits."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from runstone.errors import (
    BranchDiverged,
    CheckoutFailed,
    IndexBusy,
    LocalEdits,
    RefBlocked,
    RunstoneError,
    SigningFailed,
)
from runstone.git.carried import Healed
from runstone.git.repository import Repository
from runstone.registry.branch import BranchesDiffer, commit_files, default_branch, make_commit, registry_commit
from tests.cli.support import run_cli
from tests.support import git, make_repository, run_python, watched_git


def commit(folder: Path, message: str) -> str:
    """An empty commit on what is checked out."""
    git("-c", "user.name=k", "-c", "user.email=k@k", "commit", "-q", "--allow-empty", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def test_the_remotes_head_decides_first(git_repo: Path, tmp_path: Path) -> None:
    """In a clone, whatever is checked out; a remote head that leads nowhere is passed over."""
    git("branch", "-m", "trunk", cwd=git_repo)
    git("clone", "-q", git_repo, tmp_path / "clone", cwd=tmp_path)
    git("checkout", "-q", "-b", "main", cwd=tmp_path / "clone")
    assert "trunk" == default_branch(Repository.open(tmp_path / "clone"))
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone", cwd=tmp_path / "clone")
    assert "main" == default_branch(Repository.open(tmp_path / "clone"))


def test_then_the_configured_one_then_main_then_master_then_the_one_checked_out(git_repo: Path) -> None:
    """Each only if there is such a branch."""
    git("branch", "-m", "odd", cwd=git_repo)
    assert "odd" == default_branch(Repository.open(git_repo))
    for name in ("master", "main", "trunk"):
        git("branch", name, cwd=git_repo)
        if name == "trunk":
            git("config", "init.defaultBranch", "trunk", cwd=git_repo)
        assert name == default_branch(Repository.open(git_repo))


def test_before_the_first_commit_it_is_the_one_to_be(tmp_path: Path) -> None:
    """HEAD names it; the registry is empty."""
    git("init", "-q", "-b", "later", tmp_path / "new", cwd=tmp_path)
    repo = Repository.open(tmp_path / "new")
    assert ("later", None) == (default_branch(repo), registry_commit(repo))


def test_where_none_is_known_it_says_how_to_name_one(git_repo: Path) -> None:
    """A detached checkout of a repository without the usual names."""
    git("checkout", "-q", "--detach", cwd=git_repo)
    git("branch", "-m", "main", "odd", cwd=git_repo)
    with pytest.raises(RunstoneError, match=r"Name it: `git config init\.defaultBranch NAME`"):
        default_branch(Repository.open(git_repo))


def test_of_local_and_remote_the_newer_one_counts(tmp_path: Path) -> None:
    """The one that contains the other; diverged, the local one, or under review the remote one."""
    upstream = make_repository(tmp_path / "upstream")
    clone = tmp_path / "clone"
    git("clone", "-q", upstream, clone, cwd=tmp_path)
    theirs = commit(upstream, "theirs")
    git("fetch", "-q", cwd=clone)
    assert theirs == registry_commit(Repository.open(clone))
    git("merge", "-q", "--ff-only", "origin/main", cwd=clone)
    ahead = commit(clone, "ours")
    assert ahead == registry_commit(Repository.open(clone))
    theirs = commit(upstream, "theirs again")
    git("fetch", "-q", cwd=clone)
    assert ahead == registry_commit(Repository.open(clone))
    (clone / "runstone.yaml").write_text("promotion: review\n")
    assert theirs == registry_commit(Repository.open(clone))
    git("reset", "-q", "--hard", "origin/main", cwd=clone)
    ahead = commit(clone, "ours on top")
    (clone / "runstone.yaml").write_text("promotion: review\n")
    assert ahead == registry_commit(Repository.open(clone))


# --- commits

FILE = "registry/churn/aliases/champion.yaml"


def status(folder: Path) -> str:
    """What `git status` says."""
    return git("status", "--porcelain", cwd=folder)


def test_a_commit_costs_one_process(git_repo: Path, tmp_path: Path) -> None:
    """Besides the two long-lived ones of the repository; the work tree has every change and is clean."""
    repo = Repository.open(git_repo)
    commit_files(repo, {FILE: "0\n"}, "Begin")
    with watched_git(tmp_path / "trace") as commands:
        for n in range(1, 6):
            commit_files(repo, {FILE: f"{n}\n", f"registry/churn/{n}.txt": f"{n}\n"}, f"Change {n}")
    assert ["read-tree"] * 5 == commands
    assert ("5\n", "") == ((git_repo / FILE).read_text(), status(git_repo))
    assert commit_files(repo, {FILE: "5\n"}, "Nothing") is None
    repo.close()


def test_in_a_clone_that_is_ahead_no_process_looks_for_ancestors(git_repo: Path, tmp_path: Path) -> None:
    """However many commits it has that the remote lacks."""
    git("clone", "-q", git_repo, tmp_path / "clone", cwd=tmp_path)
    repo = Repository.open(tmp_path / "clone")
    commit_files(repo, {FILE: "0\n"}, "Begin")
    with watched_git(tmp_path / "trace") as commands:
        for n in range(1, 20):
            commit_files(repo, {FILE: f"{n}\n"}, f"Change {n}")
    assert ["read-tree"] * 19 == commands
    repo.close()


def test_a_plan_is_made_anew_when_the_branch_moved(git_repo: Path) -> None:
    """What is computed from the base is computed again from the new one, and the message after it."""
    repo = Repository.open(git_repo)
    bases: list[str | None] = []

    def plan(base: str | None) -> Mapping[str, str | None]:
        bases.append(base)
        if len(bases) == 1:
            commit(git_repo, "Theirs")
        return {FILE: f"{len(bases)}\n"}

    made = commit_files(repo, plan, lambda base: f"From {base}")
    theirs = git("rev-parse", "HEAD~", cwd=git_repo)
    assert ([bases[0], theirs], f"From {theirs}") == (bases, git("log", "-1", "--format=%s", cwd=git_repo))
    assert (made, "2\n", "") == (
        git("rev-parse", "main", cwd=git_repo),
        (git_repo / FILE).read_text(),
        status(git_repo),
    )


def test_make_commit_moves_nothing(git_repo: Path) -> None:
    """A proposal, a merge of it, and a commit that would change nothing."""
    repo = Repository.open(git_repo)
    base = repo.head()
    assert base is not None
    proposal = make_commit(repo, base, {FILE: "1\n"}, "Propose")
    assert proposal is not None
    assert [base, base] == [git("rev-parse", rev, cwd=git_repo) for rev in (f"{proposal}~", "main")]
    merge = make_commit(repo, base, {FILE: "1\n"}, "Merge", [base, proposal])
    assert f"{base} {proposal}" == git("log", "-1", "--format=%P", str(merge), cwd=git_repo)
    assert make_commit(repo, base, {FILE: None}, "Nothing") is None
    first = make_commit(repo, None, {FILE: "1\n"}, "First")
    assert FILE == git("ls-tree", "-r", "--name-only", str(first), cwd=git_repo)
    assert "" == status(git_repo)


def test_line_ends_are_converted_as_git_does(git_repo: Path) -> None:
    """Under `core.autocrlf` the work tree has CRLF, the commit LF, and nothing counts as edited."""
    git("config", "core.autocrlf", "true", cwd=git_repo)
    repo = Repository.open(git_repo)
    for text in ("a\nb\n", "c\n"):
        commit_files(repo, {FILE: text}, "Change")
        assert text.replace("\n", "\r\n").encode() == (git_repo / FILE).read_bytes()
        assert (text.strip(), "") == (git("show", f"HEAD:{FILE}", cwd=git_repo), status(git_repo))


def test_a_sparse_checkout_stays_sparse(git_repo: Path) -> None:
    """The registry is outside it: the branch moves, no file appears, nothing counts as deleted."""
    git("sparse-checkout", "set", "--cone", "src", cwd=git_repo)
    repo = Repository.open(git_repo)
    for n in range(3):
        commit_files(repo, {FILE: f"{n}\n"}, "Change")
    commit_files(repo, {FILE: None}, "Remove")
    assert (False, "", "5") == (
        (git_repo / "registry").exists(),
        status(git_repo),
        git("rev-list", "--count", "HEAD", cwd=git_repo),
    )


def test_a_work_tree_whose_git_directory_is_elsewhere(
    git_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of dotfiles: only GIT_DIR and GIT_WORK_TREE bring the two together."""
    (git_repo / ".git").rename(tmp_path / "elsewhere.git")
    git("config", "core.bare", "true", cwd=tmp_path / "elsewhere.git")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(git_repo))
    monkeypatch.chdir(git_repo)
    for text in ("1\n", "2\n"):
        commit_files(Repository.open(), {FILE: text}, "Change")
    assert ("2\n", "") == ((git_repo / FILE).read_text(), status(git_repo))


def test_a_linked_work_tree_of_a_bare_repository(git_repo: Path, tmp_path: Path) -> None:
    """Also where git keeps settings for each work tree, so that it has to be asked."""
    bare, linked = tmp_path / "bare.git", tmp_path / "linked"
    git("clone", "-q", "--bare", git_repo, bare, cwd=tmp_path)
    git("remote", "remove", "origin", cwd=bare)
    git("config", "user.email", "kim@example.org", cwd=bare)
    git("worktree", "add", "-q", linked, "main", cwd=bare)
    for number, place in enumerate((bare, linked, bare, linked)):
        if number == 2:
            git("config", "extensions.worktreeConfig", "true", cwd=bare)
            git("config", "--file", bare / "config.worktree", "core.bare", "true", cwd=bare)
            git("config", "--unset", "core.bare", cwd=bare)
        commit_files(Repository.open(place), {FILE: f"{number}\n"}, "Change")
        assert (f"{number}\n", "") == ((linked / FILE).read_text(), status(linked))


def test_a_linked_work_tree_named_by_a_relative_path(git_repo: Path, tmp_path: Path) -> None:
    """As git 2.48 writes it under `worktree.useRelativePaths`."""
    git("checkout", "-q", "--detach", cwd=git_repo)
    git("worktree", "add", "-q", tmp_path / "linked", "main", cwd=git_repo)
    (git_repo / ".git/worktrees/linked/gitdir").write_text("../../../../linked/.git\n")
    commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Change")
    assert ("1\n", "") == ((tmp_path / "linked" / FILE).read_text(), status(tmp_path / "linked"))


def test_a_file_that_was_only_touched_is_no_edit(git_repo: Path) -> None:
    """As all are in a repository that was copied: git has to look before it knows."""
    repo = Repository.open(git_repo)
    commit_files(repo, {FILE: "1\n"}, "Begin")
    os.utime(git_repo / FILE, (1, 1))
    commit_files(repo, {FILE: "2\n"}, "Change")
    assert ("2\n", "") == ((git_repo / FILE).read_text(), status(git_repo))


@pytest.mark.parametrize("kind", ["file", "link", "ignored"])
def test_what_stands_where_a_folder_must_be_is_not_lost(git_repo: Path, tmp_path: Path, kind: str) -> None:
    """A file or a link of the user's called `registry`: through a link nothing is written outside."""
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        (git_repo / "registry").symlink_to(tmp_path / "elsewhere")
    else:
        (git_repo / "registry").write_text("mine\n")
    if kind == "ignored":
        (git_repo / ".git" / "info" / "exclude").write_text("registry\n")
    with pytest.raises(LocalEdits):
        commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Change")
    assert "1" == git("rev-list", "--count", "HEAD", cwd=git_repo)
    assert [] == list((tmp_path / "elsewhere").glob("*")) if kind == "link" else (git_repo / "registry").is_file()


def test_of_two_work_trees_none_moves_if_one_cannot(git_repo: Path, tmp_path: Path) -> None:
    """Both have the branch checked out, by force; one has an edit in the file."""
    repo = Repository.open(git_repo)
    commit_files(repo, {FILE: "1\n"}, "Begin")
    git("worktree", "add", "-q", "--force", tmp_path / "linked", "main", cwd=git_repo)
    commit_files(repo, {FILE: "2\n"}, "Both")
    assert ["2\n", "2\n"] == [(tree / FILE).read_text() for tree in (git_repo, tmp_path / "linked")]
    (tmp_path / "linked" / FILE).write_text("mine\n")
    with pytest.raises(LocalEdits, match="linked has local edits"):
        commit_files(repo, {FILE: "3\n"}, "Neither")
    assert (["2\n", "mine\n"], "") == (
        [(tree / FILE).read_text() for tree in (git_repo, tmp_path / "linked")],
        status(git_repo),
    )


def test_a_hook_that_vetoes_leaves_nothing_behind(git_repo: Path) -> None:
    """The branch does not move, and the work tree is as it was, edits elsewhere included."""
    repo = Repository.open(git_repo)
    commit_files(repo, {FILE: "1\n"}, "Begin")
    (git_repo / "train.py").write_text("edited\n")
    hook = git_repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text("#!/bin/sh\n[ $1 != prepared ]\n")
    hook.chmod(0o755)
    with pytest.raises(RefBlocked):
        commit_files(repo, {FILE: "2\n", "registry/new.yaml": "1\n"}, "Change")
    assert ("1\n", "M train.py", "2") == (
        (git_repo / FILE).read_text(),
        status(git_repo).strip(),
        git("rev-list", "--count", "HEAD", cwd=git_repo),
    )


KILL = 'kill -9 "$(cat "{repo}/victim")"'
KILLED_AT = {
    "as the files are written": ("smudge", f"{KILL} $PPID; sleep 5"),
    "once the index is written": ("post-index-change", KILL),
    "before the branch moves": ("reference-transaction", f"[ $1 = prepared ] && {KILL} && exit 1\nexit 0"),
    "once the branch has moved": ("reference-transaction", f"[ $1 = committed ] && {KILL}\nexit 0"),
}


def kill_a_commit(folder: Path, when: str) -> None:
    """Kill -9 who changes a file and adds one, by a hook of git's."""
    kind, script = KILLED_AT[when]
    hook = folder / ".git" / "hooks" / kind
    hook.write_text("#!/bin/sh\n" + script.replace("{repo}", str(folder)) + "\n")
    hook.chmod(0o755)
    if kind == "smudge":
        (folder / ".git" / "info" / "attributes").write_text("*.yaml filter=killer\n")
        git("config", "filter.killer.smudge", f"exec '{hook}'", cwd=folder)
        git("config", "filter.killer.clean", "cat", cwd=folder)
    code = f"""
import os
from pathlib import Path
from runstone.git.repository import Repository
from runstone.registry.branch import commit_files
Path("victim").write_text(str(os.getpid()))
commit_files(Repository.open("."), {{"{FILE}": "2\\n", "registry/new/model.yaml": "1\\n"}}, "Killed")
"""
    assert -9 == run_python(code, cwd=folder, check=False).returncode
    hook.unlink()
    (folder / "victim").unlink()
    if kind == "smudge":
        (folder / ".git" / "info" / "attributes").unlink()
        os.utime(folder / ".git" / "index.lock", (1, 1))  # long ago


@pytest.mark.parametrize("when", KILLED_AT)
def test_what_a_killed_one_left_is_healed_by_the_next_command(git_repo: Path, when: str) -> None:
    """Index and files are as the branch says, wherever it was killed; edits of other files stay as they are."""
    commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Begin")
    kill_a_commit(git_repo, when)
    (git_repo / "train.py").write_text("mine\n")
    has_moved = when == "once the branch has moved"
    assert ("Killed" if has_moved else "Begin") == git("log", "-1", "--format=%s", cwd=git_repo)
    done = run_cli("runs", "list", cwd=git_repo)
    assert (0, not has_moved) == (done.returncode, "A command was killed while it changed registry/" in done.stderr)
    assert ["M train.py"] == [line.strip() for line in status(git_repo).splitlines()]
    assert ("2\n" if has_moved else "1\n") == (git_repo / FILE).read_text()
    assert has_moved == (git_repo / "registry" / "new").exists()
    assert [] == list((git_repo / ".git" / "runstone" / "carrying").iterdir())


def test_the_next_commit_heals_first_and_keeps_what_somebody_has_edited_since(git_repo: Path) -> None:
    """What was staged by the killed one is taken back, and is part of no later commit; an edit of its file stays."""
    commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Begin")
    kill_a_commit(git_repo, "before the branch moves")
    assert [f"M  {FILE}", "A  registry/new/model.yaml"] == status(git_repo).splitlines()
    (git_repo / FILE).write_text("mine\n")
    with pytest.warns(Healed, match="A command was killed while it changed"):
        commit_files(Repository.open(git_repo), {"registry/other.yaml": "1\n"}, "Next")
    assert "registry/other.yaml" == git("show", "--name-only", "--format=", "HEAD", cwd=git_repo)
    assert f" M {FILE}" == status(git_repo)
    assert "mine\n" == (git_repo / FILE).read_text()


def test_a_lock_of_git_that_stays_is_named(git_repo: Path) -> None:
    """As of an editor that `git commit -a` waits for; the lock of a git that is dead is cleared."""
    repo = Repository.open(git_repo)
    lock = git_repo / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(IndexBusy) as caught:
        commit_files(repo, {FILE: "1\n"}, "Change")
    assert f"`{lock}` is there." in str(caught.value)
    assert "1" == git("rev-list", "--count", "HEAD", cwd=git_repo)
    os.utime(lock, (1, 1))
    commit_files(repo, {FILE: "1\n"}, "Change")
    assert "" == status(git_repo)


def test_a_merge_or_a_rebase_under_way_is_named(git_repo: Path) -> None:
    """With conflicts in the index nothing can be staged; and a rebase would drop the commit at its end."""
    git("checkout", "-q", "-b", "other", cwd=git_repo)
    (git_repo / "train.py").write_text("theirs\n")
    git("commit", "-q", "-am", "Theirs", cwd=git_repo)
    git("checkout", "-q", "main", cwd=git_repo)
    (git_repo / "train.py").write_text("ours\n")
    git("commit", "-q", "-am", "Ours", cwd=git_repo)
    repo = Repository.open(git_repo)
    for command, word in (("merge", "a merge is not finished there"), ("rebase", "a rebase of `main` is under way")):
        git(command, "-q", "other", cwd=git_repo, check=False)
        with pytest.raises(IndexBusy, match=word):
            commit_files(repo, {FILE: "1\n"}, "Change")
        git(command, "--abort", cwd=git_repo)
    commit_files(repo, {FILE: "1\n"}, "Change")
    assert "" == status(git_repo)


def test_under_review_a_diverged_branch_is_not_thrown_away(git_repo: Path, tmp_path: Path) -> None:
    """The remote's state counts, and the local commits are nowhere else."""
    (git_repo / "runstone.yaml").write_text("promotion: review\n")
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "Review", cwd=git_repo)
    clone = tmp_path / "clone"
    git("clone", "-q", git_repo, clone, cwd=tmp_path)
    commit(git_repo, "theirs")
    ours = commit(clone, "ours")
    git("fetch", "-q", cwd=clone)
    git("checkout", "-q", "--detach", cwd=clone)
    with pytest.raises(BranchDiverged, match="`main` and `origin/main` have diverged"):
        commit_files(Repository.open(clone), {FILE: "1\n"}, "Change")
    assert ours == git("rev-parse", "main", cwd=clone)


def test_a_commit_that_cannot_be_signed_changes_nothing(git_repo: Path) -> None:
    """As `git commit` would not either."""
    git("config", "commit.gpgSign", "true", cwd=git_repo)
    git("config", "gpg.program", "false", cwd=git_repo)
    with pytest.raises(SigningFailed):
        commit_files(Repository.open(git_repo), {FILE: "1\n"}, "Change")
    assert ("", "1") == (status(git_repo), git("rev-list", "--count", "HEAD", cwd=git_repo))


def test_processes_that_commit_at_once_lose_nothing(git_repo: Path) -> None:
    """Each adds one to the same file, and each plan sees the one before."""
    code = f"""
from runstone.git.repository import Repository
from runstone.registry import branch
repo = Repository.open(".")
for _ in range(5):
    plan = lambda base: {{"{FILE}": (branch.read_file(repo, base, "{FILE}") or b"").decode() + "x"}}
    branch.commit_files(repo, plan, "More")
"""
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=git_repo) for _ in range(4)]
    assert [0] * 4 == [process.wait(60) for process in running]
    assert ("x" * 20, "", "21") == (
        (git_repo / FILE).read_text(),
        status(git_repo),
        git("rev-list", "--count", "HEAD", cwd=git_repo),
    )


@pytest.mark.parametrize(("mode", "counts"), [("direct", "the main that is here"), ("review", "origin/main")])
def test_that_the_branches_differ_is_said_once(tmp_path: Path, git_repo: Path, mode: str, counts: str) -> None:
    """In either mode, with what counts: others may read something else."""
    git("clone", "-q", git_repo, tmp_path / "clone", cwd=tmp_path)
    commit(git_repo, "Theirs")
    commit(tmp_path / "clone", "Ours")
    git("fetch", "-q", cwd=tmp_path / "clone")
    (tmp_path / "clone" / "runstone.yaml").write_text(f"promotion: {mode}\n")
    repo = Repository.open(tmp_path / "clone")
    with pytest.warns(BranchesDiffer, match=f"each have commits of their own, so {counts} counts") as told:
        assert registry_commit(repo) == registry_commit(repo)
    assert 1 == len(told)


def test_the_only_remote_may_have_any_name(tmp_path: Path, git_repo: Path) -> None:
    """Its default branch counts as that of `origin` would."""
    git("clone", "-q", "--origin", "hub", git_repo, tmp_path / "clone", cwd=tmp_path)
    theirs = commit(git_repo, "Theirs")
    git("fetch", "-q", cwd=tmp_path / "clone")
    assert theirs == registry_commit(Repository.open(tmp_path / "clone"))


def test_what_git_cannot_write_is_told_in_its_words(git_repo: Path) -> None:
    """A filter that fails is no local edit; nothing is left of the attempt, so that the next one works."""
    (git_repo / ".gitattributes").write_text("registry/** filter=odd\n")
    (git_repo / ".git" / "info").mkdir(exist_ok=True)
    git("config", "filter.odd.smudge", "sh -c 'exit 3'", cwd=git_repo)
    git("config", "filter.odd.required", "true", cwd=git_repo)
    before = git("status", "--porcelain", cwd=git_repo)
    with pytest.raises(CheckoutFailed, match="odd"):
        commit_files(Repository.open(git_repo), {"plain.txt": "1\n", "registry/a.yaml": "1\n"}, "Change")
    assert before == git("status", "--porcelain", cwd=git_repo)
    git("config", "filter.odd.smudge", "cat", cwd=git_repo)
    git("config", "filter.odd.clean", "cat", cwd=git_repo)
    assert commit_files(Repository.open(git_repo), {"plain.txt": "1\n", "registry/a.yaml": "1\n"}, "Change")
    assert before == git("status", "--porcelain", cwd=git_repo)
