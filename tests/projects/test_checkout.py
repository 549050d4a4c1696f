import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import (
    CheckoutIncomplete,
    CheckoutRefused,
    CodeMissing,
    InvalidValue,
    RecordInvalid,
    RunIsLive,
    RunNotFound,
    StageNotFound,
    WorkTreeRefused,
)
from runstone.projects.checkout import checkout, default_folder, list_checkouts, remove_checkout
from runstone.registry.alias import set_alias
from runstone.registry.version import register_version
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import need_recorded
from runstone.tracking.run import start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.cli.support import COMMAND, environment
from tests.projects.support import contents, record, rewrite_record
from tests.support import git


def work_trees(repo: Path) -> list[str]:
    """The work trees that git knows."""
    return [
        line[9:] for line in git("worktree", "list", "--porcelain", cwd=repo).splitlines() if line[:9] == "worktree "
    ]


def test_a_run_is_checked_out_with_all_that_belongs_to_it(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """Code byte for byte with modes and links, record, metrics, notes, packages, artifacts; `git status` is clean."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("alpha\n")
    run_id = record(
        workspace, params={"lr": 0.1}, points=[("loss", 0.5, 1)], note="# Good", artifacts=[(tmp_path / "out", "sub")]
    )
    then = contents(project)
    (project / "train.py").write_text("print('later')\n")
    git("commit", "-q", "-am", "Later", cwd=project)
    (project / "new").write_text("uncommitted")
    before = (git("status", "--porcelain=v2", "--branch", cwd=project), (project / ".git" / "index").read_bytes())

    made = checkout(workspace, "past")

    assert project.parent / "repo@past" == made.path
    assert then == contents(made.path)
    assert "" == git("status", "--porcelain", cwd=made.path)
    assert "" == git("branch", "--show-current", cwd=made.path)
    assert (run_id, "past", None, None) == (made.run.id, made.name, made.branch, made.python)
    inner = made.path / ".runstone"
    names = {".gitignore", "artifacts", "metrics.tsv", "notes.md", "requirements.txt", "run.yaml"}
    assert names == {path.name for path in inner.iterdir()}
    recorded = git("show", f"runs:{need_recorded(workspace, run_id).folder}/run.yaml", cwd=project)
    assert f"{recorded}\n" == (inner / "run.yaml").read_text()
    assert "alpha\n" == (inner / "artifacts" / "sub" / "out" / "a.txt").read_text()
    assert 1 == made.artifacts
    assert before == (
        git("status", "--porcelain=v2", "--branch", cwd=project),
        (project / ".git" / "index").read_bytes(),
    )


def test_an_edit_of_a_placed_artifact_leaves_the_cache_whole(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    """Artifacts are copies that may be written, even where DVC is told to link."""
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_text("[cache]\n    type = hardlink,symlink\n")
    (tmp_path / "a.txt").write_text("alpha\n")
    run_id = record(workspace, artifacts=[(tmp_path / "a.txt", "")])
    made = checkout(workspace, run_id)
    (made.folder / "artifacts" / "a.txt").write_text("edited in place\n")
    again = checkout(workspace, run_id, tmp_path / "again")
    assert "alpha\n" == (again.folder / "artifacts" / "a.txt").read_text()


def test_artifacts_can_be_left_out(workspace: Workspace, tmp_path: Path) -> None:
    """Without artifacts the folder has none, and nothing is asked of the cache."""
    (tmp_path / "a.txt").write_text("alpha\n")
    record(workspace, artifacts=[(tmp_path / "a.txt", "")])
    made = checkout(workspace, "past", artifacts=False)
    assert made.artifacts is None
    assert not (made.folder / "artifacts").exists()


def test_artifacts_that_cannot_be_had_leave_nothing_behind(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """Without cache and remote it says how to do without them; folder, branch and git's record are as before."""
    (tmp_path / "a.txt").write_text("alpha\n")
    record(workspace, artifacts=[(tmp_path / "a.txt", "")])
    shutil.rmtree(workspace.artifacts.cache.root)
    refs = git("for-each-ref", cwd=project)
    with pytest.raises(CheckoutIncomplete, match="`runstone checkout past --no-artifacts`"):
        checkout(workspace, "past", tmp_path / "deep" / "er" / "out", branch="again")
    assert not (tmp_path / "deep").exists()
    assert [str(project)] == work_trees(project)
    assert refs == git("for-each-ref", cwd=project)


def test_an_empty_folder_that_was_there_stays_empty_after_a_failure(workspace: Workspace, tmp_path: Path) -> None:
    """A failure takes back what was made, and not the folder that the user had made."""
    (tmp_path / "out").mkdir()
    (tmp_path / "a.txt").write_text("alpha\n")
    record(workspace, artifacts=[(tmp_path / "a.txt", "")])
    shutil.rmtree(workspace.artifacts.cache.root)
    with pytest.raises(CheckoutIncomplete):
        checkout(workspace, "past", tmp_path / "out")
    assert [] == list((tmp_path / "out").iterdir())


def test_a_branch_is_made_there_and_never_taken_over(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """A new branch is checked out; one that exists is refused and stays where it was."""
    record(workspace)
    made = checkout(workspace, "past", tmp_path / "one", branch="again")
    assert "again" == git("branch", "--show-current", cwd=made.path)
    with pytest.raises(CheckoutRefused, match="the branch `again` exists already"):
        checkout(workspace, "past", tmp_path / "two", branch="again")
    assert made.snapshot == git("rev-parse", "again", cwd=project)
    assert not (tmp_path / "two").exists()


def test_a_folder_with_anything_in_it_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """A file, a full folder and an earlier checkout are refused with what to do; nothing in them changes."""
    record(workspace)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    first = checkout(workspace, "past")
    for place, words in (
        (tmp_path / "file", "it is no folder. Name another folder: `runstone checkout past DIR`$"),
        (tmp_path / "full", "it exists and is not empty. Name another folder: `runstone checkout past DIR`$"),
        (None, f"or remove that checkout: `runstone checkout --clean {first.path}`$"),
    ):
        with pytest.raises(CheckoutRefused, match=words):
            checkout(workspace, "past", place)
    assert "mine" == (tmp_path / "full" / "mine").read_text()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("brave-otter-17", "repo@brave-otter-17"),
        ("a b/../c:d", "repo@a-b-..-c-d"),
        ("churn@v4", "repo@churn@v4"),
        ("../..", "repo@run-"),
        ("CON", "repo@run-CON"),
        ("ünï", "repo@ünï"),
        ("x" * 300, "repo@" + "x" * 80),
    ],
)
def test_the_folder_is_named_in_safe_characters(workspace: Workspace, label: str, expected: str) -> None:
    """Whatever a run is called, its folder lies beside the repository and can be made on every system."""
    folder = default_folder(workspace.repo, label)
    assert expected == folder.name
    assert workspace.repo.work_tree is not None
    assert workspace.repo.work_tree.parent == folder.parent


def test_it_works_from_a_linked_work_tree_and_a_bare_repository(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    """The folder lies beside the main work tree, or beside the bare repository."""
    record(workspace)
    first = checkout(workspace, "past")
    inside = checkout(Workspace.open(first.path), "past", tmp_path / "second")
    assert contents(project) == contents(inside.path)
    assert project.parent / "repo@past" == default_folder(Workspace.open(first.path).repo, "past")
    git("clone", "-q", "--bare", project, tmp_path / "bare" / "team.git", cwd=tmp_path)
    bare = checkout(Workspace.open(tmp_path / "bare" / "team.git"), "past")
    assert tmp_path / "bare" / "team@past" == bare.path
    assert contents(project) == contents(bare.path)


def test_a_version_of_a_model_means_the_run_that_made_it(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """By number, alias, stage and URI, and as it was when the version was made."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n")
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), name="maker") as run:
        run.log_model(model, "model", ["sklearn"], None)
    register_version(workspace, "churn", RunUri(run.id, "model"))
    set_alias(workspace.repo, "churn", "champion", 1)
    stage = project / "registry" / "churn" / "stages" / "Production.yaml"
    stage.parent.mkdir(parents=True)
    stage.write_text("schema: runstone/stage/v1\nversions: [1]\n")
    git("add", "registry", cwd=project)
    git("commit", "-q", "-m", "Promote", cwd=project)
    for number, what in enumerate(
        ["churn@v1", "churn@champion", "churn/Production", "churn/1", "models:/churn/1", f"runs:/{run.id}"]
    ):
        made = checkout(workspace, what, tmp_path / f"out-{number}")
        assert (run.id, "maker" if what.startswith("runs:") else "churn@v1") == (made.run.id, made.name)
        assert "flavors: {}\n" == (made.folder / "artifacts" / "model" / "MLmodel").read_text()
    assert project.parent / "repo@churn@v1" == checkout(workspace, "churn@v1").path
    with pytest.raises(StageNotFound):
        checkout(workspace, "churn/Staging")
    with pytest.raises(RunNotFound):
        checkout(workspace, "nothing")


def test_a_tree_with_a_folder_of_our_name_keeps_it(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """A tracked `.runstone`, however it is written, even a link that leads out, is left as it is."""
    (tmp_path / "outside").mkdir()
    (project / ".Runstone").symlink_to(tmp_path / "outside")
    git("add", "-A", cwd=project)
    git("commit", "-q", "-m", "Trap", cwd=project)
    record(workspace)
    made = checkout(workspace, "past")
    assert ".runstone-2" == made.folder.name
    assert [] == list((tmp_path / "outside").iterdir())
    assert "" == git("status", "--porcelain", cwd=made.path)


def test_edits_that_were_not_kept_are_told(workspace: Workspace, project: Path) -> None:
    """Of a run with edits and no snapshot the commit is checked out, and it says that this is not what ran."""
    run_id = record(workspace)
    head = git("rev-parse", "HEAD", cwd=project)
    rewrite_record(workspace, run_id, snapshot=None, dirty=True)
    made = checkout(workspace, run_id)
    assert head == made.snapshot
    assert [
        f"The work tree had edits when this run began, and they were not kept: this is commit {head[:12]}, without "
        "them. It is NOT exactly what ran."
    ] == list(made.warnings)


def test_what_the_snapshot_left_out_is_named(workspace: Workspace) -> None:
    """Files that were too large or secret stand in the result with the reason."""
    run_id = record(workspace)
    left = [{"path": ".env", "reason": "secret"}, {"path": "big.bin", "reason": "size"}]
    rewrite_record(workspace, run_id, left_out=left)
    assert {".env": "secret", "big.bin": "size"} == checkout(workspace, run_id).left_out


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("HEAD", RecordInvalid, "`source.snapshot` must be a full commit id, but is 'HEAD'"),
        ("--help", RecordInvalid, "must be a full commit id, but is '--help'"),
        ("TREE", RecordInvalid, "must be a commit, but [0-9a-f]{12} is a tree"),
        ("f" * 40, CodeMissing, "this repository does not have it, and there is no remote to ask"),
    ],
)
def test_a_record_that_names_no_commit_is_refused(
    workspace: Workspace, project: Path, text: str, error: type[Exception], words: str
) -> None:
    """What a record calls its snapshot is never taken for an option or a revision, and must be a commit."""
    run_id = record(workspace)
    value = git("rev-parse", "HEAD^{tree}", cwd=project) if text == "TREE" else text
    rewrite_record(workspace, run_id, snapshot=value)
    with pytest.raises(error, match=words):
        checkout(workspace, run_id)
    assert [str(project)] == work_trees(project)


def test_a_commit_that_the_branch_of_runs_does_not_hold_is_told(workspace: Workspace, project: Path) -> None:
    """A record may name any commit of this repository; where the branch of runs does not vouch for it, it says so."""
    run_id = record(workspace)
    other = git("commit-tree", "HEAD^{tree}", "-m", "Private", cwd=project)
    rewrite_record(workspace, run_id, snapshot=other)
    made = checkout(workspace, run_id)
    assert [f"Commit {other[:12]} is not held by the branch of runs"] == [text.split(":")[0] for text in made.warnings]


def test_a_run_without_any_code_is_refused(tmp_path: Path) -> None:
    """Before the first commit there is no code to check out; the error says how to get the rest."""
    git("init", "-q", "-b", "main", tmp_path / "empty", cwd=tmp_path)
    workspace = Workspace.open(tmp_path / "empty")
    record(workspace)
    with pytest.raises(CodeMissing, match=r"the record names no commit.*`runstone artifacts get"):
        checkout(workspace, "past")


def test_a_live_run_is_refused(workspace: Workspace) -> None:
    """A run that goes on has no commit yet."""
    run = start_run(workspace, ensure_experiment(workspace.repo, "Default"), name="live")
    with pytest.raises(RunIsLive):
        checkout(workspace, run.id)
    run.end()
    assert run.id == checkout(workspace, "live").run.id


def test_a_folder_of_the_record_never_leads_out(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """Where the command ran is taken from the record only if it lies in the checkout, links followed."""
    (project / "out").symlink_to(tmp_path)
    git("add", "out", cwd=project)
    git("commit", "-q", "-m", "Link", cwd=project)
    for number, (recorded, expected) in enumerate(
        [("src", "src"), ("..", "."), ("out", "."), ("/tmp", "."), ("no", "."), ("x" * 5000, ".")]
    ):
        run_id = record(workspace, f"run-{number}")
        rewrite_record(workspace, run_id, directory=recorded)
        made = checkout(workspace, run_id)
        assert expected == made.directory
        assert (recorded != expected) == bool(made.warnings)


def test_a_hook_that_fails_does_not_stop_it(workspace: Workspace, project: Path) -> None:
    """A post-checkout hook runs as git runs it; its failure is told, and the checkout is whole."""
    record(workspace)
    hook = project / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\ntouch hooked\necho broken hook >&2\nexit 3\n")
    hook.chmod(0o755)
    made = checkout(workspace, "past")
    assert ["A post-checkout hook of this repository failed: broken hook"] == list(made.warnings)
    assert (made.path / "hooked").exists()
    assert (made.folder / "run.yaml").exists()


def test_a_sparse_work_tree_is_no_reason_for_a_sparse_checkout(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    """The whole tree of the run is there, and the user's own stays as sparse as it was; of a partial clone, too."""
    record(workspace)
    then = contents(project)
    git("config", "uploadpack.allowFilter", "true", cwd=project)
    git("config", "core.sparseCheckout", "true", cwd=project)
    (project / ".git" / "info" / "sparse-checkout").write_text("/nothing/\n/train.py\n")
    git("read-tree", "-m", "-u", "HEAD", cwd=project)
    config = (project / ".git" / "config").read_text()
    made = checkout(Workspace(workspace.repo.open(project)), "past", tmp_path / "by hand")
    assert (then, config) == (contents(made.path), (project / ".git" / "config").read_text())
    assert "" == git("status", "--porcelain", cwd=made.path)
    git("sparse-checkout", "set", "nothing", cwd=project)
    sparse = contents(project)
    assert then != sparse
    assert then == contents(checkout(Workspace(workspace.repo.open(project)), "past").path)
    assert sparse == contents(project)
    url = f"file://{project}"
    git("clone", "-q", "--filter=blob:none", "--sparse", url, tmp_path / "partial", cwd=tmp_path)
    assert then == contents(checkout(Workspace.open(tmp_path / "partial"), "past").path)


def test_a_checkout_that_was_removed_by_hand_can_be_made_again(
    workspace: Workspace, project: Path, tmp_path: Path
) -> None:
    """Git still has it on record; that is forgotten, also where the folder is back and empty."""
    record(workspace)
    for is_back in (False, True):
        made = checkout(workspace, "past")
        shutil.rmtree(made.path)
        if is_back:
            made.path.mkdir()
        assert contents(project) == contents(checkout(workspace, "past").path)
        shutil.rmtree(made.path)
    assert [True] == [each.is_gone for each in list_checkouts(workspace)]


def test_a_folder_is_named_as_git_names_it(workspace: Workspace, tmp_path: Path) -> None:
    """Through links and `..` the folder is the real one, so that its checkout is found again by either name."""
    record(workspace)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    made = checkout(workspace, "past", tmp_path / "link" / "x" / ".." / "out")
    assert tmp_path / "real" / "out" == made.path
    assert [made.path] == remove_checkout(workspace, tmp_path / "link" / "out")


def test_submodules_are_checked_out_when_asked_for(
    workspace: Workspace, project: Path, tmp_path: Path, isolated_home: Path
) -> None:
    """Else it says that they are empty, and how to fill them."""
    with (isolated_home / ".gitconfig").open("a") as config:
        config.write('[protocol "file"]\n\tallow = always\n')
    git("clone", "-q", project, tmp_path / "lib", cwd=tmp_path)
    git("submodule", "add", "-q", tmp_path / "lib", "lib", cwd=project)
    git("commit", "-q", "-m", "Submodule", cwd=project)
    record(workspace)
    without = checkout(workspace, "past", tmp_path / "without")
    assert ["The tree has submodules"] == [text[:23] for text in without.warnings]
    assert [] == list((without.path / "lib").iterdir())
    filled = checkout(workspace, "past", tmp_path / "filled", submodules=True)
    assert (filled.path / "lib" / "train.py").exists()
    assert () == filled.warnings


def test_code_that_a_short_clone_lacks_is_fetched_by_its_id(
    workspace: Workspace, project: Path, bare_remote: Path, tmp_path: Path
) -> None:
    """In a clone of depth 1 with only the tip of the runs; where the remote has not got it, it says what to do."""
    record(workspace)
    then = contents(project)
    (project / "train.py").write_text("print('later')\n")
    git("commit", "-q", "-am", "Later", cwd=project)
    record(workspace, "newer")
    git("push", "-q", bare_remote, "main", "runs", cwd=project)
    url = f"file://{bare_remote}"
    git("clone", "-q", "--depth", "1", "--single-branch", "-b", "main", url, tmp_path / "ci", cwd=tmp_path)
    git("fetch", "-q", "--depth", "1", "origin", "runs:runs", cwd=tmp_path / "ci")
    made = checkout(Workspace.open(tmp_path / "ci"), "past")
    assert then == contents(made.path)
    git("clone", "-q", "--depth", "1", "--single-branch", "-b", "main", url, tmp_path / "cut", cwd=tmp_path)
    git("fetch", "-q", "--depth", "1", "origin", "runs:runs", cwd=tmp_path / "cut")
    bare_remote.rename(tmp_path / "away")
    with pytest.raises(CodeMissing, match=r"`git fetch --unshallow origin runs`"):
        checkout(Workspace.open(tmp_path / "cut"), "past")


def test_an_interrupted_checkout_leaves_nothing(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """Ctrl-C while git checks out, sent to all that a terminal sends it to: folder, branch and record are gone."""
    record(workspace)
    hook = project / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\n: > '{tmp_path}/hooked'\nexec sleep 20\n")
    hook.chmod(0o755)
    refs = git("for-each-ref", cwd=project)
    process = subprocess.Popen(
        [*COMMAND, "checkout", "past", str(tmp_path / "out"), "--branch", "again"],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "hooked").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (130, b"interrupted\n") == (process.returncode, out)
    assert not (tmp_path / "out").exists()
    assert [str(project)] == work_trees(project)
    assert refs == git("for-each-ref", cwd=project)
    assert [] == list_checkouts(workspace)


def test_what_git_refuses_is_told_and_nothing_is_made(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """A place that cannot be written is git's refusal, in git's words."""
    record(workspace)
    (tmp_path / "file").write_text("mine")
    with pytest.raises((WorkTreeRefused, NotADirectoryError)):
        checkout(workspace, "past", tmp_path / "file" / "below")
    assert "mine" == (tmp_path / "file").read_text()
    assert [str(project)] == work_trees(project)
    with pytest.raises(InvalidValue, match="`data` must be one of inputs, all, none"):
        checkout(workspace, "past", data="some")


def test_the_client_has_the_verb(workspace: Workspace, project: Path, tmp_path: Path) -> None:
    """`Client.checkout` takes texts for paths and gives the same."""
    run_id = record(workspace)
    made = Client(project).checkout("past", str(tmp_path / "out"))
    assert (run_id, tmp_path / "out") == (made.run.id, made.path)


def test_a_filter_that_is_not_set_up_is_told(workspace: Workspace, project: Path) -> None:
    """As Git LFS on a machine without it: its files are not what ran, and git says nothing."""
    (project / ".gitattributes").write_text("# filter=no\n*.bin filter=lfs -text\n*.c filter=here\n")
    git("config", "filter.here.smudge", "cat", cwd=project)
    workspace = Workspace.open(project)
    made = checkout(workspace, record(workspace, "filtered"))
    assert [True] == [text.startswith("The filter `lfs` of .gitattributes is not set up") for text in made.warnings]


def test_what_git_refuses_to_write_is_told(workspace: Workspace, project: Path) -> None:
    """The file that makes git refuse a whole tree is named."""
    blob = git("rev-parse", "HEAD:train.py", cwd=project)
    tree = subprocess.run(
        ["git", "mktree"], input=f"100644 blob {blob}\t.GIT\n", cwd=project, capture_output=True, text=True, check=True
    ).stdout.strip()
    run_id = record(workspace, "odd")
    rewrite_record(workspace, run_id, snapshot=git("commit-tree", "-m", "Odd", tree, cwd=project))
    with pytest.raises(WorkTreeRefused, match=r"could not be checked out: invalid path '\.GIT'\. "):
        checkout(workspace, run_id)
