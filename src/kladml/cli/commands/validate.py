"""`kladml validate`: check configs and run nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.suite import Item


@click.command("validate", short_help="Check configs and run nothing.")
@click.argument("arguments", nargs=-1, metavar="[CONFIG | KEY=VALUE]...", type=click.Path())
@workspace.json_option
def command(arguments: tuple[str, ...], as_json: bool) -> int:
    """Check configs as `kladml run` would, and run nothing. All faults of all files are reported at once.

    Of a class whose loop over steps carries local variables from batch to batch it is said what they are, and what to write instead: its
    runs are saved at the ends of epochs only.

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
        output.write_json({"valid": False, "faults": [dataclasses.asdict(fault) for fault in error.faults], "configs": [], "warnings": []})
        return 2
    warnings = _warnings(items)
    if as_json:
        configs = [{"name": item.config.name, "file": item.file, "model_type": item.config.model_type} for item in items]
        output.write_json({"valid": True, "faults": [], "configs": configs, "warnings": warnings})
    else:
        rows = [(item.config.name, item.config.model_type, str(item.config.epochs), item.file or "") for item in items]
        output.write(output.table(("name", "model_type", "epochs", "file"), rows, right=("epochs",)))
        output.write(f"{len(items)} config{' is' if len(items) == 1 else 's are'} valid\n")
        for one in warnings:
            output.say(f"Warning: {one['model_type']}: {one['message']}\n")
    return 0


def _warnings(items: Sequence[Item]) -> list[dict[str, str]]:
    """What the loops of the classes carry, once for each class."""
    from kladml import carried

    kinds = {item.config.model_type: item.kind for item in items}
    return [
        {"model_type": name, "message": f"no checkpoints between batches, at epoch ends only: {one}"}
        for name, kind in kinds.items()
        for one in carried.find(kind)
    ]
