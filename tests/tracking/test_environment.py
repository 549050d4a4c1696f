import json
import os
import re
import sys
import threading
from pathlib import Path

import pytest

from runstone.records.run import Environment
from runstone.tracking.environment import EnvironmentCapture, capture_user, platform, requirements
from tests.support import run_python

PRINT = "from runstone.tracking.environment import requirements; print(requirements(), end='')"


def install(site: Path, folder: str, metadata: str | None, **files: object) -> Path:
    """Lay down the metadata of a package as an installer does."""
    path = site / folder
    path.mkdir(parents=True)
    if metadata is not None:
        (path / "METADATA").write_text(metadata)
    for name, content in files.items():
        (path / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def listed(site: Path, *more: Path) -> list[str]:
    """The requirements that a bare interpreter sees with these folders on its path."""
    path = os.pathsep.join(map(str, (site, *more)))
    own = "[p for p in sys.path if 'site-packages' not in p]"
    code = f"import sys; sys.path = {path.split(os.pathsep)!r} + {own}\n{PRINT}"
    return run_python(code, cwd=site).stdout.splitlines()


def fields(name: str, version: str) -> str:
    """The head of a metadata file."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: x\n\nName: not-this\nVersion: 9\n"


def test_packages_are_exact_sorted_and_normalised(tmp_path: Path) -> None:
    """Names are normalised, sorted without regard to case, and local versions kept."""
    install(tmp_path, "zeta-1.0.dist-info", fields("zeta", "1.0"))
    install(tmp_path, "My_Pkg-2.0.dist-info", fields("My_Pkg.Core", "2.0+cu118"))
    install(tmp_path, "Alpha-0.1.dist-info", fields("Alpha", "0.1").replace("\n", "\r\n"))
    assert ["alpha==0.1", "my-pkg-core==2.0+cu118", "zeta==1.0"] == listed(tmp_path)


def test_of_two_installs_the_first_on_the_path_counts(tmp_path: Path) -> None:
    """As `import` would choose."""
    install(tmp_path / "a", "x-2.dist-info", fields("x", "2"))
    install(tmp_path / "b", "X-1.dist-info", fields("X", "1"))
    assert ["x==2"] == listed(tmp_path / "a", tmp_path / "b")
    assert ["x==1"] == listed(tmp_path / "b", tmp_path / "a")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "file:///home/kim/x", "dir_info": {"editable": True}}, "# x==1 (editable install)"),
        ({"url": "file:///home/kim/x", "dir_info": {}}, "# x==1 (local install)"),
        ({"url": "file:///home/kim/x-1-py3-none-any.whl", "archive_info": {}}, "# x==1 (local install)"),
        (
            {"url": "file:///home/kim/x", "vcs_info": {"vcs": "git", "commit_id": "abc1"}},
            "# x==1 (local install at abc1)",
        ),
        (
            {"url": "https://kim:pw@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}},
            "x @ git+https://host/x.git@abc1",
        ),
        (
            {"url": "ssh://git@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}, "subdirectory": "py"},
            "x @ git+ssh://git@host/x.git@abc1#subdirectory=py",
        ),
        (
            {"url": "https://t0k@host/x-1.whl", "archive_info": {"hash": "sha256=00ff"}},
            "x @ https://host/x-1.whl#sha256=00ff",
        ),
    ],
)
def test_packages_from_elsewhere_are_named_without_paths_and_credentials(
    tmp_path: Path, origin: dict[str, object], expected: str
) -> None:
    """A repository or URL is a requirement pip can install; what lies on this machine only is a comment."""
    install(tmp_path, "x-1.dist-info", fields("x", "1"), direct_url=origin)
    assert [expected] == listed(tmp_path)


def test_broken_packages_are_left_out(tmp_path: Path) -> None:
    """Missing or unreadable metadata, and what pip leaves of a failed removal, do not spoil the rest.

    Where only the origin is unreadable, the version is still exact.
    """
    install(tmp_path, "good-1.dist-info", fields("good", "1"))
    install(tmp_path, "~ood-0.dist-info", fields("good", "0"))
    install(tmp_path, "empty-1.dist-info", None)
    install(tmp_path, "nameless-1.dist-info", "Version: 1\n\n")
    install(tmp_path, "odd-1.dist-info", fields("odd; rm", "1"))
    install(tmp_path, "json-1.dist-info", fields("json-broken", "1"), direct_url="{")
    install(tmp_path, "keys-1.dist-info", fields("keys-broken", "1"), direct_url={"u": 1})
    (install(tmp_path, "bytes-1.dist-info", None) / "METADATA").write_bytes(b"Name: b\xff\nVersion: 1\n")
    assert ["good==1", "json-broken==1", "keys-broken==1"] == listed(tmp_path)


def test_an_egg_info_folder_counts(tmp_path: Path) -> None:
    """Packages of older installers keep their metadata in PKG-INFO."""
    (tmp_path / "old.egg-info").mkdir()
    (tmp_path / "old.egg-info" / "PKG-INFO").write_text(fields("old", "3"))
    assert ["old==3"] == listed(tmp_path)


def test_the_list_is_what_the_standard_library_reads() -> None:
    """In this very environment each released package has the version `importlib.metadata` gives for it."""
    from importlib.metadata import version

    lines = [line.split("==") for line in requirements().splitlines() if re.match(r"[a-z0-9-]+==", line)]
    assert len(lines) > 10
    assert {name: version(name) for name, _ in lines} == dict(lines)


def test_the_environment_of_a_run() -> None:
    """Python, platform and packages; the second capture of a process reads nothing, so it starts no thread."""
    captured = EnvironmentCapture().result()
    assert Environment(".".join(map(str, sys.version_info[:3])), platform(), "requirements.txt") == captured.environment
    assert requirements() == captured.requirements
    threads = threading.active_count()
    again = EnvironmentCapture()
    assert threads == threading.active_count()
    assert captured == again.result()


def test_a_package_installed_meanwhile_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `%pip install` in a notebook: the folder on `sys.path` has changed, so packages are read again."""
    monkeypatch.syspath_prepend(tmp_path)
    assert "late-package==7" not in EnvironmentCapture().result().requirements
    install(tmp_path, "late_package-7.dist-info", fields("late-package", "7"))
    assert "late-package==7\n" in EnvironmentCapture().result().requirements


def test_the_platform_names_no_host() -> None:
    """System, version of two numbers, processor."""
    assert re.fullmatch(r"[A-Za-z]+-\d+(\.\d+)?-\w+", platform())
    assert os.uname().nodename not in platform()


def test_the_user_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGNAME, as everywhere on Unix."""
    monkeypatch.setenv("LOGNAME", "kim")
    assert "kim" == capture_user()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user without a name")
def test_a_user_without_a_name_has_a_number(tmp_path: Path) -> None:
    """As in containers that run under any uid."""
    code = "import os; os.setuid(54321); from runstone.tracking.environment import capture_user; print(capture_user())"
    names = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "")
    code = f"import runstone.tracking.environment, getpass\n{code}"
    assert "uid-54321" == run_python(code, cwd=tmp_path, env=names).stdout.strip()


def test_a_child_forked_while_the_capture_runs_has_a_result(tmp_path: Path) -> None:
    """The thread stays behind in the parent; the child reads for itself instead of waiting for ever."""
    code = (
        "import os, time, warnings\n"
        "from runstone.tracking.background import Background\n"
        "parent = os.getpid()\n"
        "background = Background(lambda: time.sleep(1 if os.getpid() == parent else 0) or os.getpid())\n"
        "warnings.simplefilter('ignore')\n"
        "child = os.fork()\n"
        "if child == 0:\n    os._exit(0 if background.result() == os.getpid() else 7)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert background.result() == parent\n"
    )
    run_python(code, cwd=tmp_path, timeout_s=20)


def test_an_error_in_the_background_is_raised_where_it_is_asked_for() -> None:
    """Nothing is swallowed by the thread."""
    from runstone.tracking.background import Background

    background = Background(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            background.result()
