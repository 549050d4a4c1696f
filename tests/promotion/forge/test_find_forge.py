"""Which forge a remote is on, and where a token may go."""

from pathlib import Path

import pytest

from runstone.errors import ForgeTokenMissing, RecordInvalid, UsageError
from runstone.git.repository import Repository
from runstone.promotion.forge import Forge, Request, find_forge
from runstone.promotion.forge.servers import Place, api_url
from tests.support import git, run_python


def find(folder: Path, url: str) -> Forge | None:
    """The forge of a repository whose remote has a URL."""
    if "origin" in git("remote", cwd=folder).split():
        git("remote", "remove", "origin", cwd=folder)
    git("remote", "add", "origin", url, cwd=folder)
    return find_forge(Repository.open(folder), "origin")


def token_of(forge: Forge | None) -> tuple[str, str | None]:
    """Where a forge's token would go, and the token."""
    place = vars(forge)["place"]
    assert isinstance(place, Place)
    return api_url(place), place.token


@pytest.mark.parametrize(
    ("url", "kind", "page"),
    [
        ("git@github.com:team/churn.git", "github", "https://github.com/team/churn"),
        ("https://user:pw@gitlab.com/a/b/churn.git", "gitlab", "https://gitlab.com/a/b/churn"),
        ("ssh://git@codeberg.org/team/churn.git", "gitea", "https://codeberg.org/team/churn"),
        ("https://gitea.com/team/churn", "gitea", "https://gitea.com/team/churn"),
    ],
)
def test_public_forges_are_known(empty_repo: Path, url: str, kind: str, page: str) -> None:
    """By the remote's URL alone; without a token they cannot write."""
    forge = find(empty_repo, url)
    assert forge is not None
    assert (kind, page, False) == (forge.kind, forge.url, forge.can_write)


@pytest.mark.parametrize(
    "url", ["/srv/git/churn.git", "https://example.org/team/churn", "https://github.com/team", "git@github.com:a/b/c"]
)
def test_other_remotes_have_no_forge(empty_repo: Path, url: str) -> None:
    """A folder, an unknown host, and a path that is no project."""
    assert None is find(empty_repo, url)
    assert None is find_forge(Repository.open(empty_repo), "no-such-remote")


def test_a_remote_that_looks_like_an_option_is_refused(empty_repo: Path) -> None:
    """No text reaches git as an option."""
    with pytest.raises(UsageError):
        find_forge(Repository.open(empty_repo), "--upload-pack=x")


def test_git_rewrites_urls(empty_repo: Path, tmp_path: Path) -> None:
    """`url.<base>.insteadOf` leads to the forge; where it leads to a mirror, the URL that is written down counts."""
    git("config", "url.https://github.com/.insteadOf", "gh:", cwd=empty_repo)
    forge = find(empty_repo, "gh:team/churn")
    assert forge is not None
    assert "https://github.com/team/churn" == forge.url
    git("config", f"url.{tmp_path}/mirror/.insteadOf", "https://gitlab.com/", cwd=empty_repo)
    forge = find(empty_repo, "https://gitlab.com/team/churn")
    assert forge is not None
    assert "https://gitlab.com/team/churn" == forge.url


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"GITHUB_TOKEN": "t"}, "git@github.com:a/b", ("https://api.github.com", "t")),
        ({"GH_TOKEN": "g", "GITHUB_TOKEN": "t"}, "git@github.com:a/b", ("https://api.github.com", "g")),
        ({"GH_HOST": "git.corp", "GH_TOKEN": "t"}, "git@git.corp:a/b", ("https://git.corp/api/v3", "t")),
        ({"GH_HOST": "git.corp", "GH_TOKEN": "t"}, "git@github.com:a/b", ("https://api.github.com", None)),
        (
            {"GH_HOST": "git.corp", "GH_TOKEN": "t", "GH_ENTERPRISE_TOKEN": "e"},
            "git@github.com:a/b",
            ("https://api.github.com", "t"),
        ),
        (
            {"GH_HOST": "git.corp", "GH_TOKEN": "t", "GH_ENTERPRISE_TOKEN": "e"},
            "git@git.corp:a/b",
            ("https://git.corp/api/v3", "e"),
        ),
        ({"GH_HOST": "team.ghe.com", "GH_TOKEN": "t"}, "git@team.ghe.com:a/b", ("https://api.team.ghe.com", "t")),
        (
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_TOKEN": "t"},
            "git@github.com:a/b",
            ("https://api.github.com", "t"),
        ),
        ({"GITLAB_TOKEN": "t"}, "git@gitlab.com:a/b/c", ("https://gitlab.com/api/v4", "t")),
        (
            {"GITLAB_URL": "https://git.corp/gitlab", "GITLAB_TOKEN": "t"},
            "https://git.corp/gitlab/a/b",
            ("https://git.corp/gitlab/api/v4", "t"),
        ),
        (
            {"GITLAB_URL": "https://git.corp", "GITLAB_TOKEN": "t"},
            "git@gitlab.com:a/b",
            ("https://gitlab.com/api/v4", None),
        ),
        ({"CI_SERVER_URL": "https://g.corp", "CI_JOB_TOKEN": "j"}, "git@g.corp:a/b", ("https://g.corp/api/v4", "j")),
        ({"CI_JOB_TOKEN": "j"}, "git@gitlab.com:a/b", ("https://gitlab.com/api/v4", None)),
        ({"FORGEJO_TOKEN": "t"}, "git@codeberg.org:a/b", ("https://codeberg.org/api/v1", "t")),
        ({"GITEA_URL": "git.corp:3000", "GITEA_TOKEN": "t"}, "git@git.corp:a/b", ("https://git.corp:3000/api/v1", "t")),
        ({"FORGEJO_URL": "git.corp", "GITEA_TOKEN": "t"}, "git@git.corp:a/b", ("https://git.corp/api/v1", "t")),
        (
            {"GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.corp", "GITHUB_TOKEN": "t"},
            "git@git.corp:a/b",
            ("https://git.corp/api/v1", "t"),
        ),
        (
            {"GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.corp", "GITHUB_TOKEN": "t"},
            "git@github.com:a/b",
            ("https://api.github.com", None),
        ),
    ],
)
def test_a_token_goes_to_the_host_it_is_for(
    empty_repo: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: tuple[str, str]
) -> None:
    """The usual variables; where the environment names a host, the general token is for that one alone."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == token_of(find(empty_repo, url))


@pytest.mark.parametrize("token", ["se cret", "se\ncret", "gehëim"])
def test_what_can_be_no_token_is_refused(empty_repo: Path, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """By the name of its variable, before any library would show it in an error of its own."""
    monkeypatch.setenv("GITHUB_TOKEN", token)
    with pytest.raises(UsageError) as caught:
        find(empty_repo, "git@github.com:a/b")
    expected = "`GITHUB_TOKEN` cannot hold a token: there are spaces or other signs in it. Set it anew."
    assert expected == str(caught.value)


def test_a_setting_says_what_a_host_is_but_sends_it_no_token(empty_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`forge` in runstone.yaml may be anybody's text: addresses work, and the message says how to trust the host."""
    monkeypatch.setenv("GITLAB_TOKEN", "t")
    (empty_repo / "runstone.yaml").write_text("forge: {kind: gitlab, url: 'https://git.corp'}\n")
    forge = find(empty_repo, "git@git.corp:a/b/churn.git")
    assert forge is not None
    assert ("gitlab", "https://git.corp/a/b/churn", False) == (forge.kind, forge.url, forge.can_write)
    assert ("https://git.corp/api/v4", None) == token_of(forge)
    with pytest.raises(ForgeTokenMissing) as caught:
        forge.open_request(Request("T", "", "x", "main"))
    assert (
        "GitLab (https://git.corp/a/b/churn) needs a token to open a request for review, and there is none for it. "
        "Make one that may write to the project, and set `GITLAB_TOKEN`. A token goes only to a host that the "
        "environment names: `GITLAB_URL=https://git.corp`."
    ) == str(caught.value)
    monkeypatch.setenv("GITLAB_URL", "https://git.corp")
    assert ("https://git.corp/api/v4", "t") == token_of(find(empty_repo, "git@ssh.corp:a/b/churn.git"))


def test_a_setting_for_another_host_than_the_remote_is_refused(empty_repo: Path) -> None:
    """A project cannot have its requests read from a host that is not its remote's."""
    (empty_repo / "runstone.yaml").write_text("forge: {kind: github, url: 'https://elsewhere.org'}\n")
    with pytest.raises(UsageError) as caught:
        find(empty_repo, "https://git.corp/team/churn.git")
    assert (
        "`forge.url` in runstone.yaml is https://elsewhere.org, but the remote `origin` is on git.corp. Correct one of "
        "the two, or say that it is so: `export GH_HOST=elsewhere.org`"
    ) == str(caught.value)
    assert None is find(empty_repo, "/srv/git/churn.git")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{kind: bitbucket, url: 'https://x.org'}",
            "`forge.kind` must be one of github, gitlab, gitea, but is the text",
        ),
        ("{kind: gitlab}", "`forge.url` is missing"),
        ("{kind: gitlab, url: 'file:///etc'}", "`forge.url` must be the address of a forge"),
        ("{kind: gitlab, url: 'https://a@b'}", "`forge.url` must be the address of a forge"),
    ],
)
def test_a_setting_that_is_wrong_is_named(empty_repo: Path, text: str, words: str) -> None:
    """With the key, as all settings."""
    (empty_repo / "runstone.yaml").write_text(f"forge: {text}\n")
    with pytest.raises(RecordInvalid) as caught:
        find(empty_repo, "git@git.corp:a/b")
    assert words in str(caught.value)


def test_a_job_token_of_gitlab_writes_nothing(empty_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used to read, and the message says why it is not enough."""
    monkeypatch.setenv("CI_SERVER_URL", "https://g.corp")
    monkeypatch.setenv("CI_JOB_TOKEN", "j")
    forge = find(empty_repo, "https://gitlab-ci-token:j@g.corp/a/b.git")
    assert forge is not None
    assert not forge.can_write
    with pytest.raises(ForgeTokenMissing) as caught:
        forge.comment(1, "x", "<!-- m -->")
    assert (
        "GitLab (https://g.corp/a/b) needs a token to comment on request !1, and there is none for it. Make one that "
        "may write to the project, and set `GITLAB_TOKEN`. `CI_JOB_TOKEN` is there, but it may only read: GitLab lets "
        "a job's token open no request and write no comment."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("url", "pages"),
    [
        (
            "git@github.com:team/churn",
            (
                "/compare/main...a%20b?expand=1",
                "/compare/main...bo:x/y?expand=1",
                "/compare/v1...v2",
                "/commit/abc",
                "/pull/3",
            ),
        ),
        (
            "git@gitlab.com:team/churn",
            (
                "/-/merge_requests/new?merge_request%5Bsource_branch%5D=a%20b&merge_request%5Btarget_branch%5D=main",
                None,
                "/-/compare/v1...v2",
                "/-/commit/abc",
                "/-/merge_requests/3",
            ),
        ),
        (
            "git@codeberg.org:team/churn",
            ("/compare/main...a%20b", "/compare/main...bo:x/y", "/compare/v1...v2", "/commit/abc", "/pulls/3"),
        ),
    ],
)
def test_pages_of_a_forge(empty_repo: Path, url: str, pages: tuple[str | None, ...]) -> None:
    """The addresses that people are sent to; names are quoted."""
    forge = find(empty_repo, url)
    assert forge is not None
    found = (
        forge.new_request_url("main", "a b"),
        forge.new_request_url("main", "bo:x/y"),
        forge.compare_url("v1", "v2"),
        forge.commit_url("abc"),
        forge.request_url(3),
    )
    for page, address in zip(pages, found, strict=True):
        if page is not None:
            assert f"{forge.url}{page}" == address
    fork = "https://gitlab.com/bo/churn/-/merge_requests/new?"
    assert forge.kind != "gitlab" or found[1].startswith(fork)


def test_libraries_are_loaded_when_the_forge_is_asked(empty_repo: Path) -> None:
    """Finding a forge and its addresses loads no client library."""
    git("remote", "add", "origin", "git@github.com:team/churn.git", cwd=empty_repo)
    code = (
        "import sys\n"
        "from runstone.git.repository import Repository\n"
        "from runstone.promotion.forge import find_forge\n"
        "print(find_forge(Repository.open(), 'origin').compare_url('a', 'b'))\n"
        "print(sorted({'github', 'gitlab', 'requests', 'urllib3'} & set(sys.modules)))\n"
    )
    expected = ["https://github.com/team/churn/compare/a...b", "[]"]
    assert expected == run_python(code, cwd=empty_repo).stdout.splitlines()


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [("git@github.com:a/b", "PyGithub", "github"), ("git@gitlab.com:a/b", "python-gitlab", "gitlab")],
)
def test_a_library_that_is_not_installed(empty_repo: Path, url: str, library: str, extra: str) -> None:
    """The message says which extra to install."""
    git("remote", "add", "origin", url, cwd=empty_repo)
    (empty_repo / "hide" / extra).mkdir(parents=True)
    (empty_repo / "hide" / extra / "__init__.py").write_text("raise ImportError('not here')\n")
    code = (
        "import sys\n"
        "sys.path.insert(0, 'hide')\n"
        "from runstone.errors import MissingLibrary\n"
        "from runstone.git.repository import Repository\n"
        "from runstone.promotion.forge import find_forge\n"
        "try:\n"
        "    find_forge(Repository.open(), 'origin').get_request(1)\n"
        "except MissingLibrary as error:\n"
        "    print(error)\n"
    )
    said = run_python(code, cwd=empty_repo).stdout.strip()
    name = {"github": "GitHub", "gitlab": "GitLab"}[extra]
    expected = (
        f"`{library}` is needed to ask {name}, and is not installed. Install it: `pip install 'runstone[{extra}]'`"
    )
    assert expected == said
