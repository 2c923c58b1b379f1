"""Pruning by magnitude: of layers, and of a LoRA's ranks."""

import numpy as np

from surrogateshap.methods.sparse_fine_tuning import kept, prune

rng = np.random.default_rng(0)


def test_the_smallest_weights_of_each_layer_go() -> None:
    state = {"small.weight": 0.01 * rng.normal(size=(6, 5)), "conv.weight": rng.normal(size=(4, 3, 2, 2))}
    state |= {"conv.bias": rng.normal(size=4)}
    before = {name: each.copy() for name, each in state.items()}
    made = prune(state, 0.3)
    for name in ("small.weight", "conv.weight"):
        gone = made[name] == 0
        assert gone.sum() == round(0.3 * gone.size)
        assert np.abs(before[name][gone]).max() < np.abs(before[name][~gone]).min()
        assert np.array_equal(made[name][~gone], before[name][~gone])
        assert np.array_equal(kept(made)[name], ~gone)
    assert np.array_equal(made["conv.bias"], before["conv.bias"])
    assert all(np.array_equal(state[name], before[name]) for name in state)
    assert all(np.array_equal(each, before[name]) for name, each in prune(state, 0.0).items())


def test_the_weakest_ranks_of_a_lora_go() -> None:
    first, second = rng.normal(size=(4, 6)), rng.normal(size=(5, 4))
    first[2] *= 0.1
    second[:, 0] *= 0.01
    made = prune({"to_q.lora_A.x.weight": first, "to_q.lora_B.x.weight": second}, 0.5)
    ranks = [float(np.linalg.norm(np.outer(second[:, at], first[at]))) for at in range(4)]
    lost = set(np.argsort(ranks)[:2].tolist())
    for at in range(4):
        assert made["to_q.lora_A.x.weight"][at].any() == (at not in lost)
        assert made["to_q.lora_B.x.weight"][:, at].any() == (at not in lost)
