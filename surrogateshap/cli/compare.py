"""`surrogateshap compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from surrogateshap.cli.apply import stopping
from surrogateshap.cli.options import allow_option, device_options, objects_option, plugin_option, store_option
from surrogateshap.cli.output import deliver, spare
from surrogateshap.errors import InterruptedRun
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.comparing import Counterfactual


@click.command("compare")
@click.argument("target", metavar="RUN|SPEC")
@click.option(
    "--methods",
    metavar="A,B",
    help="Which, or `all`.  [default: the spec's, or all that are cheap]",
)
@click.option(
    "--against",
    metavar="TABLE",
    type=click.Path(path_type=Path),
    help="Retrained coalitions: Parquet, CSV or JSON Lines.  [default: the spec's]",
)
@click.option(
    "--kind",
    type=click.Choice(["retrained", "fine_tuned"]),
    default="retrained",
    show_default=True,
    help="How the models of TABLE were made; fine-tuned ones are biased in level.",
)
@click.option("--grouping", metavar="NAME", help="Whose contributors.  [default: the one that the spec's table names]")
@click.option(
    "--counterfactual",
    type=click.Choice(["trainer", "fine-tuning"]),
    help="Make models without the contributors that each method ranks highest and lowest: by the spec's trainer, or by "
    "short fine-tuning.",
)
@click.option("--allow-commands", is_flag=True, help="Let the spec's `[fidelity] trainer` run.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), help="For each training.")
@click.option("--plan", is_flag=True, help="Say what each method would take; run nothing.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "json", "csv", "md"]),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@device_options
@store_option
@objects_option
@allow_option
@plugin_option
def command(
    target: str,
    methods: str | None,
    counterfactual: str | None,
    shape: str,
    out: Path | None,
    **options: Any,
) -> int:
    """Other methods on a finished run: how far they agree, and what they cost.

    Each values the same contributors for the same utilities. Told are agreement with retrained coalitions and with the
    run's own values, what removing the highest and the lowest contributors does, and what each method takes. What was
    finished is kept: after a kill the same command goes on. Start with --plan.
    """
    from surrogateshap import api
    from surrogateshap.report import comparison_csv, comparison_markdown, comparison_table, json_text

    def say(line: str) -> None:
        click.echo(harmless(line, 4000), err=True)

    spare(out, target, *([options["against"]] if options["against"] else []))
    named = [name.strip() for name in methods.split(",") if name.strip()] if methods is not None else None
    asked = cast("Counterfactual | None", counterfactual and counterfactual.replace("-", "_"))
    try:
        with stopping(lambda _: say("Stopping: what is finished is kept; press again to stop at once.")) as stop:
            report = api.compare_methods(
                target,
                methods=named,
                counterfactual=asked,
                say=say,
                stop=stop,
                **options,
            )
    except (InterruptedRun, KeyboardInterrupt):
        click.echo("Interrupted: what was finished is kept. Go on with the same command.", err=True)
        return InterruptedRun.exit_code
    if shape == "json":
        deliver(json_text(report) + "\n", out)
    elif shape == "table":
        deliver(comparison_table(report), out)
    else:
        deliver(comparison_csv(report) if shape == "csv" else comparison_markdown(report), out)
    return 0
