"""A change of the registry in one line, as lists and messages name it."""

from runstone.git.repository import CONFIG_FILE
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


def describe(change: Change) -> str:
    """`churn v4: None → Production`, `churn@champion: v3 → v4`, `churn: renamed to attrition` …"""
    match change:
        case StageChange():
            return f"{change.model} v{change.version}: {change.before} → {change.after}"
        case AliasChange():
            before, after = (NO_STAGE if v is None else f"v{v}" for v in (change.before, change.after))
            return f"{change.model}@{change.alias}: {before} → {after}"
        case RegistrationChange():
            verb = "register" if change.before is None else "withdraw" if change.after is None else "change"
            return f"{change.model}: {verb} run {change.run[:12]}"
        case NotesChange():
            return f"{change.model} v{change.version}: notes {_verb(change.before, change.after)}"
        case CardChange():
            return f"{change.model}: model card {_verb(change.before, change.after)}"
        case ModelChange() if change.renamed is not None:
            return f"{change.renamed[0]}: renamed to {change.renamed[1]}"
        case ModelChange():
            return f"{change.model}: model.yaml {_verb(change.before, change.after)}"
        case PolicyChange() if is_settings(change):
            return f"{'settings' if change.model == CONFIG_FILE else change.model} {_verb(change.before, change.after)}"
        case PolicyChange():
            return f"{f'policy of {change.model}' if change.model else 'policy'} {_verb(change.before, change.after)}"


def _verb(before: object, after: object) -> str:
    return "added" if before is None else "removed" if after is None else "changed"
