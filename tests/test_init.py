"""The names that `import runstone` gives, each imported when it is first used."""

import ast
import inspect

import runstone


def test_what_is_told_to_type_checkers_is_what_there_is() -> None:
    """The imports under TYPE_CHECKING and the table of names agree, and each leads to the same object."""
    tree = ast.parse(inspect.getsource(runstone))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert told == runstone._NAMES | dict.fromkeys(runstone._SUBMODULES, "runstone")
    for name in told:
        assert getattr(runstone, name) is not None
        assert name in dir(runstone)
