"""What a snapshot leaves out: patterns as in `.gitignore`, what looks like a secret, and what is too large."""

import fnmatch
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.git.code.leftout import MAX_LISTED, LeftOut, Patterns, SecretFiles, fit, to_documents
from runstone.records.config import SnapshotRules

PATTERNS = [
    "*.log", "/top", "data/", "a/b", "/a/c/", "**/deep", "x/**", "p/**/q", "?.t", "[0-9]z", "[!a-c]y", "[]-]w",
    "sp ace", r"\#hash", r"\*star", "m*n*o", "**", "trailing ", "e.e",
]  # fmt: skip
PATHS = [
    "x.log", "q/x.log", "x.log/in", "top", "s/top", "data", "data/f", "s/data/f", "a/b", "s/a/b", "a/b/f", "a/c",
    "a/c/f", "deep", "s/deep", "s/t/deep/f", "x", "x/f", "x/s/f", "p/q", "p/s/q", "p/s/t/q", "s/p/q", "a.t",
    "ab.t", "1z", "az", "dy", "by", "-w", "]w", "aw", "sp ace", "#hash", "*star", "xstar", "zv", "[z-a]v", "mxnyo",
    "m/n/o", "trailing", "e.e", "exe", "größe/x.log",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_what_they_mean_in_gitignore(pattern: str, git_repo: Path) -> None:
    """Every pattern takes the files that git itself ignores by it, and no others."""
    (git_repo / ".git" / "info" / "exclude").write_text(f"{pattern}\n")
    asked = "".join(f"{path}\0" for path in PATHS)
    done = subprocess.run(
        ["git", "-c", "core.ignoreCase=true", "check-ignore", "-z", "--stdin", "--no-index"],
        cwd=git_repo,
        input=asked.encode(),
        capture_output=True,
        check=False,
    )
    expected = [path for path in done.stdout.decode().split("\0") if path]
    assert expected == [path for path in PATHS if Patterns([pattern]).match(path)]


@given(st.text(alphabet="ab*?[]!-\\/. ", min_size=1, max_size=8), st.text(alphabet="ab-]/.", min_size=1, max_size=8))
def test_no_pattern_is_an_error(pattern: str, path: str) -> None:
    """Whatever a project writes, matching answers; a plain pattern without a slash agrees with `fnmatch`."""
    found = Patterns([pattern]).match(path)
    if not set(pattern) & set("[]\\/ ") and "/" not in path:
        assert fnmatch.fnmatchcase(path, pattern) == found


def test_several_patterns_and_none() -> None:
    """Any of several counts, case does not; none match nothing."""
    assert [True, True, False] == [Patterns(["*.csv", "/x"]).match(path) for path in ("A.CSV", "X", "y/x")]
    assert not Patterns([]).match("x")
    assert not Patterns(["", " ", "/"]).match("x")


@pytest.mark.parametrize(
    "path",
    [
        ".env", "app/.env.local", ".envrc", "prod.env", ".env/lib/x.py", "server.key", "cert.PEM", "store.jks",
        "id_rsa", "home/.ssh/config", ".aws/credentials", ".kube/config", ".netrc", "_netrc", ".npmrc", ".pypirc",
        ".pgpass", ".git-credentials", ".htpasswd", "client_secret_42.json", "my-service-account-7.json",
        "gcp_credentials.json", ".dvc/config.local", "sub/.dvc/config.local", "terraform.tfstate",
        "terraform.tfstate.backup", "prod.tfvars", "secrets.yaml", ".streamlit/secrets.toml", "kaggle.json",
        ".docker/config.json", "x/.config/gcloud/a.db", "vault.kdbx", "key.ppk", ".bash_history", "svc.keytab",
        ".vault-token", ".secrets", ".cache/huggingface/token", "rclone.conf", ".config/gh/hosts.yml",
        "id_rsa.bak", "id_rsa~", "server.key.old", "x/.server.key.swp", "c.pem.bak.orig", ".netrc.save",
    ],
)  # fmt: skip
def test_names_of_secrets(path: str) -> None:
    """They are left out whether git has them already or not."""
    secrets = SecretFiles(SnapshotRules())
    reason = "its name looks like that of a secret"
    assert [reason, reason] == [secrets.reason(path, is_new=is_new) for is_new in (True, False)]


@pytest.mark.parametrize("path", ["~", ".bak", "a/.swp", "train.py.bak", "token_ids.py", "tokens.json", "x~"])
def test_copies_of_code_are_code(path: str) -> None:
    """What is a copy by its name is judged by what it is a copy of."""
    assert SecretFiles(SnapshotRules()).reason(path, is_new=True) is None


@pytest.mark.parametrize(
    "path",
    ["secrets.py", "src/credentials.py", "credentials/store.py", "token.json", "x.token", "hf_token", "secrets.py.bak"],
)
def test_names_that_code_has_too_count_while_they_are_new(path: str) -> None:
    """Once HEAD has such a file, its edits are code like any other."""
    secrets = SecretFiles(SnapshotRules())
    assert (True, None) == (secrets.reason(path, is_new=True) is not None, secrets.reason(path, is_new=False))


@pytest.mark.parametrize(
    "path",
    [
        ".env.example", "app/.env.sample", ".env.local.template", "prod.env.dist", "env.py", "environment.yml",
        "keys.py", "id_rsa.pub", "tokenizer.json", "token.py", "keyboard.key.md", "monkey", "config.local",
        "train.py", "data.csv", ".gitignore", ".dvc/config", "myapp/secrets_manager.py", "config.json",
        ".secrets.baseline", "model.pkl",
    ],
)  # fmt: skip
def test_names_that_only_look_similar(path: str) -> None:
    """Templates, public keys and ordinary files come in."""
    assert SecretFiles(SnapshotRules()).reason(path, is_new=True) is None


BODY = b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n"


@pytest.mark.parametrize(
    ("expected", "content"),
    [
        (True, b"-----BEGIN RSA PRIVATE KEY-----\n" + BODY),
        (True, b"text before\r\n-----BEGIN PRIVATE KEY-----\r\n" + BODY),
        (True, b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + BODY),
        (True, b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + BODY),
        (True, b"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n" + BODY),
        (True, b'{"private_key": "-----BEGIN PRIVATE KEY-----\\n' + BODY),
        (True, b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n"),
        (True, b"PuTTY-User-Key-File-3: ssh-ed25519\n"),
        (False, b"-----BEGIN PUBLIC KEY-----\n" + BODY),
        (False, b"-----BEGIN CERTIFICATE-----\n" + BODY),
        (False, b"if b'-----BEGIN PRIVATE KEY-----' in text: raise ValueError\n"),
        (False, b""),
    ],
)
def test_private_keys_by_their_content(expected: bool, content: bytes) -> None:
    """A key is one by any name; code that looks for keys is none, nor is what is public."""
    assert expected == (SecretFiles(SnapshotRules()).reason_by_content("notes.txt", content) is not None)


def test_the_smallest_files_come_in_first() -> None:
    """The outcome does not depend on the order in which files are found."""
    sizes = [("b", 5), ("a", 5), ("large", 100), ("c", 4)]
    rules = SnapshotRules(max_file=50, max_total=9)
    kept, left_out = fit(sizes, rules)
    assert (["c", "a"], ["b", "large"]) == (kept, [one.path for one in left_out])
    assert (kept, left_out) == fit(reversed(sizes), rules)


@given(st.lists(st.integers(0, 30)), st.integers(0, 30), st.integers(0, 100))
def test_what_fits_keeps_both_bounds(sizes: list[int], max_file: int, max_total: int) -> None:
    """Nothing kept is too large, alone or together, and nothing that would still fit is left out."""
    found = {f"f{number}": size for number, size in enumerate(sizes)}
    kept, left_out = fit(found.items(), SnapshotRules(max_file, max_total))
    total = sum(found[path] for path in kept)
    assert sorted(found) == sorted([*kept, *(one.path for one in left_out)])
    assert total <= max_total
    assert all(found[path] <= max_file for path in kept)
    assert all(found[one.path] > max_file or found[one.path] + total > max_total for one in left_out)


def test_a_record_lists_a_hundred_paths_and_counts_the_rest() -> None:
    """They are in order, and in valid Unicode."""
    many = [LeftOut(f"f{number:04}", "why") for number in reversed(range(1200))]
    documents = to_documents(many)
    assert (MAX_LISTED + 1, "f0000") == (len(documents), documents[0]["path"])
    assert {"path": "…", "reason": "1,100 more paths are left out"} == documents[-1]
    assert ({"path": "latin-\ufffd", "reason": "r"},) == to_documents([LeftOut("latin-\udce4", "r")])
