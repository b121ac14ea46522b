"""CT made from a label patch.

`synthesise` draws any contrast between any two neighbours. `synthesise_typical` uses the HU that
each anatomy has in a real scan. It draws a contrast phase for the whole patch; bone has a cortex,
hollow organs a wall and gas, lungs have vessels, organs lie in fat and the body in air.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from CTSAM3DLib.training.intensity import blur, smooth_field
from CTSAM3DLib.training.simulated_clicks import box_mean

# Anatomy pattern, HU without contrast, what an arterial and what a venous phase add. First match
# counts. Rounded textbook values, checked against the real CTs of the training data.
TISSUES: tuple[tuple[str, float, float, float], ...] = (
    (r"^aorta|artery|carotid|brachiocephalic_trunk|pulmonary_vein|atrial", 42.0, 270.0, 110.0),
    (r"portal", 42.0, 50.0, 120.0),
    (r"vena|brachiocephalic_vein", 42.0, 60.0, 90.0),
    (r"^heart", 42.0, 180.0, 90.0),
    (r"kidney", 32.0, 130.0, 150.0),
    (r"spleen", 48.0, 85.0, 75.0),
    (r"liver", 58.0, 12.0, 48.0),
    (r"pancreas", 40.0, 60.0, 45.0),
    (r"adrenal", 28.0, 35.0, 40.0),
    (r"thyroid", 95.0, 70.0, 60.0),
    (r"gallbladder|urinary_bladder", 8.0, 0.0, 0.0),
    (r"autochthon|gluteus|iliopsoas", 48.0, 4.0, 10.0),
    (r"prostate|submandibular", 40.0, 25.0, 35.0),
    (r"parotid", 5.0, 25.0, 30.0),
    (r"costal_cartilages", 115.0, 0.0, 0.0),
    (r"spinal_canal|spinal_cord|brain|optic_nerve", 33.0, 2.0, 5.0),
    (r"eye_lens", 85.0, 0.0, 0.0),
    (r"eye", 12.0, 0.0, 0.0),
    (r"cochlea", 600.0, 0.0, 0.0),
)
OTHER_TISSUE = (38.0, 20.0, 35.0)
SOFT, BONE, LUNG, AIRWAY, HOLLOW = range(5)
STRUCTURES: tuple[tuple[str, int], ...] = (
    (r"vertebra|rib_|hip|femur|sacrum|scapula|clavicula|humerus|skull|mandible|sternum", BONE),
    (r"lung_", LUNG),
    (r"trachea|airway|sinus", AIRWAY),
    (r"stomach|colon|bowel|duodenum|esophagus", HOLLOW),
)
FAT_HU, MUSCLE_HU, AIR_HU = -100.0, 50.0, -1000.0
BODY_MARGIN_MM = 30.0
"""How far from the nearest label the body may reach."""


@dataclass(frozen=True)
class TissueTable:
    """What each label value is made of."""

    hu: Tensor  # (3, 256) float32: HU without contrast, and what an arterial and a venous phase add
    structure: Tensor  # (256,) int64: one of ``SOFT, BONE, LUNG, AIRWAY, HOLLOW``


def tissue_table(names: dict[str, str], device: torch.device | None = None) -> TissueTable:
    """Look up the tissue of each label value (as text) by the name of its anatomy.

    Examples
    --------
    >>> table = tissue_table({"1": "liver", "2": "rib_left_7"})
    >>> table.hu[:, 1].tolist(), int(table.structure[2]) == BONE
    ([58.0, 12.0, 48.0], True)
    """
    hu = torch.tensor(OTHER_TISSUE).view(3, 1).repeat(1, 256)
    structure = torch.full((256,), SOFT)
    for value, name in names.items():
        for pattern, *row in TISSUES:
            if re.search(pattern, name):
                hu[:, int(value)] = torch.tensor(row)
                break
        for pattern, kind in STRUCTURES:
            if re.search(pattern, name):
                structure[int(value)] = kind
                break
    return TissueTable(hu.to(device), structure.to(device))


def synthesise(
    labels: Tensor, class_hu: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> Tensor:
    """Make a (D, H, W) CT patch in HU from a label patch with values 0-255.

    0 is unlabelled and becomes a random mosaic of air, fat and muscle. `class_hu` is (256,), the
    typical HU of each value. `rng` draws HU of each class and all strengths, `generator` textures.
    """
    device = labels.device
    spread = torch.where(class_hu.abs() > 200, 110.0, 35.0)
    table = class_hu + spread * torch.randn(256, generator=generator, device=device)
    if rng.random() < 0.3:  # a contrast phase: everything soft is lifted by its own amount
        lift = torch.rand(256, generator=generator, device=device) * 140.0
        table = table + torch.where(class_hu.abs() < 100, lift, torch.zeros_like(lift))
    index = labels.to(torch.int64)
    hu = table[index]
    mosaic = smooth_field(labels.shape, int(rng.integers(5, 12)), generator)
    fat, air = float(rng.normal(0.1, 0.4)), float(rng.normal(1.7, 0.3))
    ground = torch.where(mosaic > fat, -100.0, 50.0)
    ground = torch.where(mosaic > air, -950.0, ground) + 12.0 * smooth_field(
        labels.shape, 12, generator
    )
    hu = torch.where(index == 0, ground, hu)
    texture = smooth_field(labels.shape, int(rng.integers(8, 20)), generator)
    hu = hu + texture * float(rng.uniform(2.0, 15.0))
    return blur(hu, float(rng.uniform(0.5, 1.0)))


def synthesise_typical(
    labels: Tensor,
    table: TissueTable,
    spacing_mm: float,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    """Make a (D, H, W) CT patch in HU from a label patch with values 0-255.

    0 is unlabelled: fat with muscle, air far from any label. `spacing_mm` is the voxel size of the
    patch; `rng` and `generator` are the random sources.
    """
    index = labels.to(torch.int64)
    kind = table.structure[index]
    hu = _means(table, rng, generator)[index]
    hu = hu + float(rng.uniform(2.0, 10.0)) * smooth_field(
        labels.shape, int(rng.integers(8, 20)), generator
    )
    shell = _shell(index)
    inside = index > 0
    hu = torch.where(inside & (kind == BONE), _bone(shell, spacing_mm, rng, generator), hu)
    hu = torch.where(inside & (kind == LUNG), _lung(labels.shape, rng, generator), hu)
    hu = torch.where(inside & (kind == AIRWAY), torch.full_like(hu, AIR_HU), hu)
    hu = torch.where(inside & (kind == HOLLOW) & ~shell, _content(hu, index, rng, generator), hu)
    hu = torch.where(inside, hu, _ground(inside, spacing_mm, rng, generator))
    return blur(hu, float(rng.uniform(0.45, 0.9)))


def _means(table: TissueTable, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """HU of each value in a contrast phase of its own strength: none, arterial or venous."""
    phase = int(rng.choice(3, p=(0.3, 0.25, 0.45)))
    hu = table.hu[0] + 9.0 * torch.randn(256, generator=generator, device=table.hu.device)
    if phase:
        strength = float(rng.uniform(0.5, 1.3))
        own = torch.rand(256, generator=generator, device=table.hu.device)
        hu = hu + strength * (0.7 + 0.6 * own) * table.hu[phase]
    return hu


def _shell(index: Tensor) -> Tensor:
    """Voxels with a neighbour of another value, the faces of the patch not counted."""
    values = F.pad(index.float()[None, None], [1] * 6, mode="replicate")[0, 0]
    return _highest_around(values) != -_highest_around(-values)


def _highest_around(values: Tensor) -> Tensor:
    """Maximum of 3x3x3 voxels, without the border; faster than ``max_pool3d`` on a CPU."""
    for axis in range(3):
        low, middle, high = (values.narrow(axis, n, values.shape[axis] - 2) for n in range(3))
        values = torch.maximum(torch.maximum(low, middle), high)
    return values


def _bone(
    shell: Tensor, spacing_mm: float, rng: np.random.Generator, generator: torch.Generator
) -> Tensor:
    spongy = float(rng.normal(190.0, 60.0)) + 50.0 * smooth_field(shell.shape, 14, generator)
    # A cortex of some 1.5 mm fills part of a coarse voxel only.
    dense = float(rng.uniform(350.0, 900.0)) * min(1.0, 1.5 / spacing_mm) + 100.0
    return torch.where(shell, torch.full_like(spongy, max(dense, 200.0)), spongy)


def _lung(shape: torch.Size, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    vessels = smooth_field(shape, min(24, *shape), generator)
    out = float(rng.normal(-850.0, 35.0)) + 12.0 * smooth_field(shape, 8, generator)
    return torch.where(vessels > float(rng.uniform(1.6, 2.2)), torch.full_like(out, 20.0), out)


def _content(
    wall: Tensor, index: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> Tensor:
    """Fill stomach and bowel, each by itself: gas, water, contrast, stool."""
    device = index.device
    fill = torch.rand(256, generator=generator, device=device)
    fluid = torch.where(fill < 0.6, 20.0, torch.where(fill < 0.8, -30.0, 230.0))[index]
    gas = torch.rand(256, generator=generator, device=device)[index] * 3.0 - 0.8
    field = smooth_field(wall.shape, int(rng.integers(4, 8)), generator)
    rough = 40.0 * smooth_field(wall.shape, 18, generator)
    return torch.where(field > gas, torch.full_like(wall, -960.0), fluid + rough)


def _ground(
    inside: Tensor, spacing_mm: float, rng: np.random.Generator, generator: torch.Generator
) -> Tensor:
    mosaic = smooth_field(inside.shape, int(rng.integers(4, 12)), generator)
    muscle = float(rng.uniform(0.2, 1.5))
    fat = FAT_HU + float(rng.normal(0.0, 8.0)) + 6.0 * smooth_field(inside.shape, 12, generator)
    ground = torch.where(mosaic > muscle, torch.full_like(fat, MUSCLE_HU), fat)
    half = max(1, round(float(rng.uniform(0.4, 1.0)) * BODY_MARGIN_MM / spacing_mm))
    near = box_mean(inside.float()[None, None], 2 * half + 1)[0, 0] > 0.01
    return torch.where(near, ground, torch.full_like(ground, AIR_HU))
