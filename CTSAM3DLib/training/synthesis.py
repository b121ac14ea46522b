"""CT made from label patches.

`synthesise` draws any contrast between any two neighbours. `synthesise_typical` uses the HU that
each anatomy has in a real scan. It draws a contrast phase for each patch; bone has a cortex, lungs
have vessels and fissures, hollow organs a wall and gas, organs lie in fat and the body in air.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from CTSAM3DLib.training.intensity import normal, uniform
from CTSAM3DLib.training.separable import along_axes, blur, boxes, smooth_fields

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
SOFT, BONE, LUNG, AIRWAY, HOLLOW, FLUID = range(6)
STRUCTURES: tuple[tuple[str, int], ...] = (
    (r"vertebra|rib_|hip|femur|sacrum|scapula|clavicula|humerus|skull|mandible|sternum|bone", BONE),
    (r"lung_", LUNG),
    (r"trachea|airway|sinus", AIRWAY),
    (r"stomach|colon|bowel|duodenum|esophagus", HOLLOW),
    (r"bladder", FLUID),
)
STRUCTURE_HU = (45.0, 320.0, -820.0, -950.0, 45.0, 10.0)
FAT_HU, MUSCLE_HU, AIR_HU = -100.0, 50.0, -1000.0
BODY_MARGIN_MM = 30.0
"""How far from the nearest label the body may reach."""


@dataclass(frozen=True)
class TissueTable:
    """What each label value is made of, in one case or in each of B."""

    # (..., 3, 256) float32: HU without contrast, and what an arterial and a venous phase add
    hu: Tensor
    structure: Tensor  # (..., 256) int64: one of ``SOFT, BONE, LUNG, AIRWAY, HOLLOW, FLUID``

    @property
    def class_hu(self) -> Tensor:
        """(..., 256): typical HU of each value, by its structure alone."""
        return torch.tensor(STRUCTURE_HU, device=self.structure.device)[self.structure]

    @classmethod
    def of(cls, tables: list[TissueTable], device: torch.device) -> TissueTable:
        """Join tables of single cases into one of all."""
        return cls(
            torch.stack([t.hu for t in tables]).to(device),
            torch.stack([t.structure for t in tables]).to(device),
        )

    def take(self, cases: Tensor) -> TissueTable:
        """Return the rows of some cases, (B,) int64."""
        return TissueTable(self.hu.index_select(0, cases), self.structure.index_select(0, cases))


def tissue_table(names: dict[str, str]) -> TissueTable:
    """Look up the tissue of each label value (as text) by the name of its anatomy."""
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
    return TissueTable(hu, structure)


def synthesise(labels: Tensor, class_hu: Tensor, generator: torch.Generator) -> Tensor:
    """Make (B, D, H, W) CT patches in HU from label patches with values 0-255.

    0 is unlabelled and becomes a random mosaic of air, fat and muscle. `class_hu` is (B, 256), the
    typical HU of each value. `generator` is on the device of the labels.
    """
    spread = torch.where(class_hu.abs() > 200, 110.0, 35.0)
    table = class_hu + spread * torch.randn(
        class_hu.shape, generator=generator, device=class_hu.device
    )
    lift = torch.rand(class_hu.shape, generator=generator, device=class_hu.device) * 140.0
    # A contrast phase: everything soft is lifted by its own amount.
    lifted = (class_hu.abs() < 100) & (uniform(labels, 0.0, 1.0, generator)[:, :, 0, 0] < 0.3)
    index = labels.to(torch.int64)
    hu = _looked_up(torch.where(lifted, table + lift, table), index)
    mosaic = _field(labels, 5, 12, generator)
    fat = 0.1 + 0.4 * normal(labels, generator)
    air = 1.7 + 0.3 * normal(labels, generator)
    ground = torch.where(mosaic > fat, -100.0, 50.0)
    ground = torch.where(mosaic > air, -950.0, ground) + 12.0 * _field(labels, 12, 13, generator)
    hu = torch.where(index == 0, ground, hu)
    hu = hu + uniform(labels, 2.0, 15.0, generator) * _field(labels, 8, 20, generator)
    return blur(hu, uniform(labels, 0.5, 1.0, generator).flatten())


def synthesise_typical(
    labels: Tensor, table: TissueTable, spacing_mm: Tensor, generator: torch.Generator
) -> Tensor:
    """Make (B, D, H, W) CT patches in HU from label patches with values 0-255.

    0 is unlabelled: fat with muscle, air far from any label. `table` has B rows, `spacing_mm` (B,)
    is the voxel size of each patch. `generator` is on the device of the labels.
    """
    index = labels.to(torch.int64)
    kind = _looked_up(table.structure, index)
    hu = _looked_up(_means(table, generator), index)
    hu = hu + uniform(labels, 2.0, 10.0, generator) * _field(labels, 8, 20, generator)
    shell = _shell(labels)
    inside = index > 0
    spacing_mm = spacing_mm.view(-1, 1, 1, 1)
    hu = torch.where(inside & (kind == BONE), _bone(shell, spacing_mm, generator), hu)
    hu = torch.where(inside & (kind == LUNG), _lung(index, kind == LUNG, generator), hu)
    hu = torch.where(inside & (kind == AIRWAY), torch.full_like(hu, AIR_HU), hu)
    hu = torch.where(inside & (kind == HOLLOW) & ~shell, _content(index, generator), hu)
    hu = torch.where(inside, hu, _ground(inside, spacing_mm, generator))
    return blur(hu, uniform(labels, 0.45, 0.9, generator).flatten())


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """Values of (B, 256) tables at (B, D, H, W) indices."""
    return table.gather(1, index.flatten(1)).view(index.shape)


def _field(like: Tensor, low: int, high: int, generator: torch.Generator) -> Tensor:
    """Smooth random field of each sample, its knots an axis from `low` to `high`, left out."""
    high = max(low + 1, high)
    counts = uniform(like, float(low), float(high), generator).flatten().floor().clamp_max(high - 1)
    return smooth_fields(like.shape[1:], counts, high - 1, generator)


def _means(table: TissueTable, generator: torch.Generator) -> Tensor:
    """HU of each value in a contrast phase of its own strength: none, arterial or venous."""
    plain, arterial, venous = table.hu.unbind(1)
    hu = plain + 9.0 * torch.randn(plain.shape, generator=generator, device=plain.device)
    own = torch.rand(plain.shape, generator=generator, device=plain.device)
    chance = uniform(plain, 0.0, 1.0, generator)[:, :, 0, 0]
    added = torch.where(chance < 0.55, arterial, venous) * (chance >= 0.3)
    return hu + uniform(plain, 0.5, 1.3, generator)[:, :, 0, 0] * (0.7 + 0.6 * own) * added


def _shell(labels: Tensor) -> Tensor:
    """Voxels with a neighbour of another value, the faces of the patch not counted."""
    values = labels.float()
    return _around(values) != -_around(-values)


def _around(values: Tensor) -> Tensor:
    """`highest_around` of as many voxels, the faces of the patch not counted."""
    return highest_around(F.pad(values[:, None], [1] * 6, mode="replicate")[:, 0])


def highest_around(values: Tensor) -> Tensor:
    """Maximum of 3x3x3 voxels of (B, D, H, W), without the border: faster than ``max_pool3d``."""
    for axis in (1, 2, 3):
        low, middle, high = (values.narrow(axis, n, values.shape[axis] - 2) for n in range(3))
        values = torch.maximum(torch.maximum(low, middle), high)
    return values


def _bone(shell: Tensor, spacing_mm: Tensor, generator: torch.Generator) -> Tensor:
    marrow = uniform(shell, 60.0, 280.0, generator) + 60.0 * _field(shell, 3, 7, generator)
    spongy = marrow + 60.0 * normal(shell, generator) + 50.0 * _field(shell, 14, 15, generator)
    # A cortex of some 1.5 mm fills part of a coarse voxel only; that of a shaft is thicker.
    dense = uniform(shell, 350.0, 900.0, generator) * (1.5 / spacing_mm).clamp_max(1.0) + 100.0
    thick = _field(shell, 3, 6, generator) > uniform(shell, -0.5, 2.0, generator)
    second = _around(shell.float()) > 0
    return torch.where(shell | (second & thick), dense.clamp_min(200.0), spongy)


def _lung(index: Tensor, lung: Tensor, generator: torch.Generator) -> Tensor:
    finest = min(24, *index.shape[1:])
    vessels = _field(index, finest, finest + 1, generator)
    air = -850.0 + 35.0 * normal(index, generator) + 12.0 * _field(index, 8, 9, generator)
    # A fissure parts two lobes.
    highest, lowest = (_around(torch.where(lung, sign * index, -256.0)) for sign in (1.0, -1.0))
    fissure = lung & (highest != -lowest)
    air = air + torch.where(fissure, uniform(index, 0.0, 300.0, generator), 0.0)
    return torch.where(vessels > uniform(index, 1.6, 2.2, generator), 20.0, air)


def _content(index: Tensor, generator: torch.Generator) -> Tensor:
    """Fill stomach and bowel, each by itself: gas, water, contrast, stool."""
    size = (len(index), 256)
    fill = torch.rand(size, generator=generator, device=index.device)
    fluid = _looked_up(torch.where(fill < 0.6, 20.0, torch.where(fill < 0.8, -30.0, 230.0)), index)
    gas = _looked_up(torch.rand(size, generator=generator, device=index.device), index) * 3.0 - 0.8
    rough = 40.0 * _field(index, 18, 19, generator)
    return torch.where(_field(index, 4, 8, generator) > gas, -960.0, fluid + rough)


def _ground(inside: Tensor, spacing_mm: Tensor, generator: torch.Generator) -> Tensor:
    fat = FAT_HU + 8.0 * normal(inside, generator) + 6.0 * _field(inside, 12, 13, generator)
    muscle = uniform(inside, 0.2, 1.5, generator)
    ground = torch.where(_field(inside, 4, 12, generator) > muscle, MUSCLE_HU, fat)
    half = (uniform(inside, 0.4, 1.0, generator) * BODY_MARGIN_MM / spacing_mm).round()
    near = along_axes(inside.float(), boxes(inside.shape[1:], half.clamp_min(1.0))) > 0.01
    return torch.where(near, ground, AIR_HU)
