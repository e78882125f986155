"""`kladml completion`: a script that completes commands, options and names of runs."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="Print a script that completes commands in a shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print a script that completes commands, options and names of runs.

    \b
    eval "$(kladml completion bash)"       in ~/.bashrc
    eval "$(kladml completion zsh)"        in ~/.zshrc
    kladml completion fish | source        in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from kladml.cli import output
    from kladml.cli.app import program

    kind = get_completion_class(shell)
    assert kind is not None
    output.write(kind(program, {}, "kladml", "_KLADML_COMPLETE").source() + "\n")
