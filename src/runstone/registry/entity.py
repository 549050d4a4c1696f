"""What the registry gives to those who ask: values with names, which nobody changes.

Not dataclasses, as the module that makes these takes longer to import than a version takes to look up; and not named
tuples, since a version is no sequence: `dict(version)` gives its names and values, as MLflow's entities do.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn, Self, dataclass_transform

from runstone.records.document import EMPTY, Document
from runstone.records.stage import NO_STAGE
from runstone.registry.tag import Retirement

RUN_LINK_TAG = "mlflow.runLink"
"""The tag of a version that says where its run is shown, as MLflow's `run_link`."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Entity:
    """Has the fields that its class is annotated with; those with a value there may be left out."""

    _names: ClassVar[tuple[str, ...]]
    _told: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls._names = tuple(cls.__annotations__)
        derived = [name for name, value in vars(cls).items() if isinstance(value, property)]
        cls._told = tuple(sorted([*cls._names, *derived]))

    def __init__(self, **given: Any) -> None:
        if not given.keys() <= set(self._names):
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(given.keys() - set(self._names)))}")
        missing = [name for name in self._names if name not in given and not hasattr(type(self), name)]
        if missing:
            raise TypeError(f"{type(self).__name__} needs {', '.join(missing)}")
        self.__dict__.update({name: given.get(name, getattr(type(self), name, None)) for name in self._names})

    def replace(self, **changes: Any) -> Self:
        """The same with other values for some fields."""
        return type(self)(**{**self.__dict__, **changes})

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values, so that `dict(…)` gives them."""
        return ((name, getattr(self, name)) for name in self._told)

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # the maps in it have none

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name}", name=name, obj=self)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name}", name=name, obj=self)


class ModelVersion(Entity):
    """One version of a registered model.

    Attributes:
        name: The model, by its present name.
        version: 1, 2, 3 …
        run_id: The run that made it.
        source: `runs:/<run id>/<path>`.
        path: The model folder among the run's artifacts.
        record: The run's folder in `commit`.
        commit: The commit that the git tag points at.
        digest: `md5:<hex>.dir` of the model folder.
        flavors: What can load it.
        size: Bytes.
        signature: The types of its inputs and outputs, if known.
        description: What was said of it: last on the default branch, else when it was made.
        aliases: The aliases that point at it, sorted.
        creation_timestamp: Unix milliseconds.
        user_id: Who made the git tag.
        current_stage: The stage that it is in; `None` if in none.
        status: `READY`: a version exists only once it is whole.
        tags: Text to text: as last set on the default branch, else when it was made.
        key: The model's folder and the beginning of its git tags, whatever the model is called now.
        copied_from: The version that it is a copy of, as `models:/churn/4`.
        retired: Who retired it, when and why; None if nobody did.
        status_message: For MLflow's users: nothing, as there is nothing to wait for.
    """

    name: str
    version: int
    run_id: str
    source: str
    path: str
    record: str
    commit: str
    digest: str
    flavors: tuple[str, ...] = ()
    size: int = 0
    signature: Document | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    creation_timestamp: int | None = None
    user_id: str | None = None
    current_stage: str = NO_STAGE
    status: str = "READY"
    tags: dict[str, str] = EMPTY
    key: str = ""
    copied_from: str | None = None
    retired: Retirement | None = None
    status_message: str | None = None

    @property
    def run_link(self) -> str | None:
        """Where its run is shown, if whoever made the version said so."""
        return self.tags.get(RUN_LINK_TAG)

    @property
    def last_updated_timestamp(self) -> int | None:
        """When the git tag was made, or retired. What was said of it since is told by the registry's history."""
        return self.creation_timestamp if self.retired is None else self.retired.timestamp
