"""Gates on the code of a run: it is in git for good, and it is that of a commit."""

from runstone.promotion.gates.protocol import Answer, Candidate, failed, passed, run_not_here, unknown
from runstone.records.document import Document


def code(candidate: Candidate, _asks: Document) -> Answer:
    """`code`: the snapshot is in git, and the commit that the version's git tag points at leads to it."""
    recorded, repo = candidate.recorded, candidate.workspace.repo
    if recorded is None:
        return run_not_here(candidate, candidate.version)
    snapshot = recorded.run.source.snapshot
    if snapshot is None:
        return failed(f"The run {recorded.run.id} has no snapshot of its code: it ran outside git.")
    if not repo.objects.is_id(snapshot):
        return failed(f"The run {recorded.run.id} names {snapshot!r} as its snapshot, which is no commit.")
    found = repo.objects.find(snapshot)
    if found is not None and found[1] == "commit":
        if snapshot in repo.objects.commit(candidate.version.commit).parents:
            return passed(f"The code is the commit {snapshot[:12]}, a parent of the run's own.")
        if repo.git("merge-base", "--is-ancestor", snapshot, candidate.version.commit, allowed=(0, 1))[0] == 0:
            return passed(f"The code is the commit {snapshot[:12]}, to which the git tag of {candidate.name} leads.")
    if repo.shallow:
        step = "Fetch the rest: `git fetch --unshallow`"
        return unknown(f"Whether the commit {snapshot[:12]} is kept cannot be told in a shallow clone. {step}")
    if found is None:
        return failed(f"The code of {candidate.name}, the commit {snapshot[:12]}, is not in git.")
    return failed(
        f"Nothing keeps the code of {candidate.name}: its git tag does not lead to the commit {snapshot[:12]}."
    )


def clean(candidate: Candidate, _asks: Document) -> Answer:
    """`clean`: the run's code was that of a commit of its branch, without local edits."""
    recorded = candidate.recorded
    if recorded is None:
        return run_not_here(candidate, candidate.version)
    source = recorded.run.source
    if source.commit is None or source.snapshot is None:
        return failed(f"The run {recorded.run.id} was recorded without a commit of its code.")
    if source.snapshot != source.commit or source.dirty:
        ids = [source.commit, source.snapshot]
        step = f" See them: `git diff {' '.join(ids)}`" if all(map(candidate.workspace.repo.objects.is_id, ids)) else ""
        return failed(f"The run {recorded.run.id} had local edits on {source.commit[:12]}.{step}")
    return passed(f"The run's code was the commit {source.commit[:12]}, without local edits.")
