import os
from pathlib import Path

import pytest
from dvc.config import Config
from dvc.dirs import global_config_dir, system_config_dir

from runstone.artifacts.config import (
    Place,
    cache_root,
    find_cache,
    format_config,
    parse_config,
    public_config,
    without_user,
)
from tests.support import git, run_python

from .conftest import Dvc


def state(repo: Path) -> Path:
    """Runstone's own folder in a repository."""
    return repo / ".git" / "runstone"


def test_without_dvc_the_cache_is_in_the_git_directory(git_repo: Path) -> None:
    """The embedded default; it is only named, not made."""
    assert state(git_repo) / "cache" == cache_root(git_repo, state(git_repo))
    assert state(git_repo) / "cache" == cache_root(None, state(git_repo))
    assert not state(git_repo).exists()


@pytest.mark.dvc
def test_the_cache_is_where_dvc_has_it(git_repo: Path, dvc: Dvc, tmp_path: Path) -> None:
    """By default, and as set for the machine, the user, the project and the clone: always DVC's answer."""
    dvc("init", "-q", cwd=git_repo)
    assert git_repo / ".dvc" / "cache" == cache_root(git_repo, state(git_repo))
    levels = {"system": tmp_path / "by system, #1", "global": tmp_path / "by user"}
    levels |= {"repo": tmp_path / "near by", "local": tmp_path / "by clone"}
    for level, folder in levels.items():
        with Config(str(git_repo / ".dvc")).edit(level) as settings:
            settings["cache"]["dir"] = os.path.relpath(folder) if level == "repo" else str(folder)
        expected = Path(Config(str(git_repo / ".dvc"))["cache"]["dir"])
        assert folder.name == expected.name
        assert expected == cache_root(git_repo, state(git_repo))


@pytest.mark.dvc
@pytest.mark.parametrize("named", [True, False])
def test_the_folders_of_user_and_machine_are_dvcs(named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the environment says, and where DVC looks by itself."""
    if not named:
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name)
    place = Place.find(None, Path("/r.git/runstone"))
    expected = [
        Path("/r.git/runstone/dvc.local"),
        Path(global_config_dir(), "config"),
        Path(system_config_dir(), "config"),
    ]
    assert expected == list(place.files())


def test_a_shared_cache_and_bytes_from_before_dvc(git_repo: Path) -> None:
    """`cache.shared` is obeyed, and what was logged before `dvc init` is still found."""
    before = find_cache(git_repo, state(git_repo))
    digest = before.add_bytes(b"early")
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text("[cache]\n    shared = group\n")
    cache = find_cache(git_repo, state(git_repo))
    assert b"early" == cache.read_bytes(digest)
    added = cache.path(cache.add_bytes(b"late"))
    assert 0o2775 == added.parent.stat().st_mode & 0o7777
    assert added.is_relative_to(git_repo / ".dvc" / "cache")


def test_all_work_trees_share_one_cache(git_repo: Path, tmp_path: Path) -> None:
    """A linked work tree can be removed without the artifacts logged in it."""
    linked = tmp_path / "elsewhere" / "linked"
    git("worktree", "add", "-q", linked, cwd=git_repo)
    assert state(git_repo) / "cache" == cache_root(linked, state(git_repo))
    (git_repo / ".dvc").mkdir()
    assert git_repo / ".dvc" / "cache" == cache_root(linked, state(git_repo))
    (linked / ".dvc").mkdir()
    assert git_repo / ".dvc" / "cache" == cache_root(linked, state(git_repo))
    for dvc_dir in (git_repo / ".dvc", linked / ".dvc"):
        (dvc_dir / "config").write_text("[cache]\n    dir = ../../pool\n")
    assert tmp_path / "pool" == cache_root(linked, state(git_repo)) == cache_root(git_repo, state(git_repo))


def test_a_submodule_has_its_own_cache(git_repo: Path, empty_repo: Path) -> None:
    """A submodule's git directory lies in the parent's; its cache is with it, not with the parent's."""
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", git_repo, "sub", cwd=empty_repo)
    (empty_repo / ".dvc").mkdir()
    common = empty_repo / ".git" / "modules" / "sub" / "runstone"
    assert common / "cache" == cache_root(empty_repo / "sub", common)


def test_the_cache_is_found_without_dvc(git_repo: Path) -> None:
    """Neither dvc nor its libraries are imported on the path of a log call."""
    (git_repo / ".dvc").mkdir()
    (git_repo / ".dvc" / "config").write_text("['remote \"a\"']\n    url = /x\n[cache]\n    dir = /pool\n")
    code = (
        "import sys; from pathlib import Path; from runstone.artifacts.config import cache_root\n"
        "print(cache_root(Path(sys.argv[1]), Path(sys.argv[1]) / '.git' / 'runstone'))\n"
        "print(sorted({'dvc', 'dvc_data', 'fsspec', 'configobj', 'yaml', 'platformdirs'} & set(sys.modules)))"
    )
    assert "/pool\n[]\n" == run_python(code, str(git_repo), cwd=git_repo).stdout


@pytest.mark.dvc
def test_configuration_is_read_and_written_as_dvc_does(git_repo: Path, dvc: Dvc) -> None:
    """What `dvc remote` wrote is read, and written again byte for byte."""
    dvc("init", "-q", cwd=git_repo)
    dvc("remote", "add", "-d", "Main Store", "s3://bucket/a, b #c", cwd=git_repo)
    dvc("remote", "modify", "Main Store", "endpointurl", "http://127.0.0.1:9/", cwd=git_repo)
    dvc("remote", "add", "near", "../../store", cwd=git_repo)
    text = (git_repo / ".dvc" / "config").read_text()
    expected = {
        "core": {"remote": "main store"},
        'remote "main store"': {"url": "s3://bucket/a, b #c", "endpointurl": "http://127.0.0.1:9/"},
        'remote "near"': {"url": "../../../store"},
    }
    assert expected == parse_config(text)
    assert text == format_config(parse_config(text)) == public_config(text)


def test_comments_quotes_and_noise_are_read_as_configobj_does() -> None:
    """Inline comments, both quotes, capitals; what is no setting is passed over."""
    text = "# c\n[Core]\nREMOTE = a # the one\nnoise\n[ 'remote \"a\"' ]\nurl = '/x # y' # z\n"
    assert {"core": {"remote": "a"}, 'remote "a"': {"url": "/x # y"}} == parse_config(text)


SECRETS = """
[core]
    remote = a
    analytics = false
['remote "a"']
    url = https://kim:pa55@host/x?sig=5ecret#frag
    endpointurl = https://kim:pa55@end/
    region = eu-1
    access_key_id = 5ecret
    secret_access_key = 5ecret
    session_token = 5ecret
    password = 5ecret
    user = 5ecret
    sas_token = 5ecret
    connection_string = 5ecret
    account_key = 5ecret
    client_secret = 5ecret
    gdrive_client_secret = 5ecret
    custom_auth_header = 5ecret
    sse_customer_key = 5ecret
    passphrase = 5ecret
    credentialpath = 5ecret
    keyfile = 5ecret
    bearer_token_command = 5ecret
    a_setting_of_a_later_dvc = 5ecret
['remote "only-credentials"']
    password = 5ecret
['db "x"']
    password = 5ecret
"""


def test_credentials_and_commands_are_not_told() -> None:
    """Only what is known to be harmless is written to the branch of runs."""
    expected = (
        "[core]\n    remote = a\n['remote \"a\"']\n    url = https://host/x\n    endpointurl = https://end/\n"
        "    region = eu-1\n"
    )
    assert expected == public_config(SECRETS)
    assert "" == public_config("[core]\n    analytics = false\n")


def test_the_only_remote_is_made_the_default() -> None:
    """Plain `dvc pull` in a clone needs a default."""
    text = "['remote \"a\"']\n    url = ../../store\n"
    assert "[core]\n    remote = a\n" + text == public_config(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("ssh://kim:pw@host:22/x", "ssh://host:22/x"),
        ("/data/a@b?c", "/data/a@b?c"),
        ("../a@b", "../a@b"),
        ("C:\\a@b", "C:\\a@b"),
    ],
)
def test_urls_are_shown_without_their_user(url: str, shown: str) -> None:
    """Paths are left alone."""
    assert shown == without_user(url)
