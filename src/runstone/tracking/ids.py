"""Ids and names that Runstone makes up: time-ordered run ids, and run names that people can say."""

import os
import random
import re
import threading
import time

_ADJECTIVES = (
    "amber bold brave bright calm clever cool crisp daring deft eager early fair fleet fresh gentle glad golden grand "
    "happy hardy honest jolly keen kind lively loyal lucid merry mighty mild neat nimble noble patient placid polite "
    "proud quick quiet rapid ready rosy royal sage serene sharp silver sleek smart snowy solid steady stout sunny "
    "swift tidy trusty vivid warm wise witty young"
).split()
_NOUNS = (
    "badger beaver bison bobcat crane curlew deer dolphin dove eagle egret elk falcon ferret finch fox gecko gull hare "
    "hawk heron ibex ibis jackal jay kestrel kite koala lark lemur linnet lion lynx magpie marten merlin mole moose "
    "newt ocelot okapi oriole osprey otter owl panda pelican petrel plover puffin quail raven robin salmon seal shrew "
    "sparrow stoat stork swan swift tapir tern thrush tiger toad trout viper vole walrus weasel whale wolf wombat wren"
).split()
_lock = threading.Lock()
_last = 0


def new_run_id() -> str:
    """A UUIDv7 as 32 hex digits: they sort by time, also within one millisecond of one process.

    Source: RFC 9562, 5.7 and 6.2 (method 1: a counter in the twelve bits after the time).
    """
    global _last
    with _lock:
        _last = moment = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
    ms, counter = moment >> 12, moment & 0xFFF
    tail = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    return f"{ms:012x}7{counter:03x}{tail:016x}"


def is_made_up(run_id: str) -> bool:
    """Whether an id has the form of those that trackers make up: 32 hex digits."""
    return re.fullmatch(r"[0-9a-f]{32}", run_id) is not None


def new_run_name() -> str:
    """A name such as `brave-otter-17`; not unique, only easy to say."""
    # Its own generator: a script that seeds `random` must not get one name for all its runs.
    return f"{_random.choice(_ADJECTIVES)}-{_random.choice(_NOUNS)}-{_random.randrange(1000)}"


_random = random.SystemRandom()
