"""What the URL of a git remote says: which host, and which project there. Pure text; nobody is asked.

Also the quoting of what goes into a forge's addresses: names of branches are other people's text.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

_PORTS = {"http": 80, "https": 443, "git": 9418, "ssh": 22}
_SCHEMES = {"http": "http", "https": "https", "git": "git", "ssh": "ssh", "git+ssh": "ssh", "ssh+git": "ssh"}
# `[user@]host:path`, as git takes it when no slash stands before the colon; a letter alone is a Windows drive.
_SCP = re.compile(r"(?:[^@/:\s]+@)?(\[[0-9a-fA-F:.]+\]|[^@/:\s]{2,}|[^@/:\s]+(?<=@.)):(?!:|//)(.+)", re.DOTALL)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|[0-9a-f:.]+")
# Where a forge takes ssh on the port of HTTPS, for networks that let nothing else through.
_SSH_HOSTS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a remote is.

    Attributes:
        scheme: `http`, `https`, `git` or `ssh`.
        host: In small letters; without the brackets of IPv6.
        port: Always given, the scheme's own where the URL names none.
        path: Of the project, parts joined by `/`, without `.git`.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_web(self) -> bool:
        """Whether the host and port are those of the web pages too."""
        return self.scheme in ("http", "https")


def parse_remote(url: str) -> Address | None:
    """Read the URL of a remote; None if it is a folder, or of a kind that no forge serves.

    Source: git-fetch(1), "GIT URLS".
    """
    if "://" in url:
        scheme, _, rest = url.partition("://")
        known = _SCHEMES.get(scheme.lower())
        try:
            parts = urlsplit(f"//{rest}")
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:  # a port that is no number, or a bracket that does not close
            return None
        path = unquote(parts.path)
    else:
        match = _SCP.fullmatch(url)
        known, host, port, path = "ssh", "", None, ""
        if match is not None:
            host, path = match[1].strip("[]").lower(), match[2]
    if known is None or not _HOST.fullmatch(host):
        return None
    path = path.strip("/").removesuffix(".git").rstrip("/")
    parts_ = path.split("/")
    if any(part in ("", ".", "..") or part.startswith("~") for part in parts_) or not path.isprintable():
        return None
    return Address(known, _SSH_HOSTS.get(host, host), port or _PORTS[known], path)


def parse_server(url: str) -> str | None:
    """The address of a forge, `https://host[:port][/folder]`, in one form; a host alone means HTTPS.

    None if it is none. Such an address holds no user, query or fragment.
    """
    url = url.strip()
    if "://" not in url:
        url = f"https://{url}"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or "@" in parts.netloc:
        return None
    if parts.query or parts.fragment or not url.isprintable() or " " in url or ".." in parts.path:
        return None
    where = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        where += f":{port}"
    return f"{parts.scheme}://{where}{parts.path.rstrip('/')}"


def project_on(server: str, address: Address) -> str | None:
    """The path of the project if the remote is on this server, else None.

    Of a remote by ssh the host alone counts: its port is another, and a folder of the web pages is not in it.
    """
    parts = urlsplit(server)
    if address.host != parts.hostname:
        return None
    if not address.is_web:
        return address.path
    if address.scheme == parts.scheme and address.port != (parts.port or _PORTS[parts.scheme]):
        return None
    folder = parts.path.strip("/")
    if not folder:
        return address.path
    return address.path.removeprefix(f"{folder}/") if address.path.startswith(f"{folder}/") else None


def quote_path(text: str) -> str:
    """Text as part of a path, slashes kept."""
    return quote(text, safe="/")


def quote_part(text: str) -> str:
    """Text as one part of a path or of a query."""
    return quote(text, safe="")
