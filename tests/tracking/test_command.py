import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstone.tracking.command import Place, printable, process_command
from tests.support import run_python

SHOW = "import json; from runstone.tracking.command import process_command; print(json.dumps(process_command()))"
PYTHON = Path(sys.executable).name


def test_code_on_the_command_line(tmp_path: Path) -> None:
    """The interpreter stands by its name alone, and the arguments follow as given."""
    assert [PYTHON, "-c", SHOW, "--lr", "0.1"] == json.loads(run_python(SHOW, "--lr", "0.1", cwd=tmp_path).stdout)


def test_a_script_and_a_module(tmp_path: Path) -> None:
    """Options of the interpreter, such as `-m`, are part of the command."""
    (tmp_path / "show.py").write_text(SHOW)
    assert [PYTHON, "show.py"] == json.loads(run_python(Path("show.py"), cwd=tmp_path).stdout)
    as_module = "import subprocess, sys; subprocess.run([sys.executable, '-X', 'utf8', '-m', 'show', 'x'])"
    assert [PYTHON, "-X", "utf8", "-m", "show", "x"] == json.loads(run_python(as_module, cwd=tmp_path).stdout)


def test_a_spawned_worker_has_its_parents_command(tmp_path: Path) -> None:
    """What multiprocessing passes to a worker on its command line tells nothing; the script does."""
    (tmp_path / "pool.py").write_text(
        "import json, multiprocessing\n"
        "from runstone.tracking.command import process_command\n"
        "def ask(_):\n    return process_command()\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(json.dumps(pool.map(ask, [0])[0][1:]))\n"
    )
    assert ["pool.py", "--fast"] == json.loads(run_python(Path("pool.py"), "--fast", cwd=tmp_path).stdout)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ({"JPY_SESSION_NAME": "/home/kim/nb/churn.ipynb"}, ["jupyter", "notebook", "/home/kim/nb/churn.ipynb"]),
        ({"JPY_SESSION_NAME": ""}, ["python", "-m", "ipykernel_launcher"]),
    ],
)
def test_a_notebook_is_named_where_jupyter_tells(tmp_path: Path, variable: dict[str, str], expected: list[str]) -> None:
    """A process that looks as a kernel does, down to its module names, is recorded as its notebook."""
    (tmp_path / "ipykernel.py").touch()
    (tmp_path / "ipykernel_launcher.py").write_text(f"import ipykernel\n{SHOW}\n")
    assert expected == json.loads(
        run_python(Path("ipykernel_launcher.py"), "-f", "k.json", cwd=tmp_path, env=variable).stdout
    )


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("{top}/data/x.csv", "../data/x.csv"),
        ("{top}/src/train.py", "train.py"),
        ("{top}", ".."),
        ("--data={top}/data/x.csv", "--data=../data/x.csv"),
        ("{link}/data/x.csv", "../data/x.csv"),
        ("{top}-other/x.csv", "x.csv"),
        ("/elsewhere/deep/x.csv", "x.csv"),
        ("/elsewhere/deep/", "deep"),
        ("--data=/elsewhere/x.csv", "--data=x.csv"),
        ("-I/usr/include", "-Iinclude"),
        ("/host/a:/container/b", "a:b"),
        ("/host/models:/container/b", "models:b"),
        ("file:///host/a.csv", "file://a.csv"),
        ("sqlite:////host/a.db", "sqlite://a.db"),
        ("open('/host/a.csv') + open(\"/b/c\")", "open('a.csv') + open(\"c\")"),
        ('{{"in": "/host/a b"}}', '{{"in": "a b"}}'),
        ("--in=/host/a,/host/b", "--in=a,b"),
    ],
)
def test_no_absolute_path_is_left(tmp_path: Path, argument: str, expected: str) -> None:
    """Inside the work tree a path becomes relative to the working directory, elsewhere it is cut to its last name."""
    top = tmp_path / "repo"
    (top / "src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(top)
    place = Place(top / "src", top)
    names = {"top": str(top), "link": str(tmp_path / "link")}
    assert expected.format(**names) == place.shorten(argument.format(**names))


@pytest.mark.parametrize(
    "argument",
    [
        "train.py",
        "../data/x.csv",
        "./x",
        "s/a/b/",
        "1/2",
        "https://host/a/b",
        "git@host:team/x.git",
        "data/**/x",
        "$HOME/x",
        "${{HOME}}/x",
        "~/x",
        "{{'a': 1}}",
        "/",
        "//",
        "\\d+",
        "a: b / c",
        "s3://bucket/key",
        "models:/churn/3",
        "models:/churn@champion",
        "--model=models:/churn/Production",
        "load_model('runs:/0192f3ab5c6d7e8f9a0b1c2d3e4f5a6b/model')",
    ],
)
def test_other_arguments_are_left_alone(tmp_path: Path, argument: str) -> None:
    """Relative paths, URLs, expressions and patterns are no absolute paths."""
    assert argument == Place(tmp_path, tmp_path).shorten(argument)


def test_a_path_with_spaces_is_shortened_whole(tmp_path: Path) -> None:
    """An argument that is an existing path is one, whatever characters it holds."""
    folder = tmp_path / "my data (1), old"
    folder.mkdir()
    assert "my data (1), old" == Place(tmp_path, None).shorten(str(folder))
    assert "--in=my data (1), old" == Place(tmp_path, None).shorten(f"--in={folder}")


def test_a_link_inside_the_tree_stays_inside(tmp_path: Path) -> None:
    """A path through a link in the work tree is recorded as given, not as where the link leads."""
    top = tmp_path / "repo"
    (tmp_path / "disk").mkdir()
    top.mkdir()
    (top / "data").symlink_to(tmp_path / "disk")
    assert "data/x.csv" == Place(top, top).shorten(str(top / "data" / "x.csv"))


def test_the_directory_is_relative_to_the_top(tmp_path: Path) -> None:
    """Inside the tree it is relative, through links too; outside it, and without a tree, it is not recorded."""
    (tmp_path / "repo" / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "repo" / "a")
    top = tmp_path / "repo"
    assert "a/b" == Place(top / "a" / "b", top).directory()
    assert "a/b" == Place(tmp_path / "link" / "b", top).directory()
    assert "." == Place(top, top).directory()
    assert Place(tmp_path, top).directory() is None
    assert Place(top, None).directory() is None
    assert Place(None, top).directory() is None


def test_bytes_that_are_no_text_become_valid_unicode(tmp_path: Path) -> None:
    """A file name in another encoding reaches the command as valid, if lossy, text."""
    raw = os.fsdecode(b"caf\xe9.csv")
    assert ("caf\ufffd.csv",) == Place(tmp_path, None).shorten_command([raw])
    assert "café" == printable("café")


@given(
    st.lists(
        st.sampled_from(["/", "a", "b.c", " ", "=", "-", ":", "'", ",", "x", "..", "file:", "(", "\\"]), max_size=14
    )
)
def test_shortening_leaves_no_known_root(pieces: list[str]) -> None:
    """However it is embedded, the path of a home folder does not survive where it starts an argument or a part."""
    place = Place(Path("/nowhere"), None)
    for argument in (
        "/home/kim/" + "".join(pieces),
        "f('/home/kim/" + "".join(pieces),
        "--x=/home/kim/" + "".join(pieces),
    ):
        assert "/home/kim" not in place.shorten(argument)


def test_this_process_has_a_command() -> None:
    """The command begins with a bare name."""
    assert os.sep not in process_command()[0]


def test_a_device_is_the_same_everywhere(tmp_path: Path) -> None:
    """`2>/dev/null` in a line of shell must not become `2>null`, which would write a file."""
    line = "cat /dev/stdin 2>/dev/null; head -c 9 /dev/urandom; ls /dev/shm/x /dev/nullx"
    expected = "cat /dev/stdin 2>/dev/null; head -c 9 /dev/urandom; ls x nullx"
    assert ("sh", "-c", expected) == Place(tmp_path, tmp_path).shorten_command(["sh", "-c", line])
    assert ("/dev/null",) == Place(tmp_path, None).shorten_command(["/dev/null"])
