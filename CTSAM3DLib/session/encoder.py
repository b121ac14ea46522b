"""Image embeddings of patches, each computed once and kept for later clicks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from copy import copy

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.geometry.resampling import extract_patch
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Embedding, Predictor
from CTSAM3DLib.models.tuning import adapter_of, is_followed
from CTSAM3DLib.session.patches import choose_spacing_mm

OTHER_SHARE = 4
"""A grid of voxels of another size keeps one embedding for so many that the usual grid keeps."""


class PatchEncoder:
    """Encodes patches of one volume with one model and keeps the most recently used ones.

    Sessions for several structures in the same volume share one encoder, so that an image patch is
    encoded once for all of them. An evicted embedding is computed again when it is needed: the
    cache changes the time, never the result. One thread at a time may use it. `grid` is the model
    grid of the volume (`geometry.model_grid`), `max_patches` how many embeddings to keep, at least
    1; one of the bundled model takes about 25 MB. With `is_for_all` no anatomy is seen with
    voxels of another size. Raises CTSAM3DError if `max_patches` is below 1.

    Examples
    --------
    >>> PatchEncoder(None, None, None, max_patches=0)
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.CTSAM3DError: expected room for at least 1 patch, got 0
    """

    def __init__(
        self,
        volume: Volume,
        grid: Geometry,
        predictor: Predictor,
        max_patches: int = 16,
        is_for_all: bool = False,
    ) -> None:
        """Start with an empty cache."""
        if max_patches < 1:
            raise CTSAM3DError(f"expected room for at least 1 patch, got {max_patches}")
        self.volume = volume
        self.grid = grid
        self.predictor = predictor
        self.max_patches = max_patches
        self.is_for_all = is_for_all
        self.adapter = ""
        self.is_followed = True
        self._kept: OrderedDict[BoundingBox, Embedding] = OrderedDict()
        self._others: dict[float, PatchEncoder] = {}
        self._usual = self

    def __len__(self) -> int:
        """Return the number of embeddings in the cache."""
        return len(self._kept)

    def __contains__(self, patch: BoundingBox) -> bool:
        """Tell whether the embedding of a patch is in the cache."""
        return patch in self._kept

    def __iter__(self) -> Iterator[BoundingBox]:
        """Iterate over the patches in the cache."""
        return iter(self._kept)

    def with_voxels_of(self, spacing_mm: float) -> PatchEncoder:
        """Return the encoder of the same volume and model on a grid of voxels of another size.

        Made when first asked for; it has a cache of its own, smaller by `OTHER_SHARE`, and the
        adapter of this one. Raises GeometryError if the spacing is not a positive number.
        """
        if spacing_mm == self.grid.spacing_mm[0]:
            return self
        if spacing_mm not in self._others:
            grid = model_grid(self.volume.geometry, spacing_mm)
            kept = max(1, self.max_patches // OTHER_SHARE)
            other = PatchEncoder(self.volume, grid, self.predictor, kept, self.is_for_all)
            other._usual = self._usual
            self._others[spacing_mm] = other
        return self._others[spacing_mm]._with(self.adapter, self.is_followed)

    def for_anatomy(self, name: str) -> PatchEncoder:
        """Return the encoder with voxels, adapter and growing that suit a structure best.

        Encoders that differ in adapter and growing alone share their embeddings.
        """
        settings, encoder = self.predictor.settings, self._usual
        if not self.is_for_all:
            spacing_mm = choose_spacing_mm(self.volume.geometry, settings, anatomy=name)
            encoder = encoder.with_voxels_of(spacing_mm)
        return encoder._with(adapter_of(settings, name), is_followed(settings, name))

    def image(self, patch: BoundingBox) -> NDArray[np.float32]:
        """Return what the model sees of the volume in a patch: HU, float32 (D, H, W); not kept.

        Air where the patch reaches over the border of the grid.
        """
        return extract_patch(self.volume, self.grid, patch)

    def embedding(self, patch: BoundingBox) -> Embedding:
        """Return the embedding of a patch by `Predictor.encode`, computed now or earlier."""
        if patch in self._kept:
            self._kept.move_to_end(patch)
            return self._kept[patch]
        embedding = self.predictor.encode(self.image(patch))
        self._kept[patch] = embedding
        while len(self._kept) > self.max_patches:
            self._kept.popitem(last=False)
        return embedding

    def decode(
        self,
        embedding: Embedding,
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Return the answer of the model for clicks by `Predictor.decode`, with the adapter."""
        asked = (embedding, points_kji, labels, previous_logits)
        if not self.adapter:
            return self.predictor.decode(*asked)
        return self.predictor.decode(*asked, adapter=self.adapter)

    def _with(self, adapter: str, is_followed: bool) -> PatchEncoder:
        if (adapter, is_followed) == (self.adapter, self.is_followed):
            return self
        other = copy(self)  # the cache is the same
        other.adapter, other.is_followed = adapter, is_followed
        return other
