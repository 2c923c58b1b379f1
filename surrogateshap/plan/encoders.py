"""What the planner must know of encoders: read from their JSON configs, nothing is loaded."""

from pathlib import Path

from surrogateshap.plan.configs import MOST_CLASSES, check_weights, class_names, read_json


def read_classifier_labels(folder: Path, listing: frozenset[str] | None = None) -> tuple[str, ...]:
    """Class names of an image classifier in Hugging Face layout. Raises ValueError that says what is wrong.

    `listing` is that of `check_weights`.
    """
    config = read_json(folder / "config.json")
    named = config.get("id2label")
    count = len(named) if isinstance(named, dict) else config.get("num_labels", 2)
    if not isinstance(count, int) or not 2 <= count <= MOST_CLASSES:
        raise ValueError(f"its config.json doesn't name 2 to {MOST_CLASSES:,} classes")
    read_json(folder / "preprocessor_config.json")
    check_weights(folder, listing)
    return class_names(named, count)


def read_feature_size(folder: Path) -> int | None:
    """Length of a classifier's feature vector, as its config has it; None where that doesn't say."""
    config = read_json(folder / "config.json")
    for key in ("hidden_sizes", "hidden_size", "hidden_dim"):
        found = config.get(key)
        last = found[-1] if isinstance(found, list) and found else found
        if isinstance(last, int) and 1 <= last <= MOST_CLASSES:
            return last
    return None
