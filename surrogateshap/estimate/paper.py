"""The published recipe, for comparison (SurrogateSHAP, arXiv 2601.22276)."""

import numpy as np

from surrogateshap.errors import MissingExtraError
from surrogateshap.estimate.fit import Fit
from surrogateshap.games.encoded import Bools, Floats

TREES, DEPTH = 900, 5


def fit_paper(masks: Bools, values: Floats, v_empty: float, v_full: float, seed: int) -> Fit:
    """XGBoost (900 trees of depth 5, else its defaults) on the coalitions, ∅ and N; TreeSHAP from ∅ to N.

    As published, the efficiency gap stays. Raises MissingExtraError where xgboost isn't installed.
    """
    try:
        import xgboost
    except ImportError:
        raise MissingExtraError(
            "`surrogateshap_paper` needs xgboost, which is not installed", 'pip install "surrogateshap[bench]"'
        ) from None
    import shap

    n = masks.shape[1]
    ends = np.array([np.zeros(n), np.ones(n)])
    model = xgboost.XGBRegressor(n_estimators=TREES, max_depth=DEPTH, n_jobs=1, random_state=seed % 2**31)
    model.fit(np.vstack([masks, ends]), np.append(values, [v_empty, v_full]))
    explainer = shap.TreeExplainer(model, data=ends[:1], feature_perturbation="interventional")
    shapley = np.asarray(explainer.shap_values(ends[1:])[0], dtype=np.float64)
    return Fit(shapley, v_full - v_empty - float(shapley.sum()), None, len(masks), "surrogateshap_paper")
