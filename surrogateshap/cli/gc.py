"""`surrogateshap gc`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from surrogateshap.cli.options import objects_option, store_option
from surrogateshap.text import harmless
from surrogateshap.units import count, listed, plural, size

if TYPE_CHECKING:
    from surrogateshap.runs import Cleanup


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--check", is_flag=True, help="Read all objects, and delete damaged ones too: apply makes them anew.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@store_option
@objects_option
def command(dry_run: bool, check: bool, as_json: bool, store: Path | None) -> None:
    """Delete what no run in a store needs.

    All runs are kept, interrupted ones too, until `surrogateshap runs forget` takes them out.
    """
    from surrogateshap import api
    from surrogateshap.report import json_text

    done = api.gc(store=store, dry_run=dry_run, check=check)
    click.echo(json_text(done) if as_json else "\n".join(_lines(done)))


def _lines(done: "Cleanup") -> Iterator[str]:
    verb = "Would free" if done.dry_run else "Freed"
    yield f"{verb} {size(done.bytes)} in {plural(done.files, 'file')}"
    for kind in done.kinds:
        yield f"  {harmless(kind.kind)}: {count(kind.files)}, {size(kind.bytes)}"
    if done.rows:
        yield f"  keys of the index: {count(done.rows)}"
    yield f"Kept {size(done.kept_bytes)} in {plural(done.kept_files, 'object')} that runs need"
    if done.unfinished:
        yield f"To be applied again, for they have lost objects: {listed(done.unfinished)}"
    if done.unlisted:
        yield f"Left alone, of runs that are not in the list: {listed(done.unlisted)}"
