"""Errors as users see them: on stderr, harmlessly, without a traceback."""

import os
import traceback
from dataclasses import replace

import click

from surrogateshap.errors import SpecError, SurrogateShapError
from surrogateshap.text import harmless
from surrogateshap.units import plural

DEBUG = "SURROGATESHAP_DEBUG"
_LONGEST = 2000


def tell(error: SurrogateShapError) -> int:
    """Prints an error and returns its exit code."""
    if isinstance(error, SpecError):
        tell_problems(error)
    else:
        click.echo(f"Error: {_lines(error.message)}", err=True)
        if error.remedy:
            click.echo(_lines(error.remedy, "    "), err=True)
    return error.exit_code


def tell_problems(error: SpecError) -> None:
    """Prints every problem with its remedy, and how many there are."""
    for problem in error.problems:
        click.echo(harmless(str(replace(problem, remedy="")), _LONGEST), err=True)
        if problem.remedy:
            click.echo(_lines(problem.remedy, "    "), err=True)
    files = list(dict.fromkeys(problem.file for problem in error.problems))
    where = harmless(files[0]) if len(files) == 1 else plural(len(files), "file")
    click.echo(f"{plural(len(error.problems), 'problem')} in {where}", err=True)


def tell_bug(error: BaseException) -> None:
    """Prints what a report of a bug needs; the traceback where SURROGATESHAP_DEBUG=1 asks for it."""
    if os.environ.get(DEBUG) == "1":
        click.echo(_lines("".join(traceback.format_exception(error))), err=True)
    last = (str(error).strip().splitlines() or [""])[-1]
    what = f"{type(error).__name__}: {harmless(last)}"
    click.echo(f"Error: this is a bug in surrogateshap, please report it: {what}", err=True)
    click.echo(f"    {DEBUG}=1 shows where it happened.", err=True)


def _lines(text: str, indent: str = "") -> str:
    """Each line made harmless, with its own indentation."""
    return "\n".join(
        indent + " " * min(8, len(line) - len(line.lstrip(" "))) + harmless(line, _LONGEST)
        for line in text.splitlines()
    )
