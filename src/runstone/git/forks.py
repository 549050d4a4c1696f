"""What must be made anew in a forked child: locks that another thread held, files and pipes that are the parent's."""

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Something that a forked child must not use as the parent left it."""

    def after_fork(self) -> None:
        """Make it usable in the child, leaving what belongs to the parent alone."""


_watched: "weakref.WeakSet[ForkAware]" = weakref.WeakSet()


def watch(thing: ForkAware) -> None:
    """Call `thing.after_fork()` in every child forked from now on, for as long as the thing lives."""
    _watched.add(thing)


def _after_fork() -> None:
    for thing in list(_watched):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
