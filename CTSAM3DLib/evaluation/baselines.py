"""Classical segmentation from the same clicks: region growing, Grow from Seeds, random walker.

All work on the voxels of the volume in a box round the positive clicks, with seeds as in
`seeds.py`. Their options are the best compromise of a small grid over 22 structures of the train
split (12 of head and neck after 1 to 10 clicks, 10 of a trunk after 1 to 5), each method clicked
on its own mistakes; the spellings of `methods.baseline_method` repeat it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.seeds import BACKGROUND, FOREGROUND, SeededBox, seeded_box
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click


@dataclass(frozen=True)
class Baseline:
    """A method that makes a mask from the volume and all clicks at once."""

    name: ClassVar[str] = ""
    margin_mm: float = 40.0  # Margin of the box round the positive clicks

    def prepare(self) -> None:
        """Load what the method needs, so that no click is timed with it.

        Raises CTSAM3DError when a package is missing.
        """

    def mask(self, volume: Volume, clicks: Sequence[Click]) -> NDArray[np.bool_]:
        """Return a mask (K, J, I) bool from a list of clicks, empty without a positive one.

        Raises ClickOutsideVolumeError when a click is not inside the volume.
        """
        result = np.zeros(volume.array_kji.shape, dtype=bool)
        box = seeded_box(volume, clicks, self.margin_mm)
        if box is not None:
            result[box.bbox.slices_kji] = self._in_box(box)
        return result

    def _in_box(self, box: SeededBox) -> NDArray[np.bool_]:
        raise NotImplementedError


@dataclass(frozen=True)
class ConfidenceConnected(Baseline):
    """SimpleITK's confidence-connected region growing from the positive clicks.

    The HU are smoothed by `smoothing` iterations of curvature flow, as in ITK's example. The
    accepted interval is `multiplier` standard deviations wide; mean and deviation come from a cube
    of half size `radius` voxels round each click and are taken again from the region `iterations`
    times. Voxels that are nearer to a negative than to any positive click are removed.
    """

    name: ClassVar[str] = "confidence_connected"
    margin_mm: float = 30.0
    multiplier: float = 2.0
    iterations: int = 0
    radius: int = 1
    smoothing: int = 5

    def _in_box(self, box: SeededBox) -> NDArray[np.bool_]:
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(box.hu_kji)
        if self.smoothing:
            image = sitk.CurvatureFlow(image, timeStep=0.0625, numberOfIterations=self.smoothing)
        positive = [place for place, is_positive in box.clicks_kji if is_positive]
        grown = sitk.ConfidenceConnected(
            image,
            seedList=[place[::-1] for place in positive],
            numberOfIterations=int(self.iterations),
            multiplier=float(self.multiplier),
            initialNeighborhoodRadius=int(self.radius),
            replaceValue=1,
        )
        region: NDArray[np.bool_] = sitk.GetArrayFromImage(grown) > 0
        return region & _nearer_to_positive(box)


@dataclass(frozen=True)
class GrowFromSeeds(Baseline):
    """Slicer's Grow from Seeds: the filter behind the Segment Editor effect, from slicer-core."""

    name: ClassVar[str] = "grow_from_seeds"
    margin_mm: float = 40.0
    seed_radius_mm: float = 5.0  # Radius of the ball that each click paints
    # The effect's "seed locality": cost of distance against that of intensity
    locality: float = 2.0

    def prepare(self) -> None:
        """Load the filter; CTSAM3DError without slicer-core."""
        _slicer_parts()

    def _in_box(self, box: SeededBox) -> NDArray[np.bool_]:
        grow_cut, to_vtk, to_numpy = _slicer_parts()
        # Seeds on the outermost voxels do not spread in this filter: give it one layer more.
        hu = np.pad(np.rint(box.hu_kji).astype(np.int16), 1, mode="edge")
        seeds = np.pad(box.seeds(self.seed_radius_mm), 1)
        algorithm = grow_cut()
        algorithm.SetIntensityVolume(to_vtk(hu, box.spacing_kji))
        algorithm.SetSeedLabelVolume(to_vtk(seeds, box.spacing_kji))
        algorithm.SetDistancePenalty(float(self.locality))
        algorithm.Update()
        labels = to_numpy(algorithm.GetOutput().GetPointData().GetScalars())
        found: NDArray[np.bool_] = labels.reshape(hu.shape)[1:-1, 1:-1, 1:-1] == FOREGROUND
        return found


@dataclass(frozen=True)
class RandomWalker(Baseline):
    """The random walker of scikit-image, on every n-th voxel so that time stays bounded."""

    name: ClassVar[str] = "random_walker"
    margin_mm: float = 60.0
    # How much a step of intensity hinders the walker, for HU from -200 to 300 scaled to 0...1
    beta: float = 20_000.0
    seed_radius_mm: float = 5.0  # Radius of the ball that each click paints
    max_voxels: int = 40_000  # The box is thinned out to at most about this many voxels

    def _in_box(self, box: SeededBox) -> NDArray[np.bool_]:
        from skimage.segmentation import random_walker

        steps = self._steps(box)
        thin = tuple(slice(None, None, step) for step in steps)
        hu = np.clip(box.hu_kji[thin].astype(np.float64), -200.0, 300.0) / 500.0
        labels = box.seeds(self.seed_radius_mm)[thin].copy()
        for place, positive in box.clicks_kji:
            at = tuple(p // step for p, step in zip(place, steps, strict=True))
            labels[at] = FOREGROUND if positive else BACKGROUND
        if not ((labels == FOREGROUND).any() and (labels == BACKGROUND).any()):
            painted: NDArray[np.bool_] = box.seeds(self.seed_radius_mm) == FOREGROUND
            return painted
        with warnings.catch_warnings():
            # Behind a sharp edge the equations are nearly singular; the larger side still wins.
            warnings.simplefilter("ignore", UserWarning)
            found = random_walker(
                hu, labels, beta=self.beta, mode="cg_j", spacing=box.spacing_kji * steps
            )
        fine = np.asarray(found == FOREGROUND)
        for axis, step in enumerate(steps):
            fine = np.repeat(fine, step, axis=axis)
        k, j, i = box.hu_kji.shape
        return fine[:k, :j, :i]

    def _steps(self, box: SeededBox) -> NDArray[np.int64]:
        """Thinning along each axis: the finest axis first, until the box is small enough."""
        steps = np.ones(3, dtype=np.int64)
        while np.prod(np.ceil(np.array(box.hu_kji.shape) / steps)) > self.max_voxels:
            steps[int(np.argmin(steps * box.spacing_kji))] += 1
        return steps


BASELINES: dict[str, type[Baseline]] = {
    kind.name: kind for kind in (ConfidenceConnected, GrowFromSeeds, RandomWalker)
}
"""The classical methods by name."""


def _nearer_to_positive(box: SeededBox) -> NDArray[np.bool_]:
    """Voxels whose nearest click is a positive one."""
    if all(positive for _, positive in box.clicks_kji):
        return np.ones(box.hu_kji.shape, dtype=bool)
    distances = []
    for wanted in (True, False):
        free = np.ones(box.hu_kji.shape, dtype=bool)
        for place, positive in box.clicks_kji:
            if positive == wanted:
                free[place] = False
        distances.append(ndimage.distance_transform_edt(free, sampling=box.spacing_kji))
    return distances[0] <= distances[1]


def _slicer_parts() -> tuple[Any, Any, Any]:
    """Return the filter class, numpy to vtkImageData, and VTK scalars to numpy."""
    try:
        slicer_core: Any = import_module("slicer_core")
        data_model: Any = import_module("vtkmodules.vtkCommonDataModel")
        support: Any = import_module("vtkmodules.util.numpy_support")
    except ImportError as error:
        raise CTSAM3DError(
            f"grow_from_seeds needs slicer-core and vtk, which cannot be imported: {error}"
        ) from error

    def to_vtk(array_kji: NDArray[Any], spacing_kji: NDArray[np.float64]) -> Any:
        image = data_model.vtkImageData()
        image.SetDimensions(*array_kji.shape[::-1])
        image.SetSpacing(*spacing_kji[::-1])
        image.GetPointData().SetScalars(
            support.numpy_to_vtk(np.ascontiguousarray(array_kji).ravel(), deep=True)
        )
        return image

    return slicer_core.vtkImageGrowCutSegment, to_vtk, support.vtk_to_numpy
