"""Signatures of commits and git tags, checked by git itself with real keys."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from runstone.errors import SigningFailed
from runstone.git import signing
from runstone.git.repository import Repository
from tests.support import git, make_repository

TAG = b"object %s\ntype commit\ntag v1\ntagger Kim Example <kim@example.org> 1700000000 +0000\n\nv1\n"


def ssh_key(folder: Path) -> Path:
    """A key of ssh without a passphrase, in a folder with a space in its name, and who git believes it to be."""
    home = folder / "my keys"
    home.mkdir()
    key = home / "id"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kim", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (home / "allowed").write_text(f"kim@example.org {(home / 'id.pub').read_text()}")
    return key


def use_ssh(repo: Path, key: Path, signing_key: str | None = None) -> None:
    """Have git sign commits and tags with a key of ssh."""
    settings = {
        "gpg.format": "ssh",
        "commit.gpgSign": "true",
        "tag.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(key.parent / "allowed"),
        **({"user.signingKey": signing_key} if signing_key else {}),
    }
    for name, value in settings.items():
        git("config", name, value, cwd=repo)


def write_commit(path: Path, message: str = "Signed, näturlich\n\nModel: churn") -> str:
    """A commit on top of HEAD with its tree, by the function under test."""
    repo = Repository.open(path)
    head = repo.objects.commit("HEAD")
    return signing.write_commit(repo, head.tree, [head.oid], message)


def test_nothing_is_signed_where_git_is_not_set_to(git_repo: Path) -> None:
    """The commit is what git itself would make."""
    commit = write_commit(git_repo)
    assert "gpgsig" not in git("cat-file", "commit", commit, cwd=git_repo)
    assert signing.sign(Repository.open(git_repo), b"tree x\n\n") is None
    assert "Signed, näturlich" == git("log", "-1", "--format=%s", commit, cwd=git_repo)


@pytest.mark.parametrize("form", ["file", "home", "command"])
def test_git_accepts_a_commit_signed_by_ssh(
    git_repo: Path, tmp_path: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """The key by its file, by a path from home, or by the command that git is told to ask, with the agent's help."""
    key = ssh_key(isolated_home)
    if form == "file":
        use_ssh(git_repo, key, str(key))
    elif form == "home":
        use_ssh(git_repo, key, "~/my keys/id.pub")
    else:
        (tmp_path / "ask").write_text(f"#!/bin/sh\necho \"key::$(cat '{key}.pub')\"\n")
        (tmp_path / "ask").chmod(0o755)
        use_ssh(git_repo, key)
        git("config", "gpg.ssh.defaultKeyCommand", str(tmp_path / "ask"), cwd=git_repo)
    agent = start_agent(key) if form == "command" else {}
    for name, value in agent.items():
        monkeypatch.setenv(name, value)
    try:
        commit = write_commit(git_repo)
    finally:
        if agent:
            os.kill(int(agent["SSH_AGENT_PID"]), signal.SIGTERM)
    assert "G" == git("log", "-1", "--format=%G?", commit, cwd=git_repo)
    git("verify-commit", commit, cwd=git_repo)
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def start_agent(key: Path) -> dict[str, str]:
    """An agent that holds the key: what its clients need to know."""
    out = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    variables = dict(part.split("=", 1) for part in out.replace("\n", "").split(";") if "=" in part)
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env={**os.environ, **variables}, stdin=subprocess.DEVNULL)
    return variables


def test_git_accepts_a_signed_tag(git_repo: Path, isolated_home: Path) -> None:
    """What begins as a tag is signed as tags are, whatever is said of commits."""
    key = ssh_key(isolated_home)
    use_ssh(git_repo, key, str(key))
    git("config", "commit.gpgSign", "false", cwd=git_repo)
    repo = Repository.open(git_repo)
    payload = TAG % (repo.head() or "").encode()
    signature = signing.sign(repo, payload)
    assert signature is not None
    assert signing.sign(repo, b"tree x\n\n") is None
    git("update-ref", "refs/tags/v1", repo.objects.write("tag", payload + signature), cwd=git_repo)
    git("verify-tag", "v1", cwd=git_repo)


def test_git_accepts_a_commit_signed_by_gpg(git_repo: Path, isolated_home: Path) -> None:
    """Without `user.signingKey` gpg is asked for the key of the committer, as git does."""
    (isolated_home / ".gnupg").mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "Kim Example <kim@example.org>", "ed25519", "sign"], check=True)
    try:
        git("config", "commit.gpgSign", "true", cwd=git_repo)
        commit = write_commit(git_repo)
        assert git("log", "-1", "--format=%G?", commit, cwd=git_repo) in ("G", "U")
    finally:
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)


def test_a_sha256_repository(tmp_path: Path, isolated_home: Path) -> None:
    """There the header has another name."""
    git("init", "-q", "-b", "main", "--object-format=sha256", tmp_path / "r", cwd=tmp_path)
    for name, value in {"user.name": "Kim Example", "user.email": "kim@example.org"}.items():
        git("config", name, value, cwd=tmp_path / "r")
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=tmp_path / "r")
    key = ssh_key(isolated_home)
    use_ssh(tmp_path / "r", key, str(key))
    git("verify-commit", write_commit(tmp_path / "r"), cwd=tmp_path / "r")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpg.program": "false"}, "`false` ended with 1: it said nothing"),
        ({"gpg.program": "no-such-program"}, "`no-such-program` could not be run: No such file or directory"),
        ({"gpg.format": "odd"}, "`gpg.format` is 'odd', and must be openpgp, x509 or ssh"),
        (
            {"gpg.format": "ssh"},
            "git knows no key for it: neither `user.signingKey` nor `gpg.ssh.defaultKeyCommand`",
        ),
        ({"gpg.format": "ssh", "gpg.ssh.defaultKeyCommand": "echo none"}, "`gpg.ssh.defaultKeyCommand` names no key"),
        ({"gpg.format": "ssh", "user.signingKey": "/no/such/key"}, "`ssh-keygen` ended with 255"),
    ],
)
def test_what_cannot_be_signed_is_not_made(git_repo: Path, settings: dict[str, str], message: str) -> None:
    """Each error says why, and where git's settings stand."""
    for name, value in {"commit.gpgSign": "true", **settings}.items():
        git("config", name, value, cwd=git_repo)
    with pytest.raises(SigningFailed) as caught:
        write_commit(git_repo)
    assert str(caught.value).startswith(f"The commit could not be signed, so it was not made: {message}")
    assert str(caught.value).endswith("See what git is set to: `git config --get-regexp 'gpg|signingkey'`")
    assert "1" == git("rev-list", "--all", "--count", cwd=git_repo)


def test_a_program_that_lies_is_no_signature(tmp_path: Path) -> None:
    """The program must say that it made one; an exit code alone does not count."""
    path = make_repository(tmp_path / "r")
    git("config", "commit.gpgSign", "true", cwd=path)
    git("config", "gpg.program", "true", cwd=path)
    with pytest.raises(SigningFailed, match="`true` ended with 0: it said nothing"):
        write_commit(path)
