"""What a model's requirements.txt asks for, as lines that pip may be given.

The file comes from other people. Options in it would have pip read other files and ask other indexes, paths mean
another machine's files, and pip puts variables of the environment into URLs: none of these is passed on.
"""

import re
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from runstone.errors import ContextRefused
from runstone.serving.environment import OURS

_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True, slots=True)
class Needed:
    """The requirements of a model.

    Attributes:
        lines: What to install, sorted, each once.
        left_out: Lines that mean nothing elsewhere, as they stand.
    """

    lines: tuple[str, ...]
    left_out: tuple[str, ...]


def read_needed(uri: str, text: str) -> Needed:
    """The requirements without whoever saved the model, comments, options and paths.

    Args:
        uri: The model, for messages.
        text: Its `requirements.txt`.

    Raises:
        ContextRefused: It asks for a package by a URL: an image would hold what that leads to on the day.
    """
    lines = set()
    left_out = []
    for raw in text.replace("\\\n", " ").splitlines():
        plain = _COMMENT.sub("", raw).strip()
        if not plain:
            continue
        try:
            requirement = Requirement(re.sub(r"\s--hash[= ]\S+", "", plain))
        except InvalidRequirement:
            left_out.append(plain)
            continue
        if requirement.url is not None:
            why = f"its requirements.txt asks for `{requirement.name}` by a URL, {requirement.url}"
            raise ContextRefused(uri, why, "Log the model again with `pip_requirements` that name a version of it.")
        if canonicalize_name(requirement.name) not in OURS:
            lines.add(str(requirement))
    return Needed(tuple(sorted(lines)), tuple(left_out))
