"""`runstone diff --json`: two runs side by side as a program reads them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runstone.records.run import Run
    from runstone.tracking.code import CodeComparison
    from runstone.tracking.compare import Comparison, Difference


def as_json(found: "Comparison", with_equal: bool) -> dict[str, Any]:
    """The comparison as JSON holds it."""
    document: dict[str, Any] = {"a": _identity(found.a), "b": _identity(found.b)}
    for name, differences in found.sections.items():
        kept = [each for each in differences if with_equal or each.state != "equal"]
        document[name] = [_entry(name, each) for each in kept]
    if found.commits is not None:
        commits = found.commits
        document["commits"] = {
            "a": commits.a,
            "b": commits.b,
            "missing": commits.missing,
            "only_a": [{"id": each.id, "subject": each.subject} for each in commits.only_a],
            "only_b": [{"id": each.id, "subject": each.subject} for each in commits.only_b],
            "count_a": commits.count_a,
            "count_b": commits.count_b,
        }
    if found.code is not None:
        document["code"] = _code(found.code)
    return document


def _identity(run: "Run") -> dict[str, Any]:
    return {"run_id": run.id, "run_name": run.name, "experiment": run.experiment}


def _entry(section: str, difference: "Difference") -> dict[str, Any]:
    entry: dict[str, Any] = {"key": difference.key, "state": difference.state}
    if difference.state != "added":
        entry["a"] = difference.a
    if difference.state != "removed":
        entry["b"] = difference.b
    if section == "metrics":
        entry |= {"change": difference.change, "relative": difference.relative}
    return entry


def _code(code: "CodeComparison") -> dict[str, Any]:
    return {
        "a": code.a,
        "b": code.b,
        "missing": code.missing,
        "unkept": code.unkept,
        "left_out_a": code.left_out_a,
        "left_out_b": code.left_out_b,
        "paths": code.paths,
        "same": code.is_same,
        "files": None
        if code.files is None
        else [
            {
                "path": each.path,
                "old_path": each.old_path,
                "change": each.change,
                "insertions": each.insertions,
                "deletions": each.deletions,
                "old_mode": each.old_mode,
                "new_mode": each.new_mode,
            }
            for each in code.files
        ],
        "insertions": code.insertions,
        "deletions": code.deletions,
    }
