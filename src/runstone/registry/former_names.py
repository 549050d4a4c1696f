"""Names of models that are deleted: a version once given under a name must never be given again as another one.

A model keeps its key, so one that is made again counts on. But a model that was renamed and then deleted leaves its
last name to nobody's key, and a new one of that name would begin at 1. The tags that retired its versions say the name.
"""

import re

from runstone import names
from runstone.errors import ModelExists
from runstone.git.repository import Repository
from runstone.registry.numbers import TAGS, read_all_numbers

_SUBJECT = re.compile(r"\n\nRetire (.+) version [0-9]+$", re.MULTILINE)


def refuse_former(repo: Repository, name: str, key: str) -> None:
    """Refuse a name that versions of a model with another key had when they were retired.

    Args:
        repo: The repository.
        name: What a model is to be called.
        key: The key it has or gets.

    Raises:
        ModelExists: A deleted model had the name.
    """
    if repo.refs.read(f"{TAGS}{names.encode_component(name)}@v1") is not None:
        return  # the name's own key has given numbers, and counts on: the usual case, without a scan
    for other, numbers in read_all_numbers(repo).items():
        if other == key or numbers.present or not numbers.retired:
            continue
        _, _, data = repo.objects.read(numbers.retired[max(numbers.retired)])
        subject = _SUBJECT.search(data.decode("utf-8", "replace"))
        if subject is not None and subject[1] == name:
            raise ModelExists(name, "versions of a deleted model were given under this name, which mean those for ever")
