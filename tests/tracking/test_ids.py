"""Ids sort by time and never repeat; names can be said."""

import random
import re
import threading
import time
import uuid

from runstone.names import check_name, check_run_id
from runstone.tracking.ids import new_run_id, new_run_name


def test_ids_are_uuids_of_version_7_and_of_now() -> None:
    """Any UUID library reads the version and the time out of them."""
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_run_id())
    after = time.time_ns() // 1_000_000
    assert (7, uuid.RFC_4122) == (made.version, made.variant)
    assert before <= made.int >> 80 <= after + 1


def test_ids_sort_in_the_order_they_were_made() -> None:
    """Also within one millisecond."""
    made = [new_run_id() for _ in range(5000)]
    assert made == sorted(set(made))
    assert made[0] == check_run_id(made[0])


def test_threads_never_get_one_id_twice() -> None:
    """Eight threads that make ids at once."""
    made: list[list[str]] = []
    threads = [threading.Thread(target=lambda: made.append([new_run_id() for _ in range(500)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4000 == len({one for each in made for one in each})


def test_names_are_speakable_and_ignore_the_users_seed() -> None:
    """A script that seeds `random` neither gets one name for all its runs nor finds its own numbers changed."""
    random.seed(0)
    expected = random.random()
    random.seed(0)
    names = {new_run_name() for _ in range(20)}
    assert expected == random.random()
    assert 15 < len(names)
    for name in names:
        assert re.fullmatch(r"[a-z]+-[a-z]+-[0-9]{1,3}", check_name("run name", name))
