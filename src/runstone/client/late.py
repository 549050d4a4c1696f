"""Modules that are imported when they are used: a process that looks one thing up needs few of them."""

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module of Runstone until something of it is used.

    Args:
        name: Its name below `runstone`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(f"runstone.{self._name}"), attribute)
