import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runstone.artifacts.cache import Cache
from runstone.artifacts.descriptor import Descriptor
from runstone.errors import ArtifactCorrupt, ArtifactMissing, DiskFull, InvalidName, InvalidValue

from .conftest import FILES, add_tree, read_files

BIG = 20 * 1024 * 1024 + 12_345
HI = hashlib.md5(b"hi").hexdigest()


def md5(data: bytes) -> str:
    """The MD5 of bytes."""
    return hashlib.md5(data).hexdigest()


def leftovers(cache: Cache) -> list[str]:
    """Files in a cache that are no objects."""
    return [p.name for p in cache.root.rglob("*") if p.is_file() and p.name.startswith(".")]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 8 << 20, BIG])
def test_a_file_is_stored_and_copied_out_whole(cache: Cache, tmp_path: Path, size: int) -> None:
    """Whatever its size, a file lies under its MD5, read-only, and comes out byte for byte, writable."""
    data = os.urandom(size)
    (tmp_path / "in").write_bytes(data)
    assert (md5(data), size) == cache.add_file(tmp_path / "in")
    stored = cache.path(md5(data))
    assert data == stored.read_bytes()
    assert 0o444 == stat.S_IMODE(stored.stat().st_mode)
    cache.copy_out(md5(data), tmp_path / "new" / "out")
    assert data == (tmp_path / "new" / "out").read_bytes()
    assert os.access(tmp_path / "new" / "out", os.W_OK)
    assert [] == leftovers(cache)


def test_the_copy_is_not_linked_to_the_users_file(cache: Cache, tmp_path: Path) -> None:
    """A file that is changed after it was logged leaves what was logged as it was."""
    for size in (10, BIG):
        file = tmp_path / f"f{size}"
        file.write_bytes(b"a" * size)
        digest, _ = cache.add_file(file)
        file.write_bytes(b"b" * size)
        cache.verify(digest)


def test_a_file_that_changes_meanwhile_is_stored_as_what_was_hashed(cache: Cache, tmp_path: Path) -> None:
    """A writer that never stops: whatever was caught, each object is what its digest says."""
    file = tmp_path / "busy"
    file.write_bytes(bytes(BIG))
    stop = threading.Event()

    def write() -> None:
        number = 0
        with file.open("r+b") as stream:
            while not stop.is_set():
                number += 1
                stream.seek((number * 7_919 * 4096) % BIG)
                stream.write(number.to_bytes(8, "big") * 512)
                stream.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        digests = {cache.add_file(file)[0] for _ in range(5)}
    finally:
        stop.set()
        writer.join()
    assert len(digests) > 1, "the writer was to change the file between two of the five"
    for digest in digests:
        cache.verify(digest)


def test_equal_bytes_are_stored_once(cache: Cache, tmp_path: Path) -> None:
    """Adding again what is there does not write it anew; it only looks new, so that no collection takes it."""
    first = cache.path(cache.add_bytes(b"hi")).stat()
    os.utime(cache.path(HI), (0, 0))
    (tmp_path / "same").write_bytes(b"hi")
    cache.add_file(tmp_path / "same")
    again = cache.path(HI).stat()
    assert (first.st_ino, True) == (again.st_ino, again.st_mtime >= first.st_mtime - 1)


def test_a_torn_object_does_not_count_and_is_healed(cache: Cache) -> None:
    """An empty file, as a power loss leaves it, is not taken for the bytes, and adding them again mends it."""
    path = cache.path(cache.add_bytes(b"hi"))
    path.chmod(0o644)
    path.write_bytes(b"")
    assert not cache.has(HI)
    cache.add_bytes(b"hi")
    assert b"hi" == cache.read_bytes(HI)
    assert cache.has(cache.add_bytes(b""))


def test_folder_in_and_out(cache: Cache, tree: Path) -> None:
    """A folder's listing gives its files back, with sizes."""
    digest, size, count = add_tree(cache, tree)
    assert (sum(map(len, FILES.values())), len(FILES)) == (size, count)
    expected = [Descriptor(path, len(data), md5(data)) for path, data in sorted(FILES.items())]
    assert expected == cache.read_dir(digest)


def test_sizes_are_unknown_where_the_bytes_are_not_here(cache: Cache) -> None:
    """A listing alone tells paths and digests; a folder cannot be made of what has no size."""
    digest, _, _ = cache.add_dir([Descriptor("a", 5, "a" * 32)])
    assert [Descriptor("a", None, "a" * 32)] == cache.read_dir(digest)
    with pytest.raises(ArtifactMissing):
        cache.add_dir([Descriptor("a", None, "a" * 32)])


def test_many_files_keep_their_order(cache: Cache, tmp_path: Path) -> None:
    """Files added in parallel come back in the order they were named."""
    files = []
    for number in range(100):
        (tmp_path / str(number)).write_bytes(b"x" * number)
        files.append((tmp_path / str(number), f"d/{number}"))
    expected = [Descriptor(f"d/{n}", n, md5(b"x" * n)) for n in range(100)]
    assert expected == cache.add_files(files)


def test_one_bad_file_among_many_is_named(cache: Cache, tmp_path: Path) -> None:
    """The first error of the parallel work is raised, and a path that cannot be stops all before anything is stored."""
    for number in range(50):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    files = [(tmp_path / str(number), str(number)) for number in range(50)]
    with pytest.raises(FileNotFoundError, match="gone"):
        cache.add_files([*files, (tmp_path / "gone", "gone")])
    other = Cache(tmp_path / "other")
    with pytest.raises(InvalidName):
        other.add_files([*files, (tmp_path / "1", "../1")])
    assert not other.root.exists()


@pytest.mark.parametrize("method", ["read_bytes", "verify", "copy_out"])
@pytest.mark.parametrize("size", [100, BIG])
def test_every_reading_notices_damage(cache: Cache, tmp_path: Path, method: str, size: int) -> None:
    """One changed byte raises an error that names file and digest, and nothing is written."""
    data = bytes(size)
    digest = cache.add_bytes(data)
    path = cache.path(digest)
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"!")
    arguments = [digest, tmp_path / "out"] if method == "copy_out" else [digest]
    with pytest.raises(ArtifactCorrupt) as damaged:
        getattr(cache, method)(*arguments)
    found = md5(path.read_bytes())
    assert (
        f"{path} should hold the artifact bytes md5:{digest}, but its content has md5:{found}: it was damaged or "
        "changed, and was not used. "
        f"Delete it and fetch it again: `rm -f '{path}'`, then `runstone artifacts pull --all`"
    ) == str(damaged.value)
    assert ["cache"] == [p.name for p in tmp_path.iterdir()]


@pytest.mark.parametrize("method", ["read_bytes", "verify", "sync"])
def test_what_is_not_here_is_said_so(cache: Cache, method: str) -> None:
    """The error names digest and cache, and how to get the bytes."""
    with pytest.raises(ArtifactMissing) as missing:
        getattr(cache, method)(["a" * 32] if method == "sync" else "a" * 32)
    assert (
        f"The artifact bytes md5:{'a' * 32} are not in the cache {cache.root}. "
        "Fetch them from the remote: `runstone artifacts pull --all`"
    ) == str(missing.value)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "a" * 31, ""])
def test_a_digest_that_is_none_never_becomes_a_path(cache: Cache, digest: str) -> None:
    """Digests come from records of other people."""
    for method in (cache.path, cache.has, cache.read_bytes, cache.verify):
        with pytest.raises(InvalidName):
            method(digest)


def test_what_is_no_file_is_refused_at_once(cache: Cache, tmp_path: Path) -> None:
    """A folder is refused, and a pipe without waiting for its writer."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises((InvalidValue, IsADirectoryError)):
            cache.add_file(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a file without a size, as Linux has")
def test_a_file_that_claims_to_be_empty_is_read_to_its_end(cache: Cache) -> None:
    """Files of the kernel have no size and yet content."""
    assert cache.add_file(Path("/proc/self/status"))[1] > 100


def test_sync_accepts_few_and_many(cache: Cache) -> None:
    """Both ways of syncing return, for files and listings, and for objects that lie in the fallback."""
    digests = [cache.add_bytes(b"%d" % number) for number in range(40)]
    cache.sync(digests[:3])
    cache.sync(digests)
    cache.sync([])
    Cache(cache.root.parent / "new", fallback=cache.root).sync(digests[:1])


def test_what_an_older_cache_holds_is_still_read(cache: Cache, tmp_path: Path) -> None:
    """A cache with a fallback reads from it, and writes to itself alone."""
    cache.add_bytes(b"old")
    new = Cache(tmp_path / "new", fallback=cache.root)
    assert b"old" == new.read_bytes(md5(b"old"))
    assert new.has(md5(b"old"))
    new.add_bytes(b"new")
    assert not cache.has(md5(b"new"))
    assert new.path(md5(b"new")).is_relative_to(new.root)


def test_a_shared_cache_can_be_written_by_the_group(tmp_path: Path) -> None:
    """Folders get the mode that DVC's `cache.shared = group` gives them."""
    cache = Cache(tmp_path / "shared", shared=True)
    parent = cache.path(cache.add_bytes(b"x")).parent
    for folder in (parent, parent.parent, cache.root):
        assert 0o2775 == stat.S_IMODE(folder.stat().st_mode)


def test_files_of_killed_processes_are_swept_up(cache: Cache) -> None:
    """What lay about for a day goes; what may be in use stays."""
    cache.add_bytes(b"x")
    old, new, folder = (cache.root / "files" / "md5" / f".runstone-{name}.tmp" for name in ("old", "new", "folder"))
    for file in (old, new):
        file.write_bytes(b"")
    folder.mkdir()
    (folder / "0").write_bytes(b"")
    for stale in (old, folder):
        os.utime(stale, (time.time() - 100_000,) * 2)
    Cache(cache.root).add_bytes(b"y")
    assert [new.name] == leftovers(cache)
    assert not folder.exists()


FULL = """
import resource, signal, sys
from pathlib import Path
from runstone.artifacts.cache import Cache
from runstone.errors import DiskFull
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    Cache(Path(sys.argv[1])).add_file(Path(sys.argv[2]))
except DiskFull as error:
    print(error)
"""


@pytest.mark.parametrize(("size", "limit"), [(100_000, 50_000), (BIG, 10_000_000)])
def test_a_full_disk_is_named_and_leaves_nothing(cache: Cache, tmp_path: Path, size: int, limit: int) -> None:
    """The error names the cache and says what to do; no half file stays."""
    (tmp_path / "in").write_bytes(bytes(size))
    source = Path(__file__).parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, "-c", FULL, str(cache.root), str(tmp_path / "in"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith(f"{cache.root} could not be written: File too large. ")
    assert [] == [p for p in cache.root.rglob("*") if p.is_file()]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_may_not_be_written_is_named(cache: Cache) -> None:
    """No permission is told as such."""
    cache.root.mkdir()
    cache.root.chmod(0o555)
    with pytest.raises(DiskFull, match=f"^{cache.root} could not be written: Permission denied"):
        cache.add_bytes(b"x")


def test_many_processes_may_add_the_same(cache: Cache, tmp_path: Path) -> None:
    """Processes that add the same files at one moment all succeed, and every object is whole."""
    for number in range(60):
        (tmp_path / f"f{number}").write_bytes(b"%d" % (number // 2) * 5_000)
    code = (
        "import sys; from pathlib import Path; from runstone.artifacts.cache import Cache\n"
        "files = sorted(Path(sys.argv[2]).glob('f*'))\n"
        "print(Cache(Path(sys.argv[1])).add_dir(Cache(Path(sys.argv[1])).add_files([(f, f.name) for f in files]))[0])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "-c", code, str(cache.root), str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    digests = {process.communicate()[0].strip() for process in running}
    assert 1 == len(digests)
    for entry in cache.read_dir(digests.pop()):
        cache.verify(entry.md5)
    assert [] == leftovers(cache)
    assert 31 == len(read_files(cache.root))
