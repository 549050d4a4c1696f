"""Removing objects from a cache and from a remote: only what is old, and files before listings."""

import os
import threading
import time
from pathlib import Path

from runstone.artifacts import removal
from runstone.artifacts.cache import Cache
from runstone.artifacts.descriptor import Descriptor
from runstone.artifacts.remote import Remote


def test_what_is_old_goes_and_what_was_added_again_stays(cache: Cache) -> None:
    """Adding bytes that are here already makes them new, by whatever way they are added."""
    old, again, file = (cache.add_bytes(data) for data in (b"old", b"again", b"f" * 200_000))
    now = removal.clock(cache) + 1
    for digest in (old, again, file):
        os.utime(cache.path(digest), (now - 100, now - 100))
    source = cache.root.parent / "source"
    source.write_bytes(b"f" * 200_000)
    assert again == cache.add_bytes(b"again")
    assert (file, 200_000) == cache.add_file(source)
    assert {old: 3} == removal.remove(cache, [old, again, file, "0" * 32], now - 50)
    assert [False, True, True] == [cache.has(digest) for digest in (old, again, file)]
    assert [] == [path.name for path in (cache.root / "files" / "md5").iterdir() if path.name.startswith(".")]


def test_the_objects_that_are_here(cache: Cache) -> None:
    """Files and listings, no temporary files, none of the fallback."""
    digest = cache.add_bytes(b"data")
    listing, _, _ = cache.add_dir([Descriptor("a", 4, digest)])
    (cache.root / "files" / "md5" / ".runstone-x.tmp").touch()
    (cache.root / "files" / "md5" / "ab").mkdir(exist_ok=True)
    (cache.root / "files" / "md5" / "ab" / "no digest").touch()
    assert {digest, listing} == set(removal.list_objects(cache))
    above = Cache(cache.root.parent / "above", fallback=cache.root)
    assert [] == list(removal.list_objects(above))
    assert {} == removal.remove(above, [digest], time.time() + 100)
    assert above.has(digest)
    found = removal.age_of(cache, digest)
    assert found is not None
    assert (4, None) == (found[1], removal.age_of(above, digest))


def test_adding_beside_removing_loses_nothing(cache: Cache) -> None:
    """Bytes that are old are added and removed at the same moment, many times: whoever added them has them.

    In every third round the adding begins a little later, so that both orders are seen on any machine.
    """
    digest = cache.add_bytes(b"the same again")
    gate = threading.Barrier(2)
    removed = 0

    def add() -> None:
        for turn in range(300):
            gate.wait()
            time.sleep(0.001 if turn % 3 == 0 else 0)
            cache.add_bytes(b"the same again")
            gate.wait()

    thread = threading.Thread(target=add)
    thread.start()
    lost = 0
    for _ in range(300):
        os.utime(cache.path(digest), (0, 0))
        gate.wait()
        removed += len(removal.remove(cache, [digest], 1000))
        gate.wait()
        lost += not cache.has(digest)
        cache.add_bytes(b"the same again")
    thread.join()
    assert 0 == lost
    assert removed > 0


def test_a_remote_loses_what_is_named_and_nothing_else(cache: Cache, tmp_path: Path) -> None:
    """A folder with its listing goes, whatever else is there stays; again is nothing."""
    kept, gone = cache.add_bytes(b"kept"), cache.add_bytes(b"gone")
    listing, _, _ = cache.add_dir([Descriptor("gone", 4, gone)])
    config = f"['remote \"storage\"']\n    url = {tmp_path / 'storage'}\n"
    remote = Remote.open(None, tmp_path / "state", config)
    assert remote is not None
    remote.push([kept, listing], cache)
    told: list[tuple[int, int]] = []
    assert [gone, listing] == removal.remove_remote(
        remote, [listing, gone, "0" * 32], lambda done, all_: told.append((done, all_))
    )
    assert [(1, 2), (2, 2)] == told
    assert {gone, listing} == remote.missing([kept, gone, listing])
    assert [] == removal.remove_remote(remote, [listing, gone])
