"""`kladml schema`: the JSON Schema of a config."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kladml.cli import workspace


@click.command("schema", short_help="Print the JSON Schema of a config.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it to this file.")
def command(out: Path | None) -> None:
    """Print the JSON Schema of this project's configs, with the hyperparameters that each experiment class declares.

    An editor that knows it completes and checks configs: put "$schema": "../config.schema.json" into them.

    \b
    kladml schema --out config.schema.json
    """
    from kladml import durable
    from kladml.catalog import load_catalog
    from kladml.cli import output
    from kladml.config import build_schema

    place = workspace.open_workspace()
    with output.prints_to_stderr():
        catalog = load_catalog(place.root, place.settings.experiments)
    for module, reason in catalog.failures.items():
        output.say(f"Warning: {module} could not be imported, so its experiments are missing: {reason}\n")
    schema = build_schema({name: kind.Hyperparams for name, kind in catalog.classes.items()})
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        output.write(text)
        return
    durable.make_directory(out.absolute().parent)
    durable.write_bytes(out.absolute(), text.encode())
    output.say(f"{out}: {len(catalog.classes)} experiment classes\n")
