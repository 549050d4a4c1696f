"""A change of the registry, or of the settings that guard it → the file that it is told of."""

from runstone.promotion.rules.settings import is_settings
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import (
    AliasChange,
    CardChange,
    Change,
    ModelChange,
    NotesChange,
    PolicyChange,
    RegistrationChange,
    StageChange,
)
from runstone.registry.layout import Place


def path_of(change: Change, registry: str) -> str:
    """The file that a change is told of."""
    return change.model if is_settings(change) else _place_of(change).path(registry)


def _place_of(change: Change) -> Place:
    match change:
        case StageChange():
            return Place("stage", change.key, change.before if change.after == NO_STAGE else change.after)
        case AliasChange():
            return Place("alias", change.key, change.alias)
        case NotesChange():
            return Place("notes", change.key, str(change.version))
        case RegistrationChange():
            return Place("registration", change.key, change.run)
        case ModelChange():
            return Place("model", change.key)
        case CardChange():
            return Place("card", change.key)
        case PolicyChange():
            return Place("policy", change.key)
