"""Signatures of commits and git tags, made as git makes them: by the program and the key that git is set to use.

Commits of runs are not signed: a machine makes them by the hundred, and a key with a passphrase would stop it. What a
person decides is: registrations, promotions, and proposals of them.
"""

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from runstone.errors import SigningFailed
from runstone.git.repository import Repository

_TRUE = ("true", "yes", "on", "1", "")
_PROGRAMS = {"openpgp": "gpg", "x509": "gpgsm", "ssh": "ssh-keygen"}


def is_wanted(repo: Repository, kind: str) -> bool:
    """Whether git is set to sign what is made: `commit` or `tag`."""
    keys = ("commit.gpgsign",) if kind == "commit" else ("tag.gpgsign", "tag.forcesignannotated")
    return any(repo.git_config.get(key, "false").lower() in _TRUE for key in keys)


def sign(repo: Repository, payload: bytes) -> bytes | None:
    """The signature of a commit or of an annotated tag, armoured, with a line end; None where git is not set to sign.

    Args:
        repo: The repository, whose `commit.gpgSign` or `tag.gpgSign`, `gpg.format`, `gpg.program` and
            `user.signingKey` count.
        payload: The whole object without its signature: a commit if it begins with `tree `, else a tag.

    Raises:
        SigningFailed: It could not be signed, as `git commit` could not either.

    Source: git's documentation, gitformat-signature and git-config, `gpg.*`.
    """
    kind = "commit" if payload.startswith(b"tree ") else "tag"
    if not is_wanted(repo, kind):
        return None
    config = repo.git_config
    form = config.get("gpg.format", "openpgp").lower()
    if form not in _PROGRAMS:
        raise SigningFailed(kind, f"`gpg.format` is {form!r}, and must be openpgp, x509 or ssh")
    program = config.get(f"gpg.{form}.program") or (config.get("gpg.program") if form == "openpgp" else None)
    program = os.path.expanduser(program or _PROGRAMS[form])  # noqa: PTH111  # may be a bare name, which stays one
    signature = _sign_ssh(repo, kind, program, payload) if form == "ssh" else _sign_pgp(repo, kind, program, payload)
    return signature.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"


def write_commit(repo: Repository, tree: str, parents: Iterable[str], message: str) -> str:
    """Write a commit by the user who is at work, signed where git is set to sign.

    Writes:
        The commit; no ref.

    Raises:
        SigningFailed: It could not be signed.
    """
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {repo.identity('author')}", f"committer {repo.identity('committer')}"]
    head, text = "\n".join(lines).encode(), message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n"
    signature = sign(repo, head + b"\n\n" + text)
    if signature is not None:
        key = b"gpgsig" if repo.object_format == "sha1" else b"gpgsig-sha256"
        head += b"\n" + key + b" " + signature.rstrip(b"\n").replace(b"\n", b"\n ")
    return repo.objects.write("commit", head + b"\n\n" + text)


def write_tag(repo: Repository, target: str, name: str, message: str, *, tagger: str | None = None) -> str:
    """Write an annotated git tag of a commit, signed where git is set to sign tags.

    Args:
        repo: The repository.
        target: The commit.
        name: The tag's name.
        message: What it says.
        tagger: `Name <mail> seconds +zone`; who is at work now if None.

    Writes:
        The tag object; no ref.

    Raises:
        SigningFailed: It could not be signed.
    """
    who = tagger or repo.identity("committer")
    text = f"object {target}\ntype commit\ntag {name}\ntagger {who}\n\n{message.rstrip()}\n"
    payload = text.encode("utf-8", "surrogateescape")
    return repo.objects.write("tag", payload + (sign(repo, payload) or b""))


def _sign_pgp(repo: Repository, kind: str, program: str, payload: bytes) -> bytes:
    key = repo.git_config.get("user.signingkey") or repo.identity("committer").rpartition("> ")[0] + ">"
    done = _run(kind, [program, "--status-fd=2", "-bsau", key], repo, payload)
    if done.returncode or b"[GNUPG:] SIG_CREATED " not in done.stderr:
        raise SigningFailed(kind, _words(program, done))
    return done.stdout


def _sign_ssh(repo: Repository, kind: str, program: str, payload: bytes) -> bytes:
    key = repo.git_config.get("user.signingkey") or _default_ssh_key(repo, kind)
    literal = key.removeprefix("key::") if key.startswith(("key::", "ssh-")) else None
    import tempfile  # here: it is slow to import

    with tempfile.TemporaryDirectory(prefix="runstone-sign-") as folder:
        buffer = Path(folder) / "payload"
        buffer.write_bytes(payload)
        if literal is None:
            key_file = os.path.expanduser(key)  # noqa: PTH111  # relative to the work tree, as it stands
            options = []
        else:
            key_file = str(Path(folder) / "key")
            Path(key_file).write_text(literal.rstrip("\n") + "\n")
            options = ["-U"]  # the private part is in the agent
        done = _run(kind, [program, "-Y", "sign", "-n", "git", "-f", key_file, *options, str(buffer)], repo, None)
        try:
            if done.returncode:
                raise SigningFailed(kind, _words(program, done))
            return (Path(folder) / "payload.sig").read_bytes()
        except FileNotFoundError:
            raise SigningFailed(kind, f"`{program}` made no signature") from None


def _default_ssh_key(repo: Repository, kind: str) -> str:
    command = repo.git_config.get("gpg.ssh.defaultkeycommand")
    if not command:
        raise SigningFailed(kind, "git knows no key for it: neither `user.signingKey` nor `gpg.ssh.defaultKeyCommand`")
    done = _run(kind, shlex.split(command), repo, None)
    first = done.stdout.decode(errors="replace").partition("\n")[0].strip()
    if done.returncode or not first.startswith(("key::", "ssh-")):
        raise SigningFailed(kind, f"`gpg.ssh.defaultKeyCommand` names no key: {_words(command, done)}")
    return first


def _run(
    kind: str, command: Sequence[str], repo: Repository, payload: bytes | None
) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            command,
            cwd=repo.work_tree or repo.git_dir,
            input=payload if payload is not None else b"",
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise SigningFailed(kind, f"`{command[0]}` could not be run: {error.strerror}") from error


def _words(program: str, done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = done.stderr.decode(errors="replace").splitlines()
    text = "; ".join(line for line in lines if line.strip() and not line.startswith("[GNUPG:]"))
    return f"`{program}` ended with {done.returncode}: {text or 'it said nothing'}"
