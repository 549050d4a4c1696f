"""Gates on what was said of a version: its tags, its signature, its age, the model card."""

import re
import time
from shlex import quote

from runstone.promotion.gates.protocol import (
    Answer,
    Candidate,
    count,
    duration,
    failed,
    passed,
    run_not_here,
    some,
    unknown,
)
from runstone.records.document import Document
from runstone.registry.card import sections

_NO_TEXT = re.compile(r"\A---\n.*?^---[ \t]*$|<!--.*?-->", re.DOTALL | re.MULTILINE)
"""Front matter and comments."""


def tags(candidate: Candidate, asks: Document) -> Answer:
    """`tags`: the version has each; what it does not have itself counts if its run has it."""
    required: dict[str, str | None] = asks["required"]
    own = candidate.tags
    recorded = candidate.recorded
    if recorded is None and any(key not in own for key in required):
        return run_not_here(candidate, candidate.version)
    found = {**(recorded.run.tags if recorded is not None else {}), **own}
    lacking = [key for key in required if key not in found]
    wrong = [key for key, value in required.items() if value is not None and found.get(key, value) != value]
    if not lacking and not wrong:
        return passed(f"{candidate.name} has {_as_asked(required) or 'what is asked for, which is nothing'}.")
    parts = [f"lacks {some(lacking)}"] if lacking else []
    parts += [f"has `{key}={found[key]}` where `{key}={required[key]}` is asked for" for key in wrong[:5]]
    if lacking:
        key = lacking[0]
        value = required[key] or "VALUE"
        what = f"{quote(candidate.state.name)} {quote(f'{key}={value}')} --version {candidate.version.number}"
        step = f" Tag it: `runstone models tag {what}`"
    else:
        step = ""
    return failed(f"{candidate.name} {', and '.join(parts)}.{step}")


def _as_asked(required: dict[str, str | None]) -> str:
    return some([key if value is None else f"{key}={value}" for key, value in required.items()])


def signature(candidate: Candidate, _asks: Document) -> Answer:
    """`signature`: the types of inputs and outputs are known."""
    if candidate.version.body.signature:
        return passed(f"{candidate.name} has a signature.")
    return failed(
        f"{candidate.name} has no signature. Log the model with one (`signature=` or `input_example=`), and register "
        "that."
    )


def age(candidate: Candidate, asks: Document) -> Answer:
    """`age`: the time since the version was made is within bounds."""
    created = candidate.version.created
    if created is None:
        return unknown(f"The git tag of {candidate.name} does not say when it was made.")
    old = int(time.time()) - created // 1000
    told = f"{candidate.name} was made {duration(old)} ago" if old >= 0 else f"{candidate.name} was made in the future"
    if "at_least" in asks and old < asks["at_least"]:
        return failed(f"{told}; at least {duration(asks['at_least'])} is asked for.")
    if "at_most" in asks and old > asks["at_most"]:
        return failed(f"{told}; at most {duration(asks['at_most'])} is asked for.")
    return passed(f"{told}.")


def card(candidate: Candidate, asks: Document) -> Answer:
    """`card`: the model card has text, and below each heading that is asked for."""
    wanted: list[str] = asks["sections"]
    step = f"Write one: `runstone models card {quote(candidate.state.name)} --write`"
    if candidate.card is None:
        return failed(f"{candidate.state.name} has no model card. {step}")
    found = {_plain(title): text for title, text in sections(candidate.card).items()}
    if not wanted:
        if _has_text(_NO_TEXT.sub("", candidate.card)):
            return passed(f"{candidate.state.name} has a model card.")
        return failed(f"The model card of {candidate.state.name} is empty.")
    lacking = [title for title in wanted if _plain(title) not in found]
    empty = [title for title in wanted if not _has_text(found.get(_plain(title), "-"))]
    if not lacking and not empty:
        return passed(f"The model card has {count(len(wanted), 'section')} as asked for: {some(wanted)}.")
    parts = [f"lacks {some(lacking)}"] if lacking else []
    parts += [f"says nothing below {some(empty)}"] if empty else []
    return failed(f"The model card {' and '.join(parts)}.")


def _plain(title: str) -> str:
    return " ".join(title.split()).casefold()


def _has_text(text: str) -> bool:
    """Whether there is more than headings."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())
