from pathlib import Path

import boto3
import pytest

from runstone.artifacts.cache import Cache
from runstone.artifacts.pointer import Pointer, format_pointer, parse_pointer
from runstone.artifacts.remote import Remote, Transfer
from runstone.errors import ArtifactCorrupt, ArtifactMissing, RemoteFailed
from tests.support import free_port, git

from .conftest import FILES, Dvc, add_tree, read_files, write_files

UNIQUE = len(set(FILES.values()))


def config(bucket: str, server: str) -> str:
    """A configuration with a bucket as the default remote."""
    return f"[core]\n    remote = s3\n['remote \"s3\"']\n    url = s3://{bucket}/dvc\n    endpointurl = {server}\n"


def opened(repo: Path, text: str) -> Remote:
    """The remote of a repository, which has one."""
    remote = Remote.open(repo, repo / ".git" / "runstone", text)
    assert remote is not None
    return remote


@pytest.mark.dvc
def test_dvc_and_we_share_a_bucket(
    git_repo: Path, tree: Path, cache: Cache, tmp_path: Path, dvc: Dvc, bucket: str, s3_server: str
) -> None:
    """Pushed by us, a clone's `dvc pull` brings every byte and `dvc status -c` is clean; pushed by DVC, we pull it."""
    pointer = Pointer(*add_tree(cache, tree))
    remote = opened(git_repo, config(bucket, s3_server))
    assert UNIQUE + 1 == remote.push([pointer.digest], cache).count
    assert Transfer(0, 0) == remote.push([pointer.digest], cache)

    git("checkout", "-q", "--orphan", "runs", cwd=git_repo)
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text(remote.public_config())
    (git_repo / "artifacts.dvc").write_text(format_pointer(pointer))
    git("add", "-A", cwd=git_repo)
    git("commit", "-q", "-m", "A run", cwd=git_repo)
    git("clone", "-q", "-b", "runs", git_repo, "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    dvc("pull", cwd=clone)
    assert read_files(tree) == read_files(clone / "artifacts")
    assert "Cache and remote 's3' are in sync.\n" == dvc("status", "-c", cwd=clone)

    write_files(clone / "artifacts" / "more")
    (clone / "artifacts" / "more" / "new").write_bytes(b"new")
    dvc("add", "-q", "artifacts", cwd=clone)
    dvc("push", "-q", cwd=clone)
    pushed = parse_pointer((clone / "artifacts.dvc").read_text(), "artifacts.dvc")
    other = Cache(tmp_path / "other")
    assert UNIQUE + 2 == opened(clone, "").pull([pushed.digest], other).count
    for entry in other.read_dir(pushed.digest):
        other.copy_out(entry.md5, tmp_path / "out" / entry.path)
    assert read_files(clone / "artifacts") == read_files(tmp_path / "out")


def test_missing_and_damaged_objects_are_named(
    git_repo: Path, tree: Path, cache: Cache, tmp_path: Path, bucket: str, s3_server: str
) -> None:
    """What the bucket lacks, and what it holds under a wrong name."""
    digest, _, _ = add_tree(cache, tree)
    remote = opened(git_repo, config(bucket, s3_server))
    remote.push([digest], cache)
    client = boto3.client("s3", endpoint_url=s3_server)
    first, second = sorted({entry.md5 for entry in cache.read_dir(digest)})[:2]
    client.put_object(Bucket=bucket, Key=f"dvc/files/md5/{first[:2]}/{first[2:]}", Body=b"spoilt")
    with pytest.raises(
        ArtifactCorrupt, match=f"^The object {bucket}/dvc/files/md5/{first[:2]}/{first[2:]} on the remote"
    ):
        remote.pull([digest], Cache(tmp_path / "one"))
    client.delete_object(Bucket=bucket, Key=f"dvc/files/md5/{second[:2]}/{second[2:]}")
    assert {second} == remote.missing([digest, first, second])
    with pytest.raises(ArtifactMissing) as missing:
        remote.pull([second], Cache(tmp_path / "two"))
    assert second == missing.value.digest


def test_many_objects_are_asked_for_at_once(
    git_repo: Path, cache: Cache, tmp_path: Path, bucket: str, s3_server: str
) -> None:
    """Of 40 objects DVC lists the bucket instead of asking for each; one more is one more transfer."""
    remote = opened(git_repo, config(bucket, s3_server))
    digests = [cache.add_bytes(b"%d" % number) for number in range(40)]
    assert 39 == remote.push(digests[:39], cache).count
    assert {digests[39]} == remote.missing(digests)
    assert 1 == remote.push(digests, cache).count
    assert 40 == remote.pull(digests, Cache(tmp_path / "other")).count


def test_a_bucket_that_is_not_there(git_repo: Path, cache: Cache, bucket: str, s3_server: str) -> None:
    """It is named as the cause, for a push and for a pull."""
    remote = opened(git_repo, config("not-" + bucket, s3_server))
    with pytest.raises(RemoteFailed, match="its bucket does not exist") as failed:
        remote.push([cache.add_bytes(b"x")], cache)
    assert "`dvc remote modify s3 url URL`" in str(failed.value)
    with pytest.raises(RemoteFailed, match="its bucket does not exist"):
        remote.pull(["a" * 32], cache)


def test_missing_credentials_are_named(
    git_repo: Path, cache: Cache, bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials the error says where to put them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RemoteFailed, match="access was refused") as failed:
        opened(git_repo, config(bucket, s3_server)).push([cache.add_bytes(b"x")], cache)
    assert "dvc remote modify --local" in str(failed.value)


def test_a_server_that_is_not_there(git_repo: Path, cache: Cache, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed port is told as a remote that cannot be reached, with its URL."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # botocore would try for ten seconds
    port = free_port()
    with pytest.raises(
        RemoteFailed, match=rf"^The DVC remote `s3` \(s3://{bucket}/dvc\): it could not be asked"
    ) as failed:
        opened(git_repo, config(bucket, f"http://127.0.0.1:{port}")).push([cache.add_bytes(b"x")], cache)
    assert "See that it can be reached" in str(failed.value)
