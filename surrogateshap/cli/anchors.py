"""`surrogateshap anchors plan` and `surrogateshap anchors train`."""

import shlex
from pathlib import Path

import click

from surrogateshap.cli.apply import stopping
from surrogateshap.cli.options import allow_option, allowing, objects_option, plugin_option, store_option
from surrogateshap.errors import InterruptedRun
from surrogateshap.text import harmless
from surrogateshap.units import listed, plural

_SHOWN = 6


@click.group("anchors")
def command() -> None:
    """Choose, train and evaluate coalitions that tell how far values can be believed.

    An anchor is a coalition whose model is really trained. `plan` chooses those most worth it, `train` makes and
    evaluates them; `surrogateshap evaluate` compares a run with the table that comes out.
    """


@command.command("plan")
@click.argument("target", metavar="RUN|SPEC")
@click.option("--count", metavar="K", type=click.IntRange(min=1), required=True, help="How many; 10 to 20 do well.")
@click.option("--grouping", metavar="NAME", help="Whose contributors.  [default: the first of the spec]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Of the choice and of training.  [default: the spec's]")
@click.option("-o", "--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Where to write.")
@store_option
@objects_option
@allow_option
@plugin_option
def plan(
    target: str,
    count: int,
    grouping: str | None,
    seed: int | None,
    out: Path,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
) -> None:
    """Choose the coalitions most worth retraining, and write the rows of each.

    They have half of the contributors, come in complementary pairs, and part contributors that the prompt proxy can't
    tell apart. A larger K adds to a smaller one. All contributors together need no training: the run's model is theirs.
    """
    from surrogateshap import api

    made = api.plan_anchors(
        target,
        count,
        out,
        grouping=grouping,
        seed=seed,
        store=store,
        allow_paths=allow_paths,
        allow_plugins=allow_plugins,
    )
    for anchor in made.anchors:
        click.echo(f"{anchor.id}  {plural(anchor.rows, 'row')}  {listed(anchor.members, _SHOWN)}")
    named = Path(target).is_file() and not Path(target).resolve().is_relative_to(Path.cwd())
    words = ["surrogateshap", "anchors", "train", str(out), *(["--spec", target] if named else [])]
    words += allowing(allow_paths, allow_plugins)
    again = shlex.join(harmless(word, 4096) for word in words)
    click.echo(
        f"Written to {harmless(str(out), 1000)}. Train and evaluate them with: {again} --allow-commands", err=True
    )
    click.echo(
        "Or train each on its rows.parquet yourself, put it into its folder `model`, and leave that out.", err=True
    )


@command.command("train")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--allow-commands", is_flag=True, help="Let the spec's `[fidelity] trainer` run.")
@click.option("--spec", type=click.Path(path_type=Path), help="The spec.  [default: the one they were planned from]")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), help="For each training.")
@click.option("--images", type=click.IntRange(min=2), default=400, show_default=True, help="To evaluate each model on.")
@click.option("--keep-going", is_flag=True, help="After a failure go on with the other coalitions.")
@allow_option
@plugin_option
def train(
    folder: Path,
    allow_commands: bool,
    spec: Path | None,
    timeout: float | None,
    images: int,
    keep_going: bool,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
) -> int:
    """Train the coalitions in DIR and evaluate their models as the run does.

    What has a model or its values already is not trained again. Without --allow-commands no command runs: models that
    are there are evaluated, and what would train the others is told. Prints the path of the table of their values.
    """
    from surrogateshap import api

    def say(line: str) -> None:
        click.echo(harmless(line, 4000), err=True)

    def stop_said(_: str) -> None:
        say("Stopping: the coalition in work is lost, finished ones are kept; press again to stop at once.")

    try:
        with stopping(stop_said) as stop:
            table = api.train_anchors(
                folder,
                spec=spec,
                allow_commands=allow_commands,
                timeout=timeout,
                images=images,
                keep_going=keep_going,
                allow_paths=allow_paths,
                allow_plugins=allow_plugins,
                say=say,
                stop=stop,
            )
    except (InterruptedRun, KeyboardInterrupt):
        click.echo("Interrupted: what was finished is kept. Go on with the same command.", err=True)
        return InterruptedRun.exit_code
    click.echo(harmless(str(table), 4096))
    return 0
