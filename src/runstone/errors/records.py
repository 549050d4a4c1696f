"""Records that cannot be read."""

import re

from runstone.errors.base import RunstoneError


class RecordInvalid(RunstoneError):
    """A record that breaks its schema: file, key and what was found there."""

    def __init__(self, where: str, problem: str, *, next_step: str | None = None) -> None:
        self.where, self.problem = where, problem
        found = re.fullmatch(r"(.*)( at [0-9a-f]{7,64})", where, re.DOTALL)  # the file, and the commit it was read at
        path, commit = found.groups() if found else (where, "")
        quoted = path if re.fullmatch(r"[\w./@%+-]+", path) else '"' + path + '"'
        step = next_step or f"Correct it, then: `runstone validate {quoted}`"
        super().__init__(f"`{path}`{commit}: {problem}. {step}")


class NewerFormat(RunstoneError):
    """A record written by a newer Runstone than this one."""

    def __init__(self, where: str, schema: str, known: str) -> None:
        self.where, self.schema, self.known = where, schema, known
        super().__init__(
            f"`{where}` has the format `{schema}`, and this Runstone reads up to `{known}`. "
            "Upgrade: `pip install --upgrade runstone`"
        )
