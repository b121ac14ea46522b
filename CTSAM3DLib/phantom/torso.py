"""A torso from the sixth thoracic to the third lumbar vertebra, in portal venous contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.phantom.abdomen import draw_abdomen
from CTSAM3DLib.phantom.canvas import Canvas, Field
from CTSAM3DLib.phantom.chest import diaphragm_z, draw_chest
from CTSAM3DLib.phantom.tissue import Tissue
from CTSAM3DLib.phantom.wall import draw_spine, draw_wall

_STRUCTURES: dict[str, tuple[Tissue, ...]] = {
    "lung_right": (Tissue.LUNG_RIGHT, Tissue.LUNG_VESSEL_RIGHT),
    "lung_left": (Tissue.LUNG_LEFT, Tissue.LUNG_VESSEL_LEFT),
    "heart": (Tissue.MYOCARDIUM, Tissue.HEART_CAVITY),
    "aorta": (Tissue.AORTA,),
    "liver": (Tissue.LIVER, Tissue.LIVER_VESSEL),
    "gallbladder": (Tissue.GALLBLADDER,),
    "spleen": (Tissue.SPLEEN,),
    "stomach": (Tissue.STOMACH_WALL, Tissue.STOMACH_CONTENT, Tissue.STOMACH_GAS),
    "pancreas": (Tissue.PANCREAS,),
    "kidney_right": (Tissue.KIDNEY_RIGHT_CORTEX, Tissue.KIDNEY_RIGHT_MEDULLA),
    "kidney_left": (Tissue.KIDNEY_LEFT_CORTEX, Tissue.KIDNEY_LEFT_MEDULLA),
    "trachea": (Tissue.AIRWAY,),
    "esophagus": (Tissue.ESOPHAGUS,),
    "spinal_cord": (Tissue.SPINAL_CORD,),
}
_BLUR_MM = 1.3
_NOISE_HU = 11.0
_UNEVEN_MM = 7.0


def torso_phantom(
    spacing_mm: float = 2.0, seed: int = 0
) -> tuple[Volume, dict[str, NDArray[np.bool_]]]:
    """Generate a plausible torso CT and the exact mask of each structure.

    Bodies are superquadrics and tubes in gently warped coordinates, filled with the HU of a portal
    venous scan, blurred like a reconstruction, with slow unevenness and correlated noise.

    Parameters
    ----------
    spacing_mm : float
        Isotropic voxel size, 0.5 to 10 mm; 2 mm gives 192 x 144 x 160 voxels.
    seed : int
        Chooses warp, vessels, bowel and noise; the same seed gives the same voxels.

    Returns
    -------
    volume : Volume
        int16 HU; columns run to the left and rows to the back, as in most scans.
    truth : dict of bool arrays (K, J, I)
        Name of each structure (as TotalSegmentator names them where it knows them) to its mask;
        the masks do not overlap.

    Raises
    ------
    GeometryError
        When the spacing is out of range.

    Examples
    --------
    >>> volume, truth = torso_phantom(spacing_mm=8.0)
    >>> volume.array_kji.shape, volume.array_kji.dtype.name
    ((40, 36, 48), 'int16')
    >>> abs(volume.array_kji[truth["liver"]].mean().item() - 112) < 10
    True
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(spacing_mm, rng)
    inside = draw_wall(canvas)
    dome_z = diaphragm_z(canvas)
    draw_chest(canvas, inside, dome_z, rng)
    draw_abdomen(canvas, inside, dome_z, rng)
    vertebrae = draw_spine(canvas)
    truth = {
        name: np.isin(canvas.labels, [int(tissue) for tissue in tissues])
        for name, tissues in _STRUCTURES.items()
    }
    truth.update(vertebrae)
    volume = Volume(_intensities(canvas, rng), canvas.geometry, name="torso_phantom")
    return volume, truth


def _intensities(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.int16]:
    """HU of the painted labels, as int16."""
    mean = np.zeros(256, dtype=np.float32)
    uneven = np.zeros(256, dtype=np.float32)
    for tissue in Tissue:
        mean[tissue], uneven[tissue] = tissue.hu, tissue.uneven_hu
    hu: Field = mean[canvas.labels] + uneven[canvas.labels] * _noise(canvas, rng, _UNEVEN_MM)
    lung = (canvas.labels == Tissue.LUNG_RIGHT) | (canvas.labels == Tissue.LUNG_LEFT)
    hu -= np.where(lung, np.float32(0.45) * canvas.y, np.float32(0))  # denser towards the back
    hu = ndimage.gaussian_filter(hu, _BLUR_MM / canvas.spacing_mm)
    hu += np.float32(_NOISE_HU) * _noise(canvas, rng, 1.4)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def _noise(canvas: Canvas, rng: np.random.Generator, width_mm: float) -> NDArray[np.float32]:
    """Noise of unit deviation, smoothed by a Gaussian of the given width."""
    raw = rng.standard_normal(canvas.shape_kji, dtype=np.float32)
    smooth = ndimage.gaussian_filter(raw, width_mm / canvas.spacing_mm, mode="wrap")
    found: NDArray[np.float32] = smooth / smooth.std()
    return found
