"""Weights of patches against a denoiser written out pixel by pixel, and what holds of them by definition."""

from collections.abc import Iterator

import numpy as np
import pytest

from surrogateshap.methods import patch_weights as module
from surrogateshap.methods.patch_weights import OUTSIDE, Rows, Scale, kept_at, patch_weights, scaled_down

HEIGHT, WIDTH, CHANNELS = 6, 5, 2


def images(count: int, seed: int) -> np.ndarray:
    """(count, H, W, C) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH, CHANNELS), np.uint8)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(9).normal(size=(count, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)


def chunks(rows: np.ndarray, size: int = 3) -> Rows:
    def read() -> Iterator[np.ndarray]:
        return (rows[start : start + size] for start in range(0, len(rows), size))

    return read


def cut(image: np.ndarray, scale: Scale) -> list[tuple[np.ndarray, np.ndarray]]:
    """An image's (C, H, W) patches and which of their pixels lie inside, place by place."""
    margin = (scale.patch - 1) // 2
    edges = ((margin, margin), (margin, margin))
    padded, inside = np.pad(image, ((0, 0), *edges)), np.pad(np.ones(image.shape[1:]), edges)
    found = []
    for top in range(padded.shape[1] - scale.patch + 1):
        for left in range(padded.shape[2] - scale.patch + 1):
            square = padded[:, top : top + scale.patch, left : left + scale.patch]
            side = scale.patch // scale.pool
            pooled = square.reshape(CHANNELS, side, scale.pool, side, scale.pool).sum(axis=(2, 4)) / scale.pool
            found.append((pooled, inside[top : top + scale.patch, left : left + scale.patch]))
    return found


def written_out(
    generated: np.ndarray, drawn: np.ndarray, rows: np.ndarray, kept: float, scale: Scale, top: int | None
) -> np.ndarray:
    out = np.zeros((len(generated), len(rows)))
    clean, theirs = (each.transpose(0, 3, 1, 2) / 127.5 - 1 for each in (generated, rows))
    for number, image in enumerate(clean):
        own = cut(np.sqrt(kept) * image + np.sqrt(1 - kept) * drawn[number], scale)
        for patch, inside in own:
            weights = []
            for row in theirs:
                far = [
                    ((patch - other) ** 2).sum() + OUTSIDE**2 * (inside != there).sum()
                    for other, there in cut(np.sqrt(kept) * row, scale)
                ]
                weights.append(np.exp(-np.array(far) / (2 * (1 - kept))))
            whole = sum(each.sum() for each in weights)
            out[number] += [np.sort(each)[::-1][:top].sum() / whole for each in weights]
        out[number] /= len(own)
    return out


@pytest.mark.parametrize("scale", [Scale(3), Scale(4, 2), Scale(1)])
@pytest.mark.parametrize("top", [None, 2])
def test_weights_are_those_of_the_denoiser_written_out(
    scale: Scale, top: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated, rows, kept = images(2, 0), images(7, 1), kept_at(600)
    rows[3] = generated[1]
    expected = written_out(generated, noise(2), rows, kept, scale, top)
    for held, block in ((module._HELD, module._BLOCK), (7 * 11, 200)):
        monkeypatch.setattr(module, "_HELD", held)
        monkeypatch.setattr(module, "_BLOCK", block)
        found = patch_weights(generated, noise(2), chunks(rows), kept, scale, top)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert scale.patch == 1 or found[1].argmax() == 3
    if top is None:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_row_that_is_not_allowed_weighs_nothing_and_duplicates_weigh_the_same() -> None:
    generated, rows = images(2, 0), images(5, 1)
    rows[4] = rows[1]
    allowed = np.array([[True, True, False, True, True], [False] * 5])
    found = patch_weights(generated, noise(2), chunks(rows), kept_at(500), Scale(3), allowed=allowed)
    assert found[0, 2] == 0
    assert found[0, 1] == found[0, 4] > 0
    assert (found[1] == 0).all()
    fewer = patch_weights(generated[:1], noise(1), chunks(rows[[0, 1, 3, 4]]), kept_at(500), Scale(3))
    np.testing.assert_allclose(found[0, [0, 1, 3, 4]], fewer[0], atol=1e-6)


def test_rows_that_are_unlike_an_image_weigh_exactly_nothing() -> None:
    rows = images(6, 1) // 8  # dark ones
    rows[5] = 255
    found = patch_weights(rows[:2] + np.uint8(4), noise(2), chunks(rows), kept_at(20), Scale(3))
    assert (found[:, 5] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_the_schedule_is_the_linear_one_and_large_images_are_averaged() -> None:
    from diffusers import DDPMScheduler

    alphas = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear").alphas_cumprod
    for timestep in (0, 100, 999):
        assert kept_at(timestep) == pytest.approx(float(alphas[timestep]), rel=1e-4)
    wide = np.repeat(np.repeat(images(2, 0), 3, axis=1), 3, axis=2)
    np.testing.assert_array_equal(scaled_down(wide, HEIGHT), images(2, 0))
    assert scaled_down(wide, 18) is wide
