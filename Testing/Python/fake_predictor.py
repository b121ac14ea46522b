"""Numpy predictors without a network: the geometry of the answer is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.models.contract import ModelSettings

FILL_HU = -1024.0
"""Value of patch voxels outside the image."""


@dataclass(frozen=True)
class Embedding:
    """What `encode` hands to `decode`: the patch itself and its running number."""

    patch_hu: NDArray[np.float32]
    number: int


@dataclass(frozen=True)
class DecodeCall:
    """Arguments of one `decode`."""

    embedding: Embedding
    points_kji: NDArray[np.float32]
    labels: NDArray[np.int64]
    previous_logits: NDArray[np.float32] | None
    adapter: str = ""


@dataclass
class BallPredictor:
    """Balls around positive clicks, joined with the earlier mask, minus balls around negatives.

    Logits are signed distances in voxels (positive inside), so that a resampled zero crossing
    stays on the sphere. Radii in voxels of the patch; those of an adapter are twice as large.
    """

    patch_size: int = 32
    radius: float = 6.0
    negative_radius: float = 3.0
    spacing_mm: float = 2.0
    spacing_range_mm: tuple[float, float] = (1.0, 8.0)
    device: str = "cpu"
    voxel_sizes_mm: dict[str, float] = field(default_factory=dict)
    intensity_weight: float = 0.0
    opposite_weight: float = 0.0
    adapters: dict[str, str] = field(default_factory=dict)
    not_followed: tuple[str, ...] = ()
    encoded: list[NDArray[np.float32]] = field(default_factory=list)
    decoded: list[DecodeCall] = field(default_factory=list)
    fail_next: Exception | None = None

    @property
    def settings(self) -> ModelSettings:
        return ModelSettings(
            model_id="fake",
            patch_size=self.patch_size,
            spacing_range_mm=self.spacing_range_mm,
            default_spacing_mm=self.spacing_mm,
            windows_hu=((-125.0, 225.0),),
            voxel_sizes_mm=self.voxel_sizes_mm,
            intensity_weight=self.intensity_weight,
            opposite_weight=self.opposite_weight,
            adapters=self.adapters,
            not_followed=self.not_followed,
        )

    @property
    def encode_calls(self) -> int:
        return len(self.encoded)

    @property
    def decode_calls(self) -> int:
        return len(self.decoded)

    def encode(self, patch_hu: NDArray[np.float32]) -> Embedding:
        self._check_patch(patch_hu)
        self._fail_if_told()
        self.encoded.append(patch_hu)
        return Embedding(patch_hu, len(self.encoded))

    def decode(
        self,
        embedding: Embedding,
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
        adapter: str = "",
    ) -> NDArray[np.float32]:
        if adapter and adapter not in self.adapters.values():
            raise AssertionError(f"adapter {adapter!r}")
        self._check_points(points_kji, labels)
        if previous_logits is not None:
            self._check_patch(previous_logits)
        if len(labels) == 0 and (previous_logits is None or previous_logits.max() <= 0):
            raise AssertionError("neither a click nor an earlier mask")
        self._fail_if_told()
        call = DecodeCall(embedding, points_kji, labels, previous_logits, adapter)
        self.decoded.append(call)
        return self.logits(call).astype(np.float32)

    def cross_patch(
        self,
        patch_hu: NDArray[np.float32],
        mask: NDArray[np.bool_],
        neighbour_hu: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        self._check_patch(patch_hu)
        self._check_patch(neighbour_hu)
        return np.zeros(mask.shape, np.float32)

    def logits(self, call: DecodeCall) -> NDArray[np.floating[Any]]:
        logits = np.full((self.patch_size,) * 3, -20.0)
        if call.previous_logits is not None:
            logits = np.maximum(logits, call.previous_logits)
        radius = self.radius * (2.0 if call.adapter else 1.0)
        for point in call.points_kji[call.labels == 1]:
            logits = np.maximum(logits, radius - self._distance(point))
        for point in call.points_kji[call.labels == 0]:
            logits = np.minimum(logits, self._distance(point) - self.negative_radius)
        return logits

    def _distance(self, point_kji: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Distance of every patch voxel to a point, in voxels."""
        k, j, i = np.ogrid[: self.patch_size, : self.patch_size, : self.patch_size]
        z, y, x = (float(value) for value in point_kji)
        return np.sqrt((k - z) ** 2 + (j - y) ** 2 + (i - x) ** 2)

    def _check_patch(self, patch: NDArray[np.float32]) -> None:
        """Hold the caller to the contract of `Predictor`."""
        if patch.shape != (self.patch_size,) * 3 or patch.dtype != np.float32:
            raise AssertionError(f"patch {patch.shape} {patch.dtype}")
        if not np.isfinite(patch).all():
            raise AssertionError("patch holds NaN or infinity")

    def _check_points(self, points: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        if points.dtype != np.float32 or labels.dtype != np.int64:
            raise AssertionError(f"points {points.dtype}, labels {labels.dtype}")
        if points.shape != (len(labels), 3):
            raise AssertionError(f"points {points.shape}, labels {labels.shape}")
        if len(labels) == 0:
            return
        if points.min() < -0.5 or points.max() >= self.patch_size - 0.5:
            raise AssertionError(f"click outside the patch: {points}")

    def _fail_if_told(self) -> None:
        """Raise the planted error once."""
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error


@dataclass
class ComponentPredictor(BallPredictor):
    """Bright connected parts that hold a positive click or the earlier mask.

    "Bright" is above `level_hu`; logits grow linearly with the intensity, so that the zero
    crossing is the iso-surface of the resampled image.
    """

    level_hu: float = 0.0
    hu_per_logit: float = 50.0

    def logits(self, call: DecodeCall) -> NDArray[np.floating[Any]]:
        contrast = (call.embedding.patch_hu - self.level_hu) / self.hu_per_logit
        parts, _ = ndimage.label(contrast > 0)
        chosen = np.zeros(parts.max() + 1, bool)
        if call.previous_logits is not None:
            chosen[np.unique(parts[call.previous_logits > 0])] = True
        for point in call.points_kji[call.labels == 1]:
            chosen[parts[tuple(int(np.floor(value + 0.5)) for value in point)]] = True
        chosen[0] = False
        near = ndimage.binary_dilation(chosen[parts], np.ones((3, 3, 3), bool))
        logits = np.where(near, contrast, -20.0)
        for point in call.points_kji[call.labels == 0]:
            logits = np.minimum(logits, self._distance(point) - self.negative_radius)
        return np.clip(logits, -20.0, 20.0)


FakePredictor = BallPredictor
"""The usual stand-in for tests that only need some predictor."""
