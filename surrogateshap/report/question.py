"""What a run was asked, in words, from its plan."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from surrogateshap.plan.model import Plan
from surrogateshap.record.results import Results
from surrogateshap.spec.utilities import UtilitySection
from surrogateshap.text import harmless
from surrogateshap.units import listed, plural, significant

_MEANINGS: dict[str, str] = {
    kind: (section.__doc__ or "").strip().partition("\n")[0]
    for section in get_args(get_args(UtilitySection)[0])
    for kind in get_args(section.model_fields["kind"].annotation)
}


def question(plan: Plan) -> list[tuple[str, str]]:
    """Terms and what stands for them; nothing for keys that the plan's spec lacks."""
    return [(term, text) for term, text in _terms(plan) if text]


def utilities(plan: Plan) -> list[tuple[str, str, str]]:
    """Name, meaning and settings of each utility."""
    found = []
    for one in plan.spec.get("utility", ()):
        kind = str(one.get("kind", ""))
        rest = {key: value for key, value in one.items() if key not in ("name", "kind") and value not in (None, {})}
        meaning = _MEANINGS.get(kind, kind) if kind != "plugin" else f"plugin {harmless(str(one.get('plugin')))}"
        found.append((str(one.get("name", "")), meaning, _settings({"kind": kind, **rest})))
    return found


def _terms(plan: Plan) -> Iterator[tuple[str, str]]:
    spec = plan.spec
    model, sampling, proxy = (spec.get(key) or {} for key in ("model", "sampling", "proxy"))
    data = spec.get("contributors") or {}
    if model:
        at = f" at {harmless(str(model['revision']))}" if model.get("revision") else ""
        adapters = [str(one.get("source", "")) for one in model.get("adapters") or ()]
        yield "Model", f"{harmless(str(model.get('source', '')))}{at}"
        yield "Adapters", listed(adapters)
    if data:
        columns = [f"condition {harmless(str(data.get('condition', '')), 80)}"]
        columns += [f"image {harmless(str(data['image']), 80)}"] if data.get("image") else []
        columns += [f"rows where {_settings(data['where'])}"] if data.get("where") else []
        yield "Data", f"{harmless(str(data.get('manifest', '')))}; {', '.join(columns)}"
    for group in plan.groupings:
        span = (
            f"{group.rows_min:,}" if group.rows_min == group.rows_max else f"{group.rows_min:,} to {group.rows_max:,}"
        )
        text = f"{plural(group.contributors, 'contributor')} of {plural(group.rows, 'row')}, {span} each"
        yield f"Grouping {harmless(group.name, 64)}", text
    most = "at most " if plan.stops_when else ""
    for pool in plan.pools:
        strength = f", strength {proxy['strength']}" if pool.proxy == "image" and "strength" in proxy else ""
        yield (
            f"{harmless(pool.proxy, 20).capitalize()} proxy",
            f"{most}{plural(pool.images, 'image')}, {pool.unconditional:,} of them unconditional; "
            f"{plural(pool.conditions, 'condition')}{strength}",
        )
    yield "Stops when", ", or ".join(map(harmless, plan.stops_when))
    if sampling:
        fresh = "new images for each coalition; " if sampling.get("mode") == "fresh" else ""
        yield (
            "Sampling",
            f"{fresh}{plural(int(sampling.get('steps', 0)), 'step')}, "
            f"scheduler {harmless(str(sampling.get('scheduler', '')), 40)}, "
            f"guidance {sampling.get('guidance_scale', '')}",
        )
    empty = spec.get("empty") or {}
    if empty.get("kind") == "value":
        yield "v(∅)", "as given: " + _settings({"value": empty.get("value")})
    elif empty:
        yield "v(∅)", "measured on images without a condition"
    yield "Seed", str(spec.get("seed", ""))


def _settings(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{harmless(str(key), 40)} {_plain(value)}" for key, value in list(table.items())[:20])


def _plain(value: Any) -> str:
    match value:
        case Mapping():
            return _settings(value)
        case list() | tuple():
            return listed([_plain(one) for one in value], 6)
        case float():
            return significant(value)
        case _:
            return harmless(str(value), 80)


_ESTIMATORS = {
    "exact": "All coalitions were evaluated; the Shapley values are exact averages over them.",
    "surrogate": "Coalitions drawn from the Shapley kernel, each with its complement, were evaluated. A regression and "
    "boosted trees were fitted to them, and the Shapley values are those of the fit; what it misses of v(N) − v(∅) is "
    "shared equally.",
    "kernel": "Coalitions drawn from the Shapley kernel were evaluated, and a weighted linear model fitted to them.",
    "permutation": "Contributors joined one after the other in random orders; the values average what each added.",
    "leave_one_out": "Each contributor was left out of the whole once.",
    "surrogateshap_paper": "Boosted trees were fitted to random coalitions as the method was published, without "
    "correction.",
}


def method(results: Results, plan: Plan | None) -> list[str]:
    """How values came about, a sentence or a few per line."""
    fresh = plan is not None and (plan.spec.get("sampling") or {}).get("mode") == "fresh"
    images = (
        "For each coalition, a set of contributors, the frozen model generated new images of its own."
        if fresh
        else "The frozen model generated a pool of images once. A coalition, a set of contributors, is measured on the "
        "pool's images of its contributors, weighted by their numbers of training rows."
    )
    used = dict.fromkeys(game.estimator for game in results.games)
    level = " or ".join(f"{level:.0%}" for level in dict.fromkeys(game.level for game in results.games))
    return [
        f"{images} v(S) is the utility of coalition S, v(N) that of all contributors together, v(∅) that of none.",
        "A contributor's value is what it adds to the utility, averaged over all orders in which contributors could "
        "join: its Shapley value, in the utility's unit. All values of a game add up to v(N) − v(∅).",
        *(_ESTIMATORS[one] for one in used),
        f"Intervals are made to hold the value, or the rank, in {level} of repetitions with other random images and "
        "coalitions. A share is a value over v(N) − v(∅); there is none where gains and losses cancel.",
    ]
