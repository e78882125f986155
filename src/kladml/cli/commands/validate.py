"""`kladml validate`: check configs and run nothing."""

from __future__ import annotations

import dataclasses

import click

from kladml.cli import workspace


@click.command("validate", short_help="Check configs and run nothing.")
@click.argument("arguments", nargs=-1, metavar="[CONFIG | KEY=VALUE]...", type=click.Path())
@workspace.json_option
def command(arguments: tuple[str, ...], as_json: bool) -> int:
    """Check configs as `kladml run` would, and run nothing. All faults of all files are reported at once.

    \b
    kladml validate config/
    kladml validate config/exp1.json hyperparams.lr=0.1
    """
    from kladml import suite
    from kladml.cli import output
    from kladml.errors import ConfigError

    place = workspace.open_workspace()
    settings = place.settings
    paths, overrides = workspace.split_arguments(arguments)
    try:
        with output.prints_to_stderr():
            items = suite.check(suite.Request(source=paths, overrides=overrides), place.root, settings)
    except ConfigError as error:
        if not as_json:
            raise
        output.write_json({"valid": False, "faults": [dataclasses.asdict(fault) for fault in error.faults], "configs": []})
        return 2
    if as_json:
        configs = [{"name": item.config.name, "file": item.file, "model_type": item.config.model_type} for item in items]
        output.write_json({"valid": True, "faults": [], "configs": configs})
    else:
        rows = [(item.config.name, item.config.model_type, str(item.config.epochs), item.file or "") for item in items]
        output.write(output.table(("name", "model_type", "epochs", "file"), rows, right=("epochs",)))
        output.write(f"{len(items)} config{' is' if len(items) == 1 else 's are'} valid\n")
    return 0
