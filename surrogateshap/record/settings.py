"""From a spec's section to the estimators' settings."""

from surrogateshap.estimate import TreeSettings
from surrogateshap.spec.model import EstimatorSection


def tree_settings(section: EstimatorSection) -> TreeSettings:
    """Of the surrogate's trees."""
    return TreeSettings(
        trees=section.trees,
        learning_rate=section.learning_rate,
        leaves=section.leaves,
        min_child_samples=section.min_child_samples,
        subsample=section.subsample,
    )
