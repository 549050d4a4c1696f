"""Which forge a remote is on, and which token is for it.

A token goes only to the host it was made for: that of github.com and its like, or one that the user's environment
names. `runstone.yaml` and the remote's URL alone never send it anywhere: a project that somebody else wrote could name
a host that collects tokens.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from runstone.errors import ForgeTokenMissing, UsageError
from runstone.git.repository import Repository
from runstone.git.stream import hide_credentials
from runstone.promotion.forge.protocol import ForgeKind
from runstone.promotion.forge.url import parse_remote, parse_server, project_on

_NAMES: dict[ForgeKind, str] = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea"}
_GITHUB = "https://github.com"
_JOB_TOKEN = (
    "`CI_JOB_TOKEN` is there, but it may only read: GitLab lets a job's token open no request and write no comment."
)


@dataclass(frozen=True, slots=True)
class Server:
    """A forge that is known before any remote is looked at, or by a setting.

    Attributes:
        kind: Which of the three.
        name: As people call it.
        url: Its web pages.
        variables: Where its token is looked for; none where the environment does not say that it is trusted.
        note: What to do besides setting a token.
    """

    kind: ForgeKind
    name: str
    url: str
    variables: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """One project on one forge, and how to be let in.

    Attributes:
        kind: Which of the three.
        name: As people call it.
        server: Its web pages.
        path: The project: `owner/name`, on GitLab with sub-groups.
        token: The token; None where there is none. It is in no text that is shown.
        variable: Where it was found.
        wanted: Where one that may write is looked for.
        note: What is to be known besides where there is none.
    """

    kind: ForgeKind
    name: str
    server: str
    path: str
    token: str | None = field(default=None, repr=False)
    variable: str = ""
    wanted: tuple[str, ...] = ()
    note: str = ""

    @property
    def url(self) -> str:
        """The project's page."""
        return f"{self.server}/{self.path}"

    @property
    def can_write(self) -> bool:
        """Whether there is a token, and not one of a GitLab job."""
        return self.token is not None and self.variable != "CI_JOB_TOKEN"

    def need_token(self, what: str) -> None:
        """Raises `ForgeTokenMissing` if there is none that may write."""
        if not self.can_write:
            raise ForgeTokenMissing(self.name, self.url, what, self.wanted, self.note)

    def hide(self, text: str) -> str:
        """The text without the token, in case the forge or a library repeats it, and without other credentials."""
        return hide_credentials(text.replace(self.token, "…") if self.token else text)


def find_place(repo: Repository, remote: str) -> Place | None:
    """Where the project of a remote is; None if no forge that is known holds it.

    The URL counts as git sees it (`url.<base>.insteadOf`), else as it was written: it may lead to a mirror.

    Raises:
        UsageError: `forge.url` in runstone.yaml is no address, or that of another host than the remote's.
    """
    servers = list(_servers())
    addresses = [address for url in _remote_urls(repo, remote) if (address := parse_remote(url)) is not None]
    setting = repo.config.forge
    for address in addresses:
        for server in servers:
            if setting is not None and server.url == parse_server(setting.url) and server.kind != setting.kind:
                continue  # the project says what it is: two kinds at one address are the environment's guess
            path = project_on(server.url, address)
            if path is not None and _is_project(server.kind, path):
                return _enter(server, path)
    if setting is None or not addresses:
        return None
    url = parse_server(setting.url)
    if url is None:
        raise UsageError(f"`forge.url` in runstone.yaml must be as https://host, but is {setting.url[:200]!r}.")
    kind: ForgeKind = "github" if setting.kind == "github" else "gitlab" if setting.kind == "gitlab" else "gitea"
    variable = {"github": "GH_HOST", "gitlab": "GITLAB_URL", "gitea": "GITEA_URL"}[kind]
    value = url.removeprefix("https://") if kind == "github" else url
    known = next((server for server in servers if server.url == url and server.kind == kind), None)
    for address in addresses:
        path = project_on(url, address)
        # The host of ssh is often another than that of the pages, or a word of the user's ~/.ssh/config.
        path = address.path if path is None and (known is not None or not address.is_web) else path
        if path is not None and _is_project(kind, path):
            note = f"A token goes only to a host that the environment names: `{variable}={value}`."
            wanted = {"github": "GH_TOKEN", "gitlab": "GITLAB_TOKEN", "gitea": "GITEA_TOKEN"}[kind]
            return _enter(known, path) if known else Place(kind, _NAMES[kind], url, path, wanted=(wanted,), note=note)
    raise UsageError(
        f"`forge.url` in runstone.yaml is {url}, but the remote `{remote}` is on {addresses[0].host}. Correct one of "
        f"the two, or say that it is so: `export {variable}={value}`"
    )


def _remote_urls(repo: Repository, remote: str) -> Iterator[str]:
    """The URL that git goes to, then the one that is written down, if it is another."""
    if not remote or remote.startswith("-") or not remote.isprintable():
        raise UsageError(f"{remote[:80]!r} cannot be the name of a git remote.")
    code, out = repo.git("remote", "get-url", "--", remote, allowed=(0, 2, 128))
    if code == 0:
        yield out.decode("utf-8", "replace").rstrip("\n").split("\n")[0]
        _, out = repo.git("config", "--get-all", f"remote.{remote}.url", allowed=(0, 1))
        yield out.decode("utf-8", "replace").split("\n")[0]


def _is_project(kind: ForgeKind, path: str) -> bool:
    depth = path.count("/") + 1
    return depth >= 2 if kind == "gitlab" else depth == 2


def _servers() -> Iterator[Server]:
    """The forges that this process knows: what the environment names first, then the public ones."""
    env = os.environ
    runs_on_gitea = "true" in (env.get("GITEA_ACTIONS"), env.get("FORGEJO_ACTIONS"))  # which sets GITHUB_… too
    gitea = _named("GITEA_URL", "GITEA_TOKEN", *([] if env.get("FORGEJO_URL") else ["FORGEJO_TOKEN"]))
    gitea += _named("FORGEJO_URL", "FORGEJO_TOKEN", *([] if env.get("GITEA_URL") else ["GITEA_TOKEN"]))
    enterprise, general = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"), ("GH_TOKEN", "GITHUB_TOKEN")
    github = _named("GH_HOST", *enterprise, *general)
    if runs_on_gitea:
        gitea += _named("GITHUB_SERVER_URL", "GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN")
    else:
        github += _named("GITHUB_SERVER_URL", *enterprise, *general)
    github = [each for each in github if each[1] != _GITHUB]
    gitlab = _named("CI_SERVER_URL", "GITLAB_TOKEN", "CI_JOB_TOKEN")
    gitlab += [*_named("GITLAB_URL", "GITLAB_TOKEN"), *_named("GITLAB_HOST", "GITLAB_TOKEN")]
    named: list[tuple[ForgeKind, list[tuple[str, str, tuple[str, ...]]]]]
    named = [("gitea", gitea), ("github", github), ("gitlab", gitlab)]
    for kind, found in named:
        for variable, url, variables in found:
            yield Server(kind, "Forgejo" if variable == "FORGEJO_URL" else _NAMES[kind], url, variables)
    # A token is for the one host: where the environment names another, the public one gets none, unless that other has
    # a token of its own.
    has_own = any(env.get(name) for name in enterprise)
    taken = [variable for variable, _, _ in github]
    if runs_on_gitea:
        taken.append("GITEA_ACTIONS")
    yield _public("github", "GitHub", _GITHUB, general, [] if has_own else taken)
    yield _public("gitlab", "GitLab", "https://gitlab.com", ("GITLAB_TOKEN",), [each[0] for each in gitlab])
    taken = [variable for variable, _, _ in gitea]
    yield _public("gitea", "Forgejo", "https://codeberg.org", ("FORGEJO_TOKEN", "GITEA_TOKEN"), taken)
    yield _public("gitea", "Gitea", "https://gitea.com", ("GITEA_TOKEN",), taken)


def _public(kind: ForgeKind, name: str, url: str, variables: tuple[str, ...], taken: list[str]) -> Server:
    if not taken:
        return Server(kind, name, url, variables)
    return Server(kind, name, url, (), f"The tokens here are for the host that `{taken[0]}` names: unset it.")


def _named(variable: str, *variables: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """The server that a variable names, and where its token is; a variable that holds no address is not heeded."""
    url = parse_server(os.environ.get(variable, ""))
    return [] if url is None else [(variable, url, variables)]


def _enter(server: Server, path: str) -> Place:
    """The project there, with the first token that is found."""
    variable = next((name for name in server.variables if (os.environ.get(name) or "").strip()), "")
    token = os.environ[variable].strip() if variable else None
    if token is not None and not re.fullmatch(r"[!-~]+", token):  # libraries would show it when they refuse it
        raise UsageError(f"`{variable}` cannot hold a token: there are spaces or other signs in it. Set it anew.")
    wanted = tuple(name for name in server.variables if name != "CI_JOB_TOKEN")
    note = _JOB_TOKEN if variable == "CI_JOB_TOKEN" else server.note
    return Place(server.kind, server.name, server.url, path, token, variable, wanted, note)


def api_url(place: Place) -> str:
    """Where the forge's REST API is."""
    parts = urlsplit(place.server)
    if place.kind == "gitlab":
        return f"{place.server}/api/v4"
    if place.kind == "gitea":
        return f"{place.server}/api/v1"
    if parts.netloc == "github.com" or parts.netloc.endswith(".ghe.com"):
        return f"https://api.{parts.netloc}"
    return f"{place.server}/api/v3"
