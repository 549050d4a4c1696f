"""The gate on a model's files: whole on the DVC remote, where others will look for them."""

from shlex import quote
from typing import TYPE_CHECKING

from runstone.artifacts.descriptor import Descriptor, check_digest
from runstone.artifacts.pointer import parse_pointer
from runstone.artifacts.store import below
from runstone.errors import ArtifactCorrupt, InvalidName, MissingLibrary, RemoteFailed
from runstone.git.repository import Repository
from runstone.git.runs import layout
from runstone.promotion.gates.protocol import Answer, Candidate, count, failed, passed, some, unknown
from runstone.records.document import Document

_CONFIGURATION = (".dvc/config", ".dvc/config.local")

if TYPE_CHECKING:
    from runstone.artifacts.remote import Remote


def artifacts(candidate: Candidate, _asks: Document) -> Answer:
    """`artifacts`: each file of the model is on the remote; those that are also here have the digest of the record."""
    store, body = candidate.workspace.artifacts, candidate.version.body
    foreign = find_foreign(candidate.workspace.repo, candidate.base, candidate.head)
    if foreign is not None:
        return unknown(
            f"`{foreign}` is not as it is on the branch to merge into ({candidate.base[:7]}), so the DVC remote is not "
            "asked: it could be anybody's. Change it on its own first, then bring this up to date"
        )
    try:
        check_digest(body.digest.removeprefix("md5:"))
        remote = store.remote()
        if remote is None:
            return failed(
                "No DVC remote is configured, so nobody else has the model. "
                "Add one: `dvc remote add --default NAME URL`"
            )
        remote.need_folder()
        files = list_files(candidate, remote)
        if files is None:
            return failed(
                f"The DVC remote `{remote.name}` does not have the listing of the model's files. {_push(body.run)}"
            )
        absent = remote.missing(file.md5 for file in files)
    except InvalidName as error:
        return failed(f"The git tag of {candidate.name} names no digest: {error}")
    except (RemoteFailed, MissingLibrary) as error:
        return unknown(f"The DVC remote cannot be asked: {error}")
    if absent:
        lacking = [file.path for file in files if file.md5 in absent]
        told = f"{len(lacking)} of {count(len(files), 'file')} of the model are not on the DVC remote `{remote.name}`"
        return failed(f"{told}: {some(lacking)}. {_push(body.run)}")
    here = [file for file in files if store.cache.has(file.md5)]
    for file in here:
        try:
            store.cache.verify(file.md5)
        except ArtifactCorrupt as error:
            return failed(f"`{file.path}` is not what git recorded: {error}")
    also = f"; the digests of {'all' if len(here) == len(files) else len(here)} were verified here" if here else ""
    return passed(f"All {count(len(files), 'file')} of the model are on the DVC remote `{remote.name}`{also}.")


def find_foreign(repo: Repository, base: str, head: str) -> str | None:
    """A file of DVC's configuration that a proposal brings: it names the remote, and programs that DVC starts.

    What the branch to merge into has counts, both in the proposal and in the work tree, which in a job of CI is the
    proposal's. What git does not track is the user's own.
    """
    commits = [base, head, *([here] if (here := repo.head()) is not None else [])]
    trees = [repo.objects.commit(commit).tree for commit in commits]
    for path in _CONFIGURATION:
        first, *others = (repo.objects.entry(tree, path) for tree in trees)
        if any(each != first for each in others) or (first is not None and not first.is_file):
            return path
        if first is None or repo.work_tree is None:
            continue
        try:
            text = (repo.work_tree / path).read_bytes()
        except FileNotFoundError:
            continue
        except OSError:
            return path
        if text.replace(b"\r\n", b"\n") != repo.objects.blob(first.oid).replace(b"\r\n", b"\n"):
            return path
    return None


def list_files(candidate: Candidate, remote: "Remote | None") -> list[Descriptor] | None:
    """The files of the model, by its own listing, or by that of all artifacts of its run, which is all that plain DVC
    pushes; None where neither is in the cache or on the remote.
    """
    store, body = candidate.workspace.artifacts, candidate.version.body
    digest = check_digest(body.digest.removeprefix("md5:"))
    if _bring(candidate, remote, digest):
        return store.cache.read_dir(digest)
    recorded = candidate.recorded
    text = None if recorded is None else recorded.files.get(layout.ARTIFACTS)
    if recorded is None or text is None:
        return None
    pointer = parse_pointer(text, f"{recorded.folder}/{layout.ARTIFACTS}")
    if not _bring(candidate, remote, pointer.digest):
        return None
    inside = [
        Descriptor(entry.path.removeprefix(f"{body.path}/"), entry.size, entry.md5)
        for entry in below(store.cache.read_dir(pointer.digest), body.path)
    ]
    return inside if store.listing_digest(inside) == digest else None


def _bring(candidate: Candidate, remote: "Remote | None", digest: str) -> bool:
    """Whether a listing is in the cache, where it is put if the remote has it."""
    cache = candidate.workspace.artifacts.cache
    if not cache.has(digest):
        if remote is None or remote.missing([digest]):
            return False
        remote.pull([digest], cache, expand=False)
    return True


def _push(run_id: str) -> str:
    return f"Push them from where they were logged: `runstone artifacts push {quote(run_id)}`"
