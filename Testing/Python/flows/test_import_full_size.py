"""The authors' network in its full size: imported, it answers as plain formulas in float64 do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plain_official
import pytest
from checkpoint_case import save
from random_weights import float64_weights, with_random_weights

from CTSAM3DLib.bundles.importing import ImportedModel, ImportRequest, import_official
from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.network.official.segmenter import OfficialSegmenter
from CTSAM3DLib.network.official.sizes import OFFICIAL_VARIANTS

pytestmark = pytest.mark.slow  # the same in small: test_import_checkpoint, network/official
TINY = OFFICIAL_VARIANTS["tiny"]
Imported = tuple[ImportedModel, OfficialSegmenter]


@pytest.fixture(scope="module")
def full_size() -> Iterator[Imported]:
    """Import 296 MB of random weights in the official layout; the network that has them."""
    network = with_random_weights(OfficialSegmenter(TINY))
    with tempfile.TemporaryDirectory() as name:
        source = save(Path(name) / "params.pth", {"model_state_dict": network.state_dict()})
        output = Path(name) / "tiny.pt"
        yield import_official(ImportRequest(source, output=output)), network


def test_full_size_is_written_once_and_told(full_size: Imported) -> None:
    imported, network = full_size
    assert (imported.keys, imported.parameters) == (428, 74_022_482)
    assert imported.has_cross_patch
    assert imported.entry.variant == "tiny"
    weights = sum(v.numel() * v.element_size() for v in network.state_dict().values())
    assert weights < imported.entry.size_bytes < 1.005 * weights
    settings = TorchPredictor(resolve_model(imported.entry.path).path, "cpu").settings
    assert settings.official
    assert settings.cross_patch_trained
    assert settings.windows_hu == ((-125.0, 225.0),)
    assert settings.spacing_range_mm == (1.5, 1.5)


def test_full_size_answers_as_the_plain_oracle_does(full_size: Imported) -> None:
    """Image, clicks and previous mask in, probability out: against float64 and plain formulas."""
    imported, network = full_size
    rng = np.random.default_rng(5)
    hu = np.repeat(np.repeat(rng.normal(50, 150, (16, 16, 64)), 4, 0), 4, 1).astype(np.float32)
    previous = (8.0 - np.linalg.norm(np.indices(hu.shape) - 30.0, axis=0)).astype(np.float32)
    points = np.array([[33.7, 20.2, 41.9], [36.0, 24.4, 38.0], [12.0, 50.0, 30.6]], np.float32)
    predictor = TorchPredictor(imported.entry.path, "cpu")
    logits = predictor.decode(predictor.encode(hu), points, np.array([1, 1, 0]), previous)

    weights = float64_weights(network)
    image = np.clip((hu.astype(np.float64) + 125.0) / 350.0, 0.0, 1.0)[None, None]
    mask = 1.0 / (1.0 + np.exp(-previous.astype(np.float64)))[None, None]
    positive, negative = _map(points[:2]), _map(points[2:])
    maps = plain_official.encode(weights, image, TINY.attention_heads)
    plain = plain_official.decode(weights, maps, mask, positive, negative)[0, 0]
    expected = 1.0 / (1.0 + np.exp(-plain))
    assert expected.std() > 0.1
    assert np.abs(1.0 / (1.0 + np.exp(-logits.astype(np.float64))) - expected).max() <= 1e-5


def test_full_size_cross_patch_answers_as_the_plain_oracle_does(full_size: Imported) -> None:
    imported, network = full_size
    rng = np.random.default_rng(6)
    own, other = rng.normal(50, 150, (2, 64, 64, 64)).astype(np.float32)
    mask = rng.random(own.shape) > 0.5
    heat = TorchPredictor(imported.entry.path, "cpu").cross_patch(own, mask, other)
    seen = [np.clip((part + 125.0) / 350.0, 0.0, 1.0) for part in (own, other)]
    pair = np.stack([seen[0], mask, seen[1]]).astype(np.float64)[None]
    expected = plain_official.cross_patch(float64_weights(network), pair)[0, 0]
    assert expected.std() > 0.3
    np.testing.assert_allclose(heat, expected, atol=2e-5)


def _map(points_kji: np.ndarray) -> np.ndarray:
    """Return clicks as the authors draw them: coordinates cut off, each replaces its box."""
    values = np.zeros((64, 64, 64))
    for point in points_kji:
        offsets = np.indices(values.shape) - np.floor(point)[:, None, None, None]
        gaussian = np.exp(-(offsets**2).sum(0) / 8.0)
        gaussian[gaussian < 1.1920929e-07] = 0.0
        box = np.abs(offsets).max(0) <= 8
        values[box] = gaussian[box]
    return values[None, None]
