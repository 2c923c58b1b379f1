"""What must hold between the keys of a spec that is valid table by table."""

from collections.abc import Iterator, Set

from surrogateshap.spec.model import EncoderSection, Spec
from surrogateshap.spec.positions import KeyPath
from surrogateshap.spec.repair import Fault
from surrogateshap.spec.utilities import AssociationUtility, ClassScore, OwnImageUtility, WithReference
from surrogateshap.spec.wording import listed, named, nearest, quoted, toml


def check(spec: Spec, broken: Set[KeyPath]) -> list[Fault]:
    """Everything wrong across tables. Says nothing that rests on the values of `broken` paths, which were not read."""
    faults = [*_duplicates(spec), *_encoders(spec, broken), *_images(spec, broken)]
    faults += [
        *_budget(spec, broken),
        *_empty(spec, broken),
        *_estimator(spec),
        *_payout(spec),
        *_fidelity(spec, broken),
    ]
    return [fault for fault in faults if not _touches(fault.path, broken)]


def _touches(path: KeyPath, broken: Set[KeyPath]) -> bool:
    return any(path[:length] in broken for length in range(1, len(path) + 1))


def _duplicates(spec: Spec) -> Iterator[Fault]:
    tables = {
        ("encoder",): [encoder.name for encoder in spec.encoder],
        ("utility",): [utility.name for utility in spec.utility],
        ("contributors", "grouping"): [grouping.name for grouping in spec.contributors.grouping],
    }
    for path, names in tables.items():
        for index, name in enumerate(names):
            if name in names[:index]:
                message = f"the name {named(name)} is taken by {path[-1]}[{names.index(name)}]"
                yield Fault((*path, index, "name"), message, "give each a name of its own")
    for index, grouping in enumerate(spec.contributors.grouping):
        if len(set(grouping.by)) < len(grouping.by):
            yield Fault(("contributors", "grouping", index, "by"), "names a column twice", "name each column once")
    if isinstance(spec.proxy.kind, tuple) and len(set(spec.proxy.kind)) < len(spec.proxy.kind):
        yield Fault(("proxy", "kind"), "names a proxy twice", "name each proxy once")


def _encoders(spec: Spec, broken: Set[KeyPath]) -> Iterator[Fault]:
    for position, section in enumerate(spec.encoder):
        if not _touches(("encoder", position, "kind"), broken):
            yield from _encoder(position, section)
    if any(path[:1] == ("encoder",) and path[-1] in ("encoder", "name") for path in broken):
        return
    names = list(dict.fromkeys(encoder.name for encoder in spec.encoder))
    if not names:
        remedy = 'add `[[encoder]]` with name = "digits", source = "example:digits/classifier"'
        yield Fault(("utility", 0), "needs an encoder, and the spec has none", remedy)
        return
    for index, utility in enumerate(spec.utility):
        path: KeyPath = ("utility", index, "encoder")
        if utility.encoder is None and len(names) > 1:
            remedy = f"add encoder = {toml(names[0])}, or another of {listed(names)}"
            yield Fault(path, "must be given where the spec has several encoders", remedy)
        elif utility.encoder is not None:
            yield from _named_encoder(path, utility.encoder, names)
        if isinstance(utility, AssociationUtility) and utility.second_encoder is not None:
            path = ("utility", index, "second_encoder")
            yield from _named_encoder(path, utility.second_encoder, names)
            if not isinstance(utility.between[1], ClassScore):
                remedy = "remove it, or name a class: between = [ …, { class = … } ]"
                yield Fault(path, "sees nothing: the second attribute is what images were asked to show", remedy)


def _named_encoder(path: KeyPath, name: str, names: list[str]) -> Iterator[Fault]:
    if name not in names:
        guess = nearest(name, names)
        remedy = f"did you mean {named(guess)}?" if guess else f"encoders of this spec: {listed(names)}"
        yield Fault(path, f"no `[[encoder]]` has the name {named(name)}", remedy)


_OF_KIND = {"labels": "clip", "size": "pixels", "plugin": "plugin", "options": "plugin"}
"""Keys of an encoder that only one kind has."""
_WITHOUT_SOURCE = ("pixels", "plugin")


def _encoder(position: int, section: EncoderSection) -> Iterator[Fault]:
    """What an encoder of its kind needs, and what it has no use for."""
    path: KeyPath = ("encoder", position)
    for key, kind in _OF_KIND.items():
        if key in section.model_fields_set and section.kind != kind:
            message = f'counts only for encoders of the kind "{kind}", and this one is of the kind "{section.kind}"'
            yield Fault((*path, key), message, "remove it, or change `kind`")
    if section.source is None and section.kind not in _WITHOUT_SOURCE:
        what = "a safetensors file" if section.kind in ("lpips", "inception") else "a folder in Hugging Face layout"
        yield Fault((*path, "source"), f'is missing: an encoder of the kind "{section.kind}" is {what}', "name it")
    if section.source is not None and section.kind in ("pixels", "plugin"):
        yield Fault((*path, "source"), f'an encoder of the kind "{section.kind}" has none', "remove it")
    if section.source is None and section.revision is not None:
        yield Fault((*path, "revision"), "counts only where `source` is given", "remove it")
    if section.kind == "plugin" and section.plugin is None:
        yield Fault((*path, "plugin"), "is missing", 'name an entry point of "surrogateshap.encoders"')
    texts: set[str] = set()
    for attribute, options in (section.labels or {}).items():
        if len(options) < 2:
            remedy = "give the texts that images are told apart by, at least two"
            yield Fault((*path, "labels", attribute), "needs a choice", remedy)
        for text in options:
            if text in texts:
                remedy = "give each text once, over all attributes: utilities name classes by them"
                yield Fault((*path, "labels", attribute), f"{quoted(text)} is given twice", remedy)
            texts.add(text)


def _images(spec: Spec, broken: Set[KeyPath]) -> Iterator[Fault]:
    """What needs the manifest's images."""
    if spec.contributors.image is not None or _touches(("contributors", "image"), broken):
        return
    remedy = "name the column with the images: image = … under `[contributors]`"
    if "image" in spec.proxy.kind:
        yield Fault(("proxy", "kind"), "the image proxy needs the manifest's images", remedy)
    if spec.flags.denoising_loss:
        yield Fault(("flags", "denoising_loss"), "denoising losses need the manifest's images", remedy)
    for index, utility in enumerate(spec.utility):
        named_so = isinstance(utility, WithReference) and utility.reference
        if named_so == "manifest" or (named_so and named_so.endswith(".parquet")):
            path: KeyPath = ("utility", index, "reference")
            yield Fault(path, "the reference needs an image column, and `contributors.image` is not given", remedy)
        if isinstance(utility, OwnImageUtility):
            message = "`own_image` needs the manifest's images, and `contributors.image` is not given"
            yield Fault(("utility", index, "kind"), message, remedy)


def _budget(spec: Spec, broken: Set[KeyPath]) -> Iterator[Fault]:
    if not _touches(("sampling", "mode"), broken):
        pool = spec.sampling.mode == "pool"
        idle = ("images_per_coalition",) if pool else ("images", "images_per_contributor")
        for key in idle:
            if getattr(spec.budget, key) is not None:
                message = f'counts only where sampling.mode is "{"fresh" if pool else "pool"}"'
                remedy = "give images_per_contributor" if pool else "give images_per_coalition"
                yield Fault(("budget", key), message, f"{remedy} in its place, or change sampling.mode")
        if not pool and spec.budget.stop_when is not None:
            message = 'needs a pool that grows, and sampling.mode is "fresh": there every coalition has its own images'
            yield Fault(("budget", "stop_when"), message, 'remove it, or write mode = "pool" under `[sampling]`')
    if spec.estimator.kind in ("exact", "leave_one_out") and spec.budget.coalitions is not None:
        message = f'counts only where coalitions are sampled, and estimator.kind is "{spec.estimator.kind}"'
        yield Fault(("budget", "coalitions"), message, 'remove it, or write kind = "surrogate" under `[estimator]`')


_TREES = ("trees", "learning_rate", "leaves", "min_child_samples", "subsample")


def _estimator(spec: Spec) -> Iterator[Fault]:
    section = spec.estimator
    if section.kind not in ("auto", "surrogate"):
        for key in _TREES:
            if key in section.model_fields_set:
                message = f'counts only for the surrogate\'s trees, and estimator.kind is "{section.kind}"'
                yield Fault(("estimator", key), message, 'remove it, or write kind = "surrogate"')
    if section.interactions and section.kind not in ("auto", "surrogate", "exact"):
        message = f'estimator.kind is "{section.kind}", which knows no interactions'
        yield Fault(("estimator", "interactions"), message, 'remove it, or write kind = "surrogate" or "exact"')


def _payout(spec: Spec) -> Iterator[Fault]:
    section = spec.payout
    if section is None:
        return
    if section.amount is not None and round(section.amount, 2) != section.amount:
        yield Fault(("payout", "amount"), "has more than two decimals", "round it: what is paid is rounded to cents")
    whole = 1.0 if section.amount is None else section.amount
    if section.minimum > whole:
        what = "`payout.amount`" if section.amount is not None else "1, the sum of all shares"
        yield Fault(("payout", "minimum"), f"is more than {what}: nobody would be paid", "lower it")


def _empty(spec: Spec, broken: Set[KeyPath]) -> Iterator[Fault]:
    if not isinstance(spec.empty.value, dict) or any(path[0] == "utility" and path[-1] != "encoder" for path in broken):
        return
    names = [utility.name for utility in spec.utility]
    for name in spec.empty.value:
        if name not in names:
            guess = nearest(name, names)
            remedy = f"did you mean {named(guess)}?" if guess else f"utilities of this spec: {listed(names)}"
            yield Fault(("empty", "value", name), f"no `[[utility]]` has the name {named(name)}", remedy)
    if lacking := [name for name in dict.fromkeys(names) if name not in spec.empty.value]:
        yield Fault(
            ("empty", "value"), f"has no number for {listed(lacking)}", "give one for every utility, or one for all"
        )


def _fidelity(spec: Spec, broken: Set[KeyPath]) -> Iterator[Fault]:
    names = [grouping.name for grouping in spec.contributors.grouping]
    name = spec.fidelity.grouping
    if name is None or name in names or any(path[:2] == ("contributors", "grouping") for path in broken):
        return
    guess = nearest(name, names)
    remedy = f"did you mean {named(guess)}?" if guess else f"groupings of this spec: {listed(names)}"
    yield Fault(("fidelity", "grouping"), f"no `[[contributors.grouping]]` has the name {named(name)}", remedy)
