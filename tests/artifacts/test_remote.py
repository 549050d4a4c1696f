import shutil
import sys
from pathlib import Path

import pytest

from runstone.artifacts.cache import Cache
from runstone.artifacts.config import find_cache
from runstone.artifacts.pointer import Pointer, format_pointer, parse_pointer
from runstone.artifacts.remote import Remote, Transfer, _Counter
from runstone.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    RemoteFailed,
    RemoteNotConfigured,
)
from tests.support import git, run_python

from .conftest import FILES, Dvc, add_tree, read_files, write_files

UNIQUE = len(set(FILES.values()))
SIZE = sum(map(len, set(FILES.values())))
LOCAL = "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../store\n"


def state(repo: Path) -> Path:
    """Runstone's own folder in a repository."""
    return repo / ".git" / "runstone"


def opened(repo: Path, text: str | None = LOCAL, name: str | None = None) -> Remote:
    """The remote of a repository, which has one."""
    remote = Remote.open(repo, state(repo), text, name)
    assert remote is not None
    return remote


def opened_at(top: Path, state_dir: Path) -> Remote:
    """The remote that the branch of runs names, in one of several work trees."""
    remote = Remote.open(top, state_dir, LOCAL)
    assert remote is not None
    return remote


def object_in(root: Path, digest: str) -> Path:
    """Where an object lies on a folder remote."""
    return root / "files" / "md5" / digest[:2] / digest[2:]


def spoil(path: Path) -> None:
    """Change an object, leaving it read-only as DVC trusts it."""
    path.chmod(0o644)
    path.write_bytes(b"spoilt")
    path.chmod(0o444)


@pytest.mark.dvc
def test_plain_dvc_pulls_what_we_pushed_from_a_clone(
    git_repo: Path, tmp_path: Path, tree: Path, cache: Cache, dvc: Dvc
) -> None:
    """A cloned branch with our pointer and configuration: `dvc pull` brings every byte, `dvc status -c` is clean."""
    pointer = Pointer(*add_tree(cache, tree))
    remote = opened(git_repo)
    assert Transfer(UNIQUE + 1, SIZE + cache.path(pointer.digest).stat().st_size) == remote.push(
        [pointer.digest], cache
    )
    git("checkout", "-q", "--orphan", "runs", cwd=git_repo)
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text(remote.public_config())
    (git_repo / "artifacts.dvc").write_text(format_pointer(pointer))
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "A run", cwd=git_repo)

    git("clone", "-q", "-b", "runs", git_repo, "clone", cwd=tmp_path)
    dvc("pull", cwd=tmp_path / "clone")
    assert read_files(tree) == read_files(tmp_path / "clone" / "artifacts")
    assert "Cache and remote 'store' are in sync.\n" == dvc("status", "-c", cwd=tmp_path / "clone")
    shutil.rmtree(tmp_path / "clone" / ".dvc" / "tmp", ignore_errors=True)
    assert "Data and pipelines are up to date.\n" == dvc("status", cwd=tmp_path / "clone")


@pytest.mark.dvc
def test_we_pull_what_plain_dvc_pushed(git_repo: Path, tmp_path: Path, dvc: Dvc) -> None:
    """A repository with a DVC of its own: its configuration, relative URL included, is used as DVC uses it."""
    dvc("init", "-q", cwd=git_repo)
    dvc("remote", "add", "-d", "store", "../store", cwd=git_repo)
    artifacts = write_files(git_repo / "artifacts")
    dvc("add", "-q", "artifacts", cwd=git_repo)
    dvc("push", "-q", cwd=git_repo)
    shutil.rmtree(git_repo / ".dvc" / "cache")
    pointer = parse_pointer((git_repo / "artifacts.dvc").read_text(), "artifacts.dvc")
    cache = find_cache(git_repo, state(git_repo))

    seen: list[tuple[int, int]] = []
    remote = opened(git_repo, None)
    moved = remote.pull([pointer.digest], cache, lambda done, total: seen.append((done, total)))
    assert UNIQUE + 1 == moved.count
    assert (UNIQUE + 1, UNIQUE + 1) == seen[-1]
    assert Transfer(0, 0) == remote.pull([pointer.digest], cache)
    for entry in cache.read_dir(pointer.digest):
        cache.copy_out(entry.md5, tmp_path / "out" / entry.path)
    assert read_files(artifacts) == read_files(tmp_path / "out")
    assert (git_repo / ".dvc" / "config").read_text() == remote.public_config()


def test_push_is_repeatable_and_finishes_what_was_interrupted(git_repo: Path, tree: Path, cache: Cache) -> None:
    """Only what is missing is sent; the listing of a folder is the last to arrive."""
    digest, _, _ = add_tree(cache, tree)
    remote = opened(git_repo)
    listed = {entry.md5 for entry in cache.read_dir(digest)}
    assert {*listed, digest} == remote.missing([*listed, digest])
    remote.push([digest], cache)
    assert Transfer(0, 0) == remote.push([digest], cache)
    store = git_repo.parent / "store"
    times = {d: object_in(store, d).stat().st_ctime_ns for d in [*listed, digest]}
    assert digest == max(times, key=lambda d: times[d])
    lost = next(iter(listed))
    object_in(store, lost).unlink()
    assert {lost} == remote.missing([*listed, digest])
    assert 1 == remote.push([digest], cache).count
    assert set() == remote.missing([*listed, digest])


def test_what_another_clone_has_sent_meanwhile_stays_whole(git_repo: Path, cache: Cache, tmp_path: Path) -> None:
    """An object that both send is replaced at once: neither emptied nor away while it is copied (a race, in CI)."""
    remote = opened(git_repo)
    digest = cache.add_bytes(b"of both")
    there = object_in(tmp_path / "store", digest)
    remote.push([digest], cache)
    (tmp_path / "same").hardlink_to(there)
    remote._send([digest], cache, _Counter(None, 1))  # as if it had not been there when `push` looked
    assert b"of both" == (tmp_path / "same").read_bytes() == there.read_bytes()
    assert 0o444 == there.stat().st_mode & 0o777


def test_a_listing_can_be_pulled_alone(git_repo: Path, tree: Path, cache: Cache, tmp_path: Path) -> None:
    """To list a run's artifacts takes one object, not the artifacts."""
    digest, _, _ = add_tree(cache, tree)
    opened(git_repo).push([digest], cache)
    other = Cache(tmp_path / "other")
    assert 1 == opened(git_repo).pull([digest], other, expand=False).count
    assert sorted(FILES) == [entry.path for entry in other.read_dir(digest)]


def test_what_neither_side_has_is_named_before_anything_is_sent(git_repo: Path, tree: Path, cache: Cache) -> None:
    """A hole in the cache is told, and the remote stays as it was."""
    digest, _, _ = add_tree(cache, tree)
    lost = cache.read_dir(digest)[0].md5
    cache.path(lost).unlink()
    with pytest.raises(ArtifactMissing) as missing:
        opened(git_repo).push([digest], cache)
    assert lost == missing.value.digest
    assert not (git_repo.parent / "store").exists()


def test_a_damaged_object_is_not_pushed(git_repo: Path, tree: Path, cache: Cache) -> None:
    """Damage in the cache does not spread."""
    digest, _, _ = add_tree(cache, tree)
    spoil(cache.path(cache.read_dir(digest)[0].md5))
    with pytest.raises(ArtifactCorrupt):
        opened(git_repo).push([digest], cache)
    assert not (git_repo.parent / "store").exists()


def test_a_damaged_object_on_the_remote_is_not_taken_in(
    git_repo: Path, tree: Path, cache: Cache, tmp_path: Path
) -> None:
    """It is named, the rest of the cache stays clean, and the next pull says so again."""
    digest, _, _ = add_tree(cache, tree)
    opened(git_repo).push([digest], cache)
    bad = cache.read_dir(digest)[0].md5
    spoil(object_in(tmp_path / "store", bad))
    other = Cache(tmp_path / "other")
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt) as damaged:
            opened(git_repo).pull([digest], other)
        assert str(damaged.value).startswith(f"The object {object_in(tmp_path / 'store', bad)} on the remote `store` ")
    assert not other.has(bad)
    assert [] == list(other.root.rglob("*.tmp"))


def test_an_object_that_the_remote_lacks_is_named(git_repo: Path, cache: Cache, tmp_path: Path) -> None:
    """The error says which remote, and who can help."""
    remote = opened(git_repo)
    (tmp_path / "store").mkdir()
    with pytest.raises(ArtifactMissing) as missing:
        remote.pull(["a" * 32], cache)
    assert (
        f"The artifact bytes md5:{'a' * 32} are not in the remote `store` ({tmp_path / 'store'}). "
        "Push it from a clone that has it: `runstone artifacts push --all`"
    ) == str(missing.value)


@pytest.mark.parametrize(
    ("text", "local", "why"),
    [
        (LOCAL, "", "Its URL, `../../store`, is meant relative to each clone; tell this one where the folder is"),
        (LOCAL.replace("../../store", "{tmp}/store"), "", "See that its disk is mounted, or tell this clone where"),
        (LOCAL, "['remote \"store\"']\n    url = {tmp}/store\n", "See that its disk is mounted, or tell this clone"),
    ],
)
def test_a_folder_that_is_not_there_is_told_and_not_made(
    git_repo: Path, cache: Cache, tmp_path: Path, text: str, local: str, why: str
) -> None:
    """To bring something from it is an error that says how to name it in this clone."""
    if local:
        state(git_repo).mkdir()
        (state(git_repo) / "dvc.local").write_text(local.format(tmp=tmp_path))
    remote = opened(git_repo, text.replace("{tmp}", str(tmp_path)))
    with pytest.raises(RemoteFailed) as failed:
        remote.pull(["a" * 32], cache)
    folder = tmp_path / "store"
    assert str(failed.value).startswith(f"The DVC remote `store` ({folder}): its folder does not exist. {why}")
    steps = f": `runstone init --local --remote PATH`. If it is to begin empty: `mkdir -p {folder}`"
    assert str(failed.value).endswith(steps)
    assert not folder.exists()
    folder.mkdir()
    remote.need_folder()


FULL = """
import resource, sys
from pathlib import Path
from runstone.artifacts.cache import Cache
from runstone.artifacts.remote import Remote
from runstone.errors import DiskFull
repo, cache, digest, verb, limit = sys.argv[1:]
remote = Remote.open(Path(repo), Path(repo) / ".git" / "runstone", None)
remote.missing([digest])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
try:
    getattr(remote, verb)([digest], Cache(Path(cache)))
except DiskFull as error:
    print(error.path)
"""


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_full_disk_is_told_from_a_broken_remote(git_repo: Path, tmp_path: Path, cache: Cache, verb: str) -> None:
    """Whichever side is full is named, and nothing half stays in the cache."""
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text(LOCAL)
    digest = cache.add_bytes(bytes(300_000))
    other = Cache(tmp_path / "other")
    if verb == "pull":
        opened(git_repo, None).push([digest], cache)
    target = cache if verb == "push" else other
    done = run_python(FULL, str(git_repo), str(target.root), digest, verb, "100000", cwd=git_repo)
    assert f"{tmp_path / 'store' if verb == 'push' else other.root}\n" == done.stdout
    assert not other.has(digest)
    assert [] == list(other.root.rglob("*.tmp"))


def test_no_remote_is_no_error_and_needs_no_dvc(git_repo: Path) -> None:
    """A repository without a remote is told so, also where dvc is not installed."""
    source = str(Path(__file__).parents[2] / "src")
    code = (
        f"import sys; sys.path.insert(0, {source!r}); from pathlib import Path\n"
        "from runstone.artifacts.remote import Remote\nfrom runstone.errors import MissingLibrary\n"
        "repo = Path(sys.argv[1])\n"
        "print(Remote.open(repo, repo / '.git' / 'runstone', None))\n"
        "try: Remote.open(repo, repo / '.git' / 'runstone', sys.argv[2])\n"
        "except MissingLibrary as error: print(error)"
    )
    program = git_repo / "program.py"
    program.write_text(
        f"import os, sys\nos.execv(sys.executable, [sys.executable, '-S', '-c', {code!r}, *sys.argv[1:]])"
    )
    lines = run_python(program, str(git_repo), LOCAL, cwd=git_repo).stdout.splitlines()
    expected = (
        "`dvc` is needed to push and pull artifacts, and is not installed. Install it: `pip install 'runstone[dvc]'`"
    )
    assert ["None", expected] == lines


def test_remotes_are_chosen_by_name_or_default(git_repo: Path) -> None:
    """The one named, else the default, else the only one; anything else is told with what there is."""
    two = LOCAL.replace("[core]\n    remote = store\n", "") + "['remote \"other\"']\n    url = /other\n"
    assert "/other" == opened(git_repo, two, "OTHER").url
    assert "store" == opened(git_repo, LOCAL.partition("\n[")[2].join(("[", ""))).name
    with pytest.raises(RemoteNotConfigured) as several:
        opened(git_repo, two)
    assert ("No DVC remote is the default. There are: other, store. Choose one: `dvc remote default NAME`") == str(
        several.value
    )
    with pytest.raises(RemoteNotConfigured) as unknown:
        opened(git_repo, two, "third")
    assert "There is no DVC remote `third`. There are: other, store. Choose one: `dvc remote default NAME`" == str(
        unknown.value
    )
    with pytest.raises(RemoteNotConfigured):
        opened(git_repo, None, "third")


def test_secrets_of_the_machine_are_added_and_commands_of_others_are_not_run(git_repo: Path) -> None:
    """`dvc.local` completes the branch's configuration; a command or a key file that was pushed is passed over."""
    pushed = "['remote \"dav\"']\n    url = webdav://host/x\n    bearer_token_command = touch /tmp/x\n    keyfile = k\n"
    state(git_repo).mkdir()
    (state(git_repo) / "dvc.local").write_text("['remote \"dav\"']\n    password = 5ecret\n")
    remote = opened(git_repo, pushed)
    assert {"url": "webdav://host/x", "password": "5ecret", "verify": False} == dict(remote._config["remote"]["dav"])
    assert "[core]\n    remote = dav\n['remote \"dav\"']\n    url = webdav://host/x\n" == remote.public_config()


def test_relative_folders_mean_the_same_in_every_work_tree(git_repo: Path, tmp_path: Path) -> None:
    """In a linked work tree and in a bare repository, and whatever the current folder is."""
    linked = tmp_path / "far" / "away" / "linked"
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text(LOCAL)
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "DVC", cwd=git_repo)
    git("worktree", "add", "-q", linked, cwd=git_repo)
    for top in (git_repo, linked):
        remote = Remote.open(top, state(git_repo), None)
        assert remote is not None
        assert str(tmp_path / "store") == remote.url
    (linked / ".dvc" / "config").unlink()
    (linked / ".dvc").rmdir()
    (git_repo / ".dvc" / "config").unlink()
    (git_repo / ".dvc").rmdir()
    for top in (git_repo, linked):  # by the configuration on the branch of runs
        assert str(tmp_path / "store") == opened_at(top, state(git_repo)).url
    bare = Remote.open(None, tmp_path / "remote.git" / "runstone", LOCAL)
    assert bare is not None
    assert str(tmp_path / "store") == bare.url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("['remote \"a\"']\n    url = nothing://x/y\n", "Unsupported URL type nothing://"),
        ("['remote \"a\"']\n    url = /x\n    jobs = many\n", "expected int"),
    ],
)
def test_a_configuration_that_dvc_refuses_is_explained(git_repo: Path, text: str, why: str) -> None:
    """DVC's own reason, and where to look."""
    with pytest.raises(RemoteFailed, match=why) as failed:
        opened(git_repo, text)
    assert "`dvc config --list`" in str(failed.value)


def test_a_remote_that_names_files_itself_is_refused(git_repo: Path, cache: Cache) -> None:
    """Cloud versioning keeps no objects by digest."""
    text = "['remote \"a\"']\n    url = s3://bucket/x\n    version_aware = true\n"
    with pytest.raises(RemoteFailed, match="version_aware"):
        opened(git_repo, text).push([cache.add_bytes(b"x")], cache)


def test_pulling_one_run_costs_the_same_beside_many(git_repo: Path, tree: Path, cache: Cache, tmp_path: Path) -> None:
    """What is opened or listed on the remote for one run's artifacts does not grow with the objects of others."""
    digest, _, _ = add_tree(cache, tree)
    opened(git_repo).push([digest], cache)
    store = tmp_path / "store" / "files" / "md5"
    touched: list[str] = []
    listening = True

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(str(store)):
            touched.append(f"{event} {arguments[0]}")

    def pull(name: str) -> list[str]:
        touched.clear()
        opened(git_repo).pull([digest], Cache(tmp_path / name))
        return sorted(touched)

    sys.addaudithook(listen)  # it cannot be removed again, so it is told to stop listening
    try:
        alone = pull("alone")
        for number in range(2_000):
            path = store / f"{number % 256:02x}" / f"{number:030x}"
            path.parent.mkdir(exist_ok=True)
            path.touch()
        assert alone
        assert alone == pull("beside others")
    finally:
        listening = False
