"""What later evaluations say of a model, kept in the tags of the runs that made them.

The key names the model by the digest of its folder, so an evaluation counts for these very bytes, whatever URI they
were evaluated by and whichever versions they are; another model's values in the same run are never taken for them.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runstone.git.repository import Repository
from runstone.index.search import search_runs
from runstone.records.document import Document
from runstone.records.run import Run

_PREFIX = "runstone.evaluated."
_DIGEST = re.compile(r"md5:([0-9a-f]{32})\.dir")
_DATA_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]{32,}(\.dir)?")
_RUNS = 1000
"""The newest runs that are looked at."""
_LONGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a model on some data.

    Attributes:
        model: The URI by which the model was evaluated, for people.
        data: What people call the data.
        digest: `<algorithm>:<hex>` of the data.
        metrics: What was measured; NaN for what has no finite value, which meets no gate.
        run_id: The run that holds it; empty before it is read.
    """

    model: str
    data: str
    digest: str
    metrics: Mapping[str, float]
    run_id: str = ""

    def is_on(self, data: str) -> bool:
        """Whether a name or a digest means its data; what looks like a digest is never taken for a name."""
        return data == (self.digest if _DATA_DIGEST.fullmatch(data) else self.data)


def tag_of(digest: str) -> str | None:
    """The tag that holds the evaluations of a model; None for what is no digest of a model folder."""
    found = _DIGEST.fullmatch(digest)
    return None if found is None else _PREFIX + found[1]


def format_tag(old: str | None, made: Evaluation) -> str:
    """The tag's text with one more evaluation; of the same data the values are joined, and the later ones win."""
    kept = {each.digest: each for each in parse_tag(old or "")}
    before = kept.pop(made.digest, None)
    metrics = {**(before.metrics if before is not None else {}), **made.metrics}
    kept[made.digest] = Evaluation(made.model, made.data, made.digest, metrics)
    return json.dumps([_to_document(each) for each in kept.values()], ensure_ascii=False)


def parse_tag(text: str, run_id: str = "") -> list[Evaluation]:
    """The evaluations that a tag holds, the latest last. What is not understood is left out: anybody sets tags."""
    try:
        found = json.loads(text) if len(text) <= _LONGEST else []
    except (ValueError, RecursionError):
        return []
    read = (_from_document(each, run_id) for each in found) if isinstance(found, list) else ()
    return [each for each in read if each is not None]


def evaluations_of(repo: Repository, digest: str) -> list[Evaluation]:
    """The evaluations of a model by finished runs that are here, the newest first.

    Args:
        repo: The repository.
        digest: `md5:<hex>.dir` of the model's folder.
    """
    tag = tag_of(digest)
    if tag is None:
        return []
    found = search_runs(repo, None, f'tags."{tag}" LIKE "%" AND attributes.status = "FINISHED"', "ACTIVE_ONLY", _RUNS)
    return [each for run in found for each in reversed(_of_run(run, tag))]


def newest_by_data(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Of those on the same data only the newest."""
    return list({each.digest: each for each in reversed(evaluations)}.values())[::-1]


def _of_run(run: Run, tag: str) -> list[Evaluation]:
    return parse_tag(str(run.tags.get(tag, "")), run.id)


def _to_document(each: Evaluation) -> Document:
    metrics = {key: value if math.isfinite(value) else None for key, value in each.metrics.items()}
    return {"model": each.model, "data": each.data, "digest": each.digest, "metrics": metrics}


def _from_document(document: Any, run_id: str) -> Evaluation | None:
    if not isinstance(document, dict) or not isinstance(document.get("metrics"), dict):
        return None
    texts = [document.get(key) for key in ("model", "data", "digest")]
    if not all(isinstance(text, str) for text in texts):
        return None
    model, data, digest = map(str, texts)
    metrics = {
        key: float(value) if value is not None and abs(value) < math.inf else math.nan
        for key, value in document["metrics"].items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }
    return Evaluation(model, data, digest, metrics, run_id)
