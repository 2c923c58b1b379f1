"""`surrogateshap schema`."""

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of specs, for editors."""
    from surrogateshap import api

    click.echo(json.dumps(api.schema(), indent=2))
