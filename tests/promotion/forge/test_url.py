"""Remotes' URLs and forges' addresses, as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.promotion.forge.url import Address, parse_remote, parse_server, project_on, quote_part, quote_path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/team/churn.git", ("https", "github.com", 443, "team/churn")),
        ("https://kim:t0ken@GitHub.com:8443/team/churn/", ("https", "github.com", 8443, "team/churn")),
        ("http://git.corp/gitlab/a/b/c.git", ("http", "git.corp", 80, "gitlab/a/b/c")),
        ("ssh://git@git.corp:2222/team/churn.git", ("ssh", "git.corp", 2222, "team/churn")),
        ("git+ssh://git.corp/team/churn", ("ssh", "git.corp", 22, "team/churn")),
        ("git@github.com:team/churn.git", ("ssh", "github.com", 22, "team/churn")),
        ("git@github.com:/team/churn.git", ("ssh", "github.com", 22, "team/churn")),
        ("work:team/churn", ("ssh", "work", 22, "team/churn")),
        ("git@[::1]:team/churn", ("ssh", "::1", 22, "team/churn")),
        ("ssh://git@ssh.github.com:443/team/churn.git", ("ssh", "github.com", 443, "team/churn")),
        ("git@altssh.gitlab.com:a/b/c", ("ssh", "gitlab.com", 22, "a/b/c")),
        ("https://host/team/na%20me.git", ("https", "host", 443, "team/na me")),
        ("git://host/team/churn", ("git", "host", 9418, "team/churn")),
    ],
)
def test_a_url_tells_host_and_project(url: str, expected: tuple[str, str, int, str]) -> None:
    """Every spelling that git knows, with ports, users and the forges' second hosts for ssh."""
    assert Address(*expected) == parse_remote(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/churn.git",
        "../churn",
        "./a:b",
        "C:\\work\\churn",
        "C:/work/churn",
        "file:///srv/churn.git",
        "ext::sh -c evil",
        "https://host:notaport/a/b",
        "https:///a/b",
        "https://host",
        "https://host/",
        "https://host/../a",
        "https://host/a/%2e%2e",
        "https://host/a//b",
        "https://ho st/a/b",
        "https://[::1/a/b",
        "git@host:~kim/churn",
        "git@host:a/b\x1b[31m",
        "-oProxyCommand=x:a/b",
    ],
)
def test_what_leads_to_no_forge(url: str) -> None:
    """Folders, other protocols, and what is no address."""
    assert None is parse_remote(url)


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    """Any text is read or refused, and what is read has no part that climbs."""
    for url in (text, f"https://{text}", f"git@host:{text}"):
        found = parse_remote(url)
        assert found is None or not {"", ".", ".."} & set(found.path.split("/"))
    server = parse_server(text)
    assert server is None or server == parse_server(server)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git.corp", "https://git.corp"),
        ("HTTPS://Git.Corp:443/", "https://git.corp"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://host/git/", "https://host/git"),
        ("http://[::1]:80/x", "http://[::1]/x"),
        ("https://user:pw@host", None),
        ("ftp://host", None),
        ("https://host?x=1", None),
        ("", None),
        ("https://", None),
        ("https://a b", None),
        ("https://host/../x", None),
    ],
)
def test_the_address_of_a_forge_has_one_form(url: str, expected: str | None) -> None:
    """A host alone means HTTPS; users, queries and other protocols are refused."""
    assert expected == parse_server(url)


@pytest.mark.parametrize(
    ("server", "url", "expected"),
    [
        ("https://git.corp", "git@git.corp:team/churn.git", "team/churn"),
        ("https://git.corp:8443", "ssh://git@git.corp:2222/team/churn", "team/churn"),
        ("https://git.corp/git", "https://git.corp/git/team/churn", "team/churn"),
        ("https://git.corp/git", "git@git.corp:team/churn", "team/churn"),
        ("https://git.corp/git", "https://git.corp/team/churn", None),
        ("https://git.corp:8443", "https://git.corp/team/churn", None),
        ("https://git.corp", "http://git.corp/team/churn", "team/churn"),
        ("https://git.corp", "https://git.corp.evil.org/team/churn", None),
    ],
)
def test_a_remote_is_on_a_server(server: str, url: str, expected: str | None) -> None:
    """By host and, for the web, port and folder; never by a part of a name."""
    address = parse_remote(url)
    assert address is not None
    assert expected == project_on(server, address)


def test_branches_are_quoted() -> None:
    """A branch's name cannot leave its place in an address."""
    assert "a%20b/c%3F%23" == quote_path("a b/c?#")
    assert "a%2Fb%26" == quote_part("a/b&")
