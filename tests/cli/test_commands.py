"""The tree of commands: the table at the top, the help of each, and that nothing is imported before it is used."""

import json
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from runstone.cli import main
from tests.support import run_python


def walk(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below one, groups included, with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from walk(found, (*words, name))


_CALL = re.compile(r"\brunstone (.*?)(?=   | \| |\)\"|\)   |\)?$)")
COMMANDS = [pytest.param(words, command, id=" ".join(words)) for words, command in walk(main) if words]


@pytest.mark.parametrize("name", list(main.table))
def test_the_table_agrees_with_the_modules(name: str) -> None:
    """Each command of the table is in the module named there, under its name, and its one line is plain."""
    module, attribute, short_help = main.table[name]
    command = getattr(import_module(module), attribute)
    assert name == command.name
    assert short_help.endswith(".")
    assert 60 >= len(short_help)


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_command_has_help_with_an_example(words: tuple[str, ...], command: click.Command) -> None:
    """`--help` of every command says what it does, explains every option, and shows a command line to paste."""
    result = CliRunner().invoke(main, [*words, "--help"], terminal_width=100)
    assert 0 == result.exit_code
    assert command.help
    assert "\nExamples:\n  " in result.stdout
    assert [] == [p.name for p in command.params if isinstance(p, click.Option) and not p.help]


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_examples_can_be_pasted(words: tuple[str, ...], command: click.Command) -> None:
    """Each line of the examples calls a command that exists, with options that it has."""
    lines = getattr(command, "examples", "").splitlines()
    calls = [match[1] for line in lines for match in _CALL.finditer(line)]
    assert calls
    for call in calls:
        called: click.Command = main
        rest = shlex.split(call.partition(" > ~")[0])
        while isinstance(called, click.Group) and rest:
            found = called.get_command(click.Context(called), rest.pop(0))
            assert found is not None, call
            called = found
        ours = rest[: rest.index("--")] if "--" in rest else rest  # what follows is handed to another program
        options = {word.partition("=")[0] for word in ours if re.match(r"--?[a-z]", word)}
        known = {option for p in called.params for option in (*p.opts, *p.secondary_opts)}
        assert set() == options - known, call


def test_help_imports_no_command(tmp_path: Path) -> None:
    """`runstone --help` lists all commands without importing the module of any."""
    code = (
        "import json, sys\nfrom runstone.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(name for name in sys.modules if name.startswith('runstone.cli.'))))"
    )
    out = run_python(code, cwd=tmp_path).stdout
    assert ["runstone.cli.command", "runstone.cli.outcome"] == json.loads(out.splitlines()[-1])
    for name, (_, _, short_help) in main.table.items():
        assert f"{name} " in out
        assert short_help in out


def test_an_unknown_command_is_answered_with_its_neighbours() -> None:
    """A slip of the finger costs no look into the help."""
    result = CliRunner().invoke(main, ["experimens"])
    assert 2 == result.exit_code
    assert "error: No such command 'experimens'. Did you mean experiments?\n" == result.stderr.partition("\n\n")[2]


def test_no_help_of_a_verb_is_cut() -> None:
    """What a group lists of its commands are whole sentences, on a terminal of 80 columns too."""
    for words, found in walk(main):
        if words and isinstance(found, click.Group):
            shown = CliRunner().invoke(main, [*words, "--help"], terminal_width=80).stdout
            assert [] == re.findall(r"^  .*[a-z,;:]\.\.\.$", shown, re.MULTILINE), words


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """Is said to be none, rather than to be in no repository."""
    result = CliRunner().invoke(main, ["--repo", str(tmp_path / "no"), "runs", "list"])
    step = "Name a folder of a git repository: `cd DIR`, `--repo DIR`."
    assert f"error: {tmp_path}/no does not exist. {step}\n" == result.stderr


def test_version() -> None:
    """`--version` says name and version on one line."""
    from runstone._version import __version__

    assert f"runstone {__version__}\n" == CliRunner().invoke(main, ["--version"]).stdout
