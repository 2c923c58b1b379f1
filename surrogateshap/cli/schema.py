"""`surrogateshap schema`."""

import json

import click


@click.command("schema")
@click.option("--record", is_flag=True, help="That of records instead.")
def command(record: bool) -> None:
    """Print the JSON Schema of specs, for editors."""
    from surrogateshap import api

    click.echo(json.dumps(api.record_schema() if record else api.schema(), indent=2))
