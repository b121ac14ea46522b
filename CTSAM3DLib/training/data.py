"""The packed data in memory, and which target of which case the next sample shows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.evaluation.cases import is_human
from CTSAM3DLib.training.config import ANNOTATED
from CTSAM3DLib.training.cutting import read_pack
from CTSAM3DLib.training.sampling import AIR_HU, block_means
from CTSAM3DLib.training.synthesis import TissueTable, tissue_table

# Kinds of target: where the label comes from, or that the image itself is synthetic.
KINDS = ("human", "machine", "synthetic", "pseudo", "annotated")

# Blocks that are single voxels.
ONE = (1, 1, 1)


@dataclass(frozen=True)
class Target:
    """One structure of one case."""

    case: int  # Index of the case
    volume: str  # ``labels`` or ``pseudo``
    value: int  # Its value in that volume
    name: str  # Anatomy, empty for pseudo-labels
    kind: str  # One of `KINDS`
    voxels: int  # Its size
    points: NDArray[np.int16]  # (N, 3) voxels of the structure, KJI, in main memory


@dataclass(frozen=True)
class Stored:
    """Where a volume lies in a flat array of `PackedData`, one voxel wider on every side."""

    start: int
    shape: tuple[int, int, int]  # Without the voxels on the sides
    steps: tuple[int, int, int] = (1, 1, 1)  # Blocks of the CT that were averaged to its voxels

    @property
    def stop(self) -> int:
        """Where the next one begins."""
        return self.start + math.prod(n + 2 for n in self.shape)

    def of(self, flat: Tensor) -> Tensor:
        """Return the volume (K, J, I), sharing memory with the flat array."""
        padded = flat[self.start : self.stop].view([n + 2 for n in self.shape])
        return padded[1:-1, 1:-1, 1:-1]


@dataclass(frozen=True)
class PackedCase:
    """One packed case: HU (None where only labels exist), labels, pseudo-labels."""

    name: str
    family: str
    spacing_kji_mm: tuple[float, float, float]
    hu: Tensor | None
    labels: Tensor
    pseudo: Tensor | None
    stored_hu: tuple[Stored, ...]  # The CT, then coarser and coarser copies, in `PackedData.hu`
    stored: dict[str, Stored]  # ``labels`` and ``pseudo`` in `PackedData.labels`

    def hu_for(self, steps: NDArray[np.int64]) -> Stored:
        """Return the coarsest copy of the CT whose blocks are not larger than `steps`, KJI."""
        return next(s for s in reversed(self.stored_hu) if np.all(np.asarray(s.steps) <= steps))


class PackedData:
    """All cases of a file of `CTSAM3DLib.training.packing.pack`, resident on one device.

    `hu` (int16) and `labels` (uint8, pseudo-labels too) hold all volumes, see `Stored`. `tissues`
    tells what CT is made of where only labels exist. Copies of the CTs serve patches of up to
    `coarsest_mm`. Raises ValueError when the file is not a pack of version 1.
    """

    def __init__(self, path: Path, device: torch.device, coarsest_mm: float = 4.5) -> None:
        arrays = read_pack(path)
        entries = json.loads(arrays["header"].tobytes())["cases"]
        self.device = device
        self._sizes = {"hu": 0, "labels": 0}
        self._shared: dict[int, list[Stored]] = {}
        stored = [self._plan(entry, coarsest_mm) for entry in entries]
        self.hu = torch.full((self._sizes["hu"],), int(AIR_HU), dtype=torch.int16)
        self.labels = torch.zeros(self._sizes["labels"], dtype=torch.uint8)
        for kind, flat in (("hu", self.hu), ("labels", self.labels), ("pseudo", self.labels)):
            source = torch.from_numpy(arrays.pop(kind))
            for entry, places in zip(entries, stored, strict=True):
                if entry[kind] is not None:
                    _fill(flat, places[kind], source, int(entry[kind]))
        points = arrays["points"]
        self.hu, self.labels = self.hu.to(device), self.labels.to(device)
        self.cases: list[PackedCase] = []
        self.targets: list[Target] = []
        for entry, places in zip(entries, stored, strict=True):
            self._add(entry, places, points)
        self.tissues = TissueTable.of([tissue_table(e["label_names"]) for e in entries], device)
        self._by_kind = {
            kind: self._grouped([t for t in self.targets if t.kind == kind]) for kind in KINDS
        }

    def _plan(self, entry: dict[str, Any], coarsest_mm: float) -> dict[str, list[Stored]]:
        """Say where the volumes of a case will lie."""
        k, j, i = (int(n) for n in entry["shape"])
        out: dict[str, list[Stored]] = {}
        for kind, flat in (("hu", "hu"), ("labels", "labels"), ("pseudo", "labels")):
            out[kind] = []
            if entry[kind] is None:
                continue
            if kind == "hu" and entry[kind] in self._shared:  # two label maps of one CT
                out[kind] = self._shared[entry[kind]]
                continue
            for steps in _copies(entry["spacing_kji_mm"], coarsest_mm) if kind == "hu" else [ONE]:
                a, b, c = (-(-n // s) for n, s in zip((k, j, i), steps, strict=True))
                place = Stored(self._sizes[flat], (a, b, c), steps)
                out[kind].append(place)
                self._sizes[flat] = place.stop
        self._shared[entry["hu"]] = out["hu"]
        return out

    def _add(
        self, entry: dict[str, Any], places: dict[str, list[Stored]], points: NDArray[np.int16]
    ) -> None:
        if not places["labels"]:
            raise ValueError(f"case {entry['name']!r} has no labels array")
        number = len(self.cases)
        stored = {kind: places[kind][0] for kind in ("labels", "pseudo") if places[kind]}
        self.cases.append(
            PackedCase(
                name=str(entry["name"]),
                family=str(entry["family"]),
                spacing_kji_mm=tuple(entry["spacing_kji_mm"]),
                hu=places["hu"][0].of(self.hu) if places["hu"] else None,
                labels=stored["labels"].of(self.labels),
                pseudo=stored["pseudo"].of(self.labels) if "pseudo" in stored else None,
                stored_hu=tuple(places["hu"]),
                stored=stored,
            )
        )
        human = is_human(str(entry["label_origin"]))
        for target in entry["targets"]:
            if entry["hu"] is None:
                kind = "synthetic"
            elif target["kind"] == "pseudo":
                kind = "pseudo"
            elif str(entry["label_origin"]) == ANNOTATED:
                kind = "annotated"
            else:
                kind = "human" if human else "machine"
            start, count = int(target["points"]), int(target["count"])
            voxels, value = int(target.get("voxels", count)), int(target["value"])
            own = points[start : start + count]
            name = target["name"]
            self.targets.append(Target(number, target["kind"], value, name, kind, voxels, own))

    @staticmethod
    def _grouped(targets: list[Target]) -> list[list[Target]]:
        """Group by anatomy where it is named, else by case: rare anatomies are drawn as often."""
        groups: dict[str, list[Target]] = {}
        for target in targets:
            groups.setdefault(target.name or f"case {target.case}", []).append(target)
        return list(groups.values())

    def never_drawn(self, weights: dict[str, float]) -> list[str]:
        """Return the kinds of target that are here but have no weight."""
        return [kind for kind in KINDS if self._by_kind[kind] and weights.get(kind, 0.0) <= 0]

    def draw(self, rng: np.random.Generator, weights: dict[str, float]) -> Target:
        """Draw a target: its kind by weight, then an anatomy, then a case, the last two uniformly.

        Raises ValueError when no kind with a positive weight has a target.
        """
        kinds = [k for k in KINDS if weights.get(k, 0.0) > 0 and self._by_kind[k]]
        if not kinds:
            raise ValueError(
                f"no target for the weights {weights}; the pack holds {len(self.targets)}"
            )
        share = np.array([weights[k] for k in kinds])
        groups = self._by_kind[kinds[int(rng.choice(len(kinds), p=share / share.sum()))]]
        # Square root of the group's size: between one vote an anatomy and one vote a case.
        size = np.sqrt([len(g) for g in groups])
        group = groups[int(rng.choice(len(groups), p=size / size.sum()))]
        return group[int(rng.integers(len(group)))]


def _copies(spacing_kji_mm: list[float], coarsest_mm: float) -> list[tuple[int, int, int]]:
    """Blocks, from none on, that patches of any voxel size up to `coarsest_mm` average."""
    sizes = sorted(n * s for s in spacing_kji_mm for n in range(1, int(coarsest_mm / s) + 1))
    out = [ONE]
    for size in sizes:
        k, j, i = (max(1, int(size / s + 1e-6)) for s in spacing_kji_mm)
        if (k, j, i) != out[-1]:
            out.append((k, j, i))
    return out


def _fill(flat: Tensor, places: list[Stored], source: Tensor, start: int) -> None:
    """Copy a volume to where it is stored, and its coarser copies."""
    shape = places[0].shape
    volume = source[start : start + math.prod(shape)].view(shape)
    for place in places:
        coarse = volume
        if place.steps != ONE:
            coarse = block_means(volume.float(), np.asarray(place.steps)).round()
        place.of(flat).copy_(coarse)
