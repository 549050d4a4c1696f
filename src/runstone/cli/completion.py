"""`runstone completion`: the script that makes a shell complete commands, options, run ids and names."""

import click

from runstone.cli.command import command
from runstone.cli.outcome import COMPLETE_VARIABLE
from runstone.cli.output import hint

_INSTALL = {
    "bash": 'Put into ~/.bashrc: eval "$(runstone completion bash)"   (bash 4.4 or newer)',
    "zsh": 'Put into ~/.zshrc, behind compinit: eval "$(runstone completion zsh)"',
    "fish": "Do once: runstone completion fish > ~/.config/fish/completions/runstone.fish",
}


@command(
    "completion",
    examples="""
    eval "$(runstone completion bash)"       in ~/.bashrc
    eval "$(runstone completion zsh)"        in ~/.zshrc
    runstone completion fish > ~/.config/fish/completions/runstone.fish
    """,
)
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell; how to install it is said on standard error."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    # `source()` of the bash class starts bash to learn its version; the text of the script needs no shell.
    made = found(ctx.find_root().command, {}, "runstone", COMPLETE_VARIABLE)
    click.echo(made.source_template % made.source_vars())
    hint(_INSTALL[shell])
