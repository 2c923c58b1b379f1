"""What results can't tell, in plain words."""

from collections.abc import Iterator

from surrogateshap.record.results import UNCORRECTED, Results

_FLAG_LIMITS = (
    "Flags are signs and no values: they tell whose images, or whose conditions, the frozen model finds unlike the "
    "others'. Rare data may be flagged and bad data may not be; no value or rank rests on them.",
)
_PROXY_LIMITS = {
    "prompt": "The prompt proxy values conditions and not data: contributors with the same conditions in the same "
    "proportions get the same value, whatever their images show.",
    "image": "The image proxy lets the frozen model denoise each contributor's own images: it shows which data harm, "
    "and understates how much.",
}


def limits_of(results: Results) -> tuple[str, ...]:
    """What these results can't tell, in plain words."""
    proxies = sorted({game.proxy for game in results.games})
    blind = sorted(
        {(game.grouping, game.proxy, len(game.indistinguishable)) for game in results.games if game.indistinguishable}
    )
    anchored = any(game.fidelity is not None for game in results.games)
    return (
        "The values are those of a proxy game: every coalition is measured on images of one frozen model that was "
        "trained on everyone's data. "
        + ("No model was retrained for them." if anchored else "No model was retrained."),
        *(_PROXY_LIMITS[proxy] for proxy in proxies if proxy in _PROXY_LIMITS),
        *(
            f"Grouping {grouping}, {proxy} proxy: {sets} set(s) of contributors can't be told apart, and get equal "
            "values for that reason alone."
            for grouping, proxy, sets in blind
        ),
        *(
            f"Values by {estimator} are no Shapley values: they don't add up to v(N) − v(∅)."
            for estimator in sorted({game.estimator for game in results.games} & UNCORRECTED)
        ),
        *(
            f"The {one.proxy} proxy's pool was filled in {one.rounds} round(s), to {one.images} of at most "
            f"{one.at_most} images: {one.rule or 'the budget was spent before a rule held'}. Where they went, and when "
            "they were enough, was decided by looking at intervals, which may hold the truth less often for it."
            for one in results.stopped
        ),
        "The values hold for this model, sampler, seed and these utilities.",
        "The intervals cover the sampling of images and of coalitions, not how the proxy differs from retraining.",
        "The bias that a finite pool gives is taken off exactly for pairwise and kernel distances, to first order for "
        "Fréchet distances and inception scores, and not at all for quantiles. Where a coalition has hardly more "
        "images than there are features, a part of a Fréchet distance's remains.",
        *(_FLAG_LIMITS if results.flags else ()),
        *_fidelity_limits(results),
        "Digests find damage, not forgery: whose word this is, only signatures tell.",
    )


def _fidelity_limits(results: Results) -> Iterator[str]:
    there = [game.fidelity for game in results.games if game.fidelity is not None]
    if not there:
        yield "Fidelity was not measured: how far the values agree with retrained models is unknown."
        return
    unknown = "" if len(there) == len(results.games) else " Of the other games it is unknown."
    yield (
        f"Fidelity, how far the values agree with retrained models, was {results.fidelity}, from a table of values "
        f"that were measured elsewhere: the record holds its digest, not how they were made.{unknown}"
    )
    if any(one.kind == "fine_tuned" for one in there):
        yield (
            "The anchors' models were fine-tuned briefly from the frozen model instead of retrained: their values are "
            "biased in level."
        )
    if any(one.closed is not None for one in there):
        yield (
            "Rankings of the retraining game are estimates from the proxy game and the anchors; they can be believed "
            "as far as their held-out R² says, for coalitions like the anchors."
        )
