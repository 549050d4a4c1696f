"""Commands with examples, groups of them, and the group at the top, which imports a command only when it is used."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click


class Command(click.Command):
    """A command whose help ends with examples: lines to paste, each with what it does behind two spaces or more."""

    def __init__(self, *arguments: Any, examples: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = inspect.cleandoc(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they stand, whatever the width."""
        super().format_epilog(ctx, formatter)
        _write_examples(self.examples, formatter)


class Group(click.Group):
    """A noun; its verbs are `Command`s."""

    command_class = Command

    def __init__(self, *arguments: Any, examples: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = inspect.cleandoc(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As `Command.format_epilog`."""
        super().format_epilog(ctx, formatter)
        _write_examples(self.examples, formatter)


class Root(click.Group):
    """The group at the top: its commands stand in a table, and are imported when used."""

    def __init__(
        self, *arguments: Any, sections: Mapping[str, Mapping[str, tuple[str, str, str]]], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.sections = sections
        self.table = {name: entry for commands in sections.values() for name, entry in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of the help."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, its module imported now."""
        if cmd_name not in self.table:
            return None
        module, attribute, _ = self.table[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown name is answered with those that look like it."""
        name = args[0]
        if name not in self.table and not ctx.resilient_parsing and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.table)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, section by section, without importing any."""
        width = max(map(len, self.table))
        for section, commands in self.sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), help_) for name, (_, _, help_) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[click.shell_completion.CompletionItem]":
        """Complete the names of commands and options, without importing any command."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=e[2]) for name, e in self.table.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command line and end the process with its exit code; see `outcome.run`."""
        from runstone.cli.outcome import run

        run(self, args, extra)


def command(name: str, *, examples: str, **options: Any) -> Callable[[Callable[..., Any]], Command]:
    """A decorator as `click.command`, for a `Command` with examples."""
    return click.command(name, cls=Command, examples=examples, **options)


def group(name: str, *, examples: str, **options: Any) -> Callable[[Callable[..., Any]], Group]:
    """A decorator as `click.group`, for a `Group` with examples."""
    return click.group(name, cls=Group, examples=examples, **options)


def _write_examples(examples: str, formatter: click.HelpFormatter) -> None:
    if not examples:
        return
    formatter.write_paragraph()
    formatter.write("Examples:\n")
    for line in examples.splitlines():
        formatter.write(f"  {line}\n" if line else "\n")
