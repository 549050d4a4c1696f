"""Which files a code snapshot leaves out, and why: what looks like a secret, and what is too large.

Names are compared without regard to case, for a key is one on every disk. A name that source code has as well, such
as `secrets.py`, counts only while git does not know the file: then nobody has decided yet that it may be published.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from runstone.records.config import SnapshotRules
from runstone.records.document import Document

MAX_LISTED = 100
SCANNED_BYTES = 65536

_SECRET = """
    .env* *.env .Renviron *.pem *.key *.p8 *.p12 *.pfx *.pkcs12 *.jks *.keystore *.bks *.kdb *.kdbx *.ppk *.agekey
    *.keytab krb5cc_* *.ovpn id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk secring.* wallet.dat
    .netrc _netrc .pgpass pgpass.conf .my.cnf .mylogin.cnf .npmrc .pypirc .git-credentials .htpasswd .dockercfg
    **/.docker/config.json .s3cfg .boto .passwd-s3fs .vault-token .vault_pass* .vault-pass* .terraformrc terraform.rc
    .databrickscfg .comet.config kaggle.json .aws/ .ssh/ .gnupg/ .kube/ .azure/ .gcloud/ **/.config/gcloud/ .kaggle/
    .secrets/ kubeconfig *.kubeconfig .*_history **/.dvc/config.local terraform.tfstate* *.tfstate *.tfstate.* *.tfvars
    *.tfvars.json local.settings.json *credentials.json client_secret*.json *service-account*.json
    *service_account*.json *serviceaccount*.json .credentials .secrets .token *.secret *.secrets
    rclone.conf .snowsql/ .snowflake/ **/.config/gh/ **/.config/rclone/ **/huggingface/token **/.huggingface/token
""".split()
_SECRET += [
    f"{name}{kind}"
    for name in ("credentials", "secret", "secrets")
    for kind in (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".txt", ".csv", ".xml", ".properties")
]
_SECRET_WHILE_NEW = ["credentials*", "secret.*", "secrets.*", "token.json", "token.pickle", "token.txt", "*.token"]
_SECRET_WHILE_NEW += [
    "token",
    "*_token",
    "api_key",
    "api_key.txt",
    "apikey",
    "apikey.txt",
    "password.txt",
    "passwords.txt",
]
_HARMLESS = [
    *(f"*.env*.{kind}" for kind in ("example", "sample", "template", "dist", "defaults", "schema")),
    *(f"*.env-{kind}" for kind in ("example", "sample", "template", "dist")),
    "*.pem.pub",
    ".secrets.baseline",
]
_COPY = re.compile(r"(?:~|\.(?:bak|backup|old|orig|save|sw[nop]|tmp))+\Z", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n|\\r).{0,2000}?[A-Za-z0-9+/=]{40}"
    rb"|---- BEGIN SSH2 (?:ENCRYPTED )?PRIVATE KEY ----|^PuTTY-User-Key-File-\d",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path of the work tree that a snapshot does not hold, or not as it is on disk."""

    path: str
    reason: str


class Patterns:
    """Patterns of paths as in `.gitignore`, but for `!`; upper and lower case are the same."""

    def __init__(self, patterns: Iterable[str]) -> None:
        groups: dict[tuple[str, str], list[str]] = {}
        for pattern in patterns:
            name = pattern.rstrip(" ").rstrip("/")
            if name:
                before = "" if "/" in name else "(?:.*/)?"
                after = "/.+" if pattern.rstrip(" ").endswith("/") else "(?:/.+)?"
                groups.setdefault((before, after), []).append(_translate(name.removeprefix("/")))
        whole = "|".join(f"{before}(?:{'|'.join(names)}){after}" for (before, after), names in groups.items())
        self._found = re.compile(whole, re.IGNORECASE | re.DOTALL) if groups else None

    def match(self, path: str) -> bool:
        """Whether a file's path, or a folder it lies in, is meant."""
        return self._found is not None and self._found.fullmatch(path) is not None


class SecretFiles:
    """Tells by its path whether a file must not get into a snapshot."""

    def __init__(self, rules: SnapshotRules) -> None:
        self._denied = Patterns(rules.deny)
        self._allowed = Patterns((*_HARMLESS, *rules.allow))
        self._secret = Patterns(_SECRET)
        self._secret_while_new = Patterns(_SECRET_WHILE_NEW)

    def reason(self, path: str, *, is_new: bool) -> str | None:
        """Why a file is left out, or None.

        Args:
            path: Relative to the top of the work tree.
            is_new: Whether HEAD does not have it.
        """
        if self._denied.match(path):
            return "denied by `snapshot.deny` in runstone.yaml"
        if self._allowed.match(path):
            return None
        if self._secret.match(path) or (is_new and self._secret_while_new.match(path)):
            return "its name looks like that of a secret"
        original = _original(path)
        return self.reason(original, is_new=is_new) if original != path else None

    def reason_by_content(self, path: str, beginning: bytes) -> str | None:
        """As `reason`, by the first bytes of a file that HEAD does not have."""
        if _PRIVATE_KEY.search(beginning) is None or self._allowed.match(path):
            return None
        return "it holds a private key"


def _original(path: str) -> str:
    """What a file is a copy of, as editors and careful people name them: `id_rsa.bak`, `.env~`, `.server.key.swp`."""
    name, folder = path.rpartition("/")[2], path[: path.rfind("/") + 1]
    stem = _COPY.sub("", name)
    if re.search(r"\.sw[nop]\Z", name, re.IGNORECASE):
        stem = stem.removeprefix(".")
    return folder + (stem or name)


@lru_cache(maxsize=8)
def secret_files(rules: SnapshotRules) -> SecretFiles:
    """As `SecretFiles`; a process that records many runs reads the patterns once."""
    return SecretFiles(rules)


def fit(sizes: Iterable[tuple[str, int]], rules: SnapshotRules) -> tuple[list[str], list[LeftOut]]:
    """Which of the files that git does not track fit in; the smallest first, so that most of the code does.

    Args:
        sizes: Paths and their bytes.
        rules: The bounds.

    Returns:
        The paths that do, and those that do not.
    """
    kept, left_out, total = [], [], 0
    for path, size in sorted(sizes, key=lambda found: (found[1], found[0])):
        if size > rules.max_file:
            left_out.append(LeftOut(path, f"{size:,} bytes are more than `snapshot.max_file`, {rules.max_file:,}"))
        elif total + size > rules.max_total:
            why = f"all files that git does not track come to more than `snapshot.max_total`, {rules.max_total:,} bytes"
            left_out.append(LeftOut(path, why))
        else:
            total += size
            kept.append(path)
    return kept, left_out


def to_documents(left_out: Sequence[LeftOut]) -> tuple[Document, ...]:
    """The paths as a record lists them, in order; what is beyond the hundredth is counted."""
    ordered = sorted(left_out, key=lambda one: one.path)
    documents: list[Document] = [{"path": _printable(one.path), "reason": one.reason} for one in ordered[:MAX_LISTED]]
    if len(ordered) > MAX_LISTED:
        documents.append({"path": "…", "reason": f"{len(ordered) - MAX_LISTED:,} more paths are left out"})
    return tuple(documents)


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _translate(pattern: str) -> str:
    """A regular expression for one pattern. Source: gitignore(5), "Pattern format"."""
    regex, at = "", 0
    while at < len(pattern):
        follows_slash = at == 0 or pattern[at - 1] == "/"
        if follows_slash and pattern.startswith("**/", at):
            regex, at = f"{regex}(?:.+/)?", at + 3
        elif follows_slash and pattern[at:] == "**":
            regex, at = f"{regex}.+", at + 2
        elif pattern[at] in "*?":
            regex, at = f"{regex}[^/]{'*' if pattern[at] == '*' else ''}", at + 1
        elif pattern[at] == "[" and (found := re.match(r"\[([!^]?)(\]?[^\]]*)\]", pattern[at:])):
            regex, at = regex + _translate_class(found[2], "^" if found[1] else ""), at + found.end()
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            regex, at = regex + re.escape(pattern[at]), at + 1
    return regex


def _translate_class(inside: str, negation: str) -> str:
    escaped = re.sub(r"([\\\[\]&~|^])", r"\\\1", inside)
    try:
        re.compile(f"[{escaped}]")
    except re.error:  # a range that runs backwards matches nothing
        return "(?!)"
    return f"(?!/)[{negation}{escaped}]"
