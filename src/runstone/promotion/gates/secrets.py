"""The gate on secrets: what a promotion would make many people read holds none that its looks give away."""

from collections.abc import Iterator

from runstone.artifacts.descriptor import Descriptor
from runstone.errors import RunstoneError
from runstone.git.runs import layout
from runstone.promotion.gates.artifacts import list_files
from runstone.promotion.gates.protocol import Answer, Candidate, count, failed, passed, run_not_here, some
from runstone.records.document import Document

_LARGEST = 1_000_000
_TEXTS = (layout.NOTES, layout.REQUIREMENTS)


def no_secrets(candidate: Candidate, _asks: Document) -> Answer:
    """`no_secrets`: nothing in the record, the card, the notes and the model's small text files looks like a secret.

    What was found is told by its place, never by its text.
    """
    if candidate.recorded is None:
        return run_not_here(candidate, candidate.version)
    redactor = candidate.redactor
    files, away = _text_files(candidate)
    places = [*_record(candidate), *files]
    found = [where for where, key, value in places if redactor.secrets((), {key: value})]
    if redactor.secrets(candidate.recorded.run.source.command, {}):
        found.append("run.yaml: source.command")
    if found:
        step = "If they are none, allow them in runstone.yaml of the default branch: `secrets: {allow: […]}`"
        return failed(f"{count(len(found), 'place')} may hold a secret: {some(found)}. {step}")
    also = f"; {count(away, 'file')} of the model, whose bytes are not here, were not read" if away else ""
    return passed(
        f"Nothing in the record, the card and {count(len(files), 'text file')} of the model looks secret{also}."
    )


def _record(candidate: Candidate) -> Iterator[tuple[str, str, object]]:
    """Place, key and value of all that was said."""
    recorded = candidate.recorded
    assert recorded is not None
    document = recorded.run.to_document()
    for part in ("params", "tags"):
        for key, value in (document.pop(part, None) or {}).items():
            yield f"run.yaml: {part}.{key}", str(key), value
    document.get("source", {}).pop("command", None)
    for key, value in document.items():
        yield f"run.yaml: {key}", "record", value
    for name in _TEXTS:
        if name in recorded.files:
            yield name, name, recorded.files[name].decode(errors="replace")
    body, state = candidate.version.body, candidate.state
    for key, text in candidate.tags.items():
        yield f"the version's tag {key}", key, text
    notes = state.notes.get(candidate.version.number)
    for where, description in (
        ("the description in the git tag", body.description),
        ("the version's description", notes.description if notes is not None else None),
        ("the model's description", state.file.description),
        ("the model card", candidate.card),
    ):
        yield where, "text", description or ""


def _text_files(candidate: Candidate) -> tuple[list[tuple[str, str, object]], int]:
    """The small text files of the model whose bytes are here, and how many files are not here."""
    store = candidate.workspace.artifacts
    try:
        files: list[Descriptor] = list_files(candidate, None) or []
    except RunstoneError:  # a damaged listing, which other gates tell of
        files = []
    found: list[tuple[str, str, object]] = []
    away = 0
    for file in files:
        size = store.cache.size(file.md5)
        if size is None:
            away += 1
        elif size <= _LARGEST:
            text = _decoded(store.cache.read_bytes(file.md5))
            if text is not None:
                found.append((f"{candidate.version.body.path}/{file.path}", "text", text))
    return found, away


def _decoded(data: bytes) -> str | None:
    """The text of a file; None if it is none."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
