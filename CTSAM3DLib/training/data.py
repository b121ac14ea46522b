"""The packed data in memory, and which target of which case the next sample shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from CTSAM3DLib.training.config import ANNOTATED
from CTSAM3DLib.training.synthesis import TissueTable, tissue_table

BONE = re.compile(
    r"vertebra|rib_|hip|femur|sacrum|scapula|clavicula|humerus|skull|mandible|sternum|bone"
)
AIR = re.compile(r"trachea|airway|sinus")
# Kinds of target: where the label comes from, or that the image itself is synthetic.
KINDS = ("human", "machine", "synthetic", "pseudo", "annotated")


@dataclass(frozen=True)
class Target:
    """One structure of one case."""

    case: int  # Index of the case
    volume: str  # ``labels`` or ``pseudo``
    value: int  # Its value in that volume
    name: str  # Anatomy, empty for pseudo-labels
    kind: str  # One of `KINDS`
    points: Tensor  # (N, 3) int16 voxels of the structure, KJI


@dataclass(frozen=True)
class PackedCase:
    """One packed case: HU (None where only labels exist), labels, pseudo-labels, tissues."""

    name: str
    family: str
    spacing_kji_mm: tuple[float, float, float]
    hu: Tensor | None
    labels: Tensor
    pseudo: Tensor | None
    class_hu: Tensor
    tissues: TissueTable


class PackedData:
    """All cases of a file of `CTSAM3DLib.training.packing.pack`, resident on one device.

    Raises
    ------
    ValueError
        When the file is not a pack of version 1.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        with np.load(path) as arrays:
            if "header" not in arrays:
                message = (
                    f"{path} is no packed data: expected an array 'header', got {arrays.files}"
                )
                raise ValueError(message)
            header = json.loads(arrays["header"].tobytes())
            flat = {
                kind: torch.from_numpy(arrays[kind]).to(device)
                for kind in ("hu", "labels", "pseudo", "points")
            }
        self.device = device
        self.cases: list[PackedCase] = []
        self.targets: list[Target] = []
        for entry in header["cases"]:
            self._add(entry, flat)
        self._by_kind = {
            kind: self._grouped([t for t in self.targets if t.kind == kind]) for kind in KINDS
        }

    def _add(self, entry: dict[str, object], flat: dict[str, Tensor]) -> None:
        shape = tuple(int(n) for n in entry["shape"])  # type: ignore[attr-defined]
        voxels = int(np.prod(shape))

        def view(kind: str) -> Tensor | None:
            start = entry[kind]
            if start is None:
                return None
            return flat[kind][int(start) : int(start) + voxels].view(shape)  # type: ignore[call-overload]

        labels = view("labels")
        if labels is None:
            message = f"case {entry['name']!r} has no labels array"
            raise ValueError(message)
        names: dict[str, str] = entry["label_names"]  # type: ignore[assignment]
        number = len(self.cases)
        self.cases.append(
            PackedCase(
                name=str(entry["name"]),
                family=str(entry["family"]),
                spacing_kji_mm=tuple(entry["spacing_kji_mm"]),  # type: ignore[arg-type]
                hu=view("hu"),
                labels=labels,
                pseudo=view("pseudo"),
                class_hu=class_hu(names).to(self.device),
                tissues=tissue_table(names, self.device),
            )
        )
        human = "human (" in str(entry["label_origin"])
        for target in entry["targets"]:  # type: ignore[attr-defined]
            if entry["hu"] is None:
                kind = "synthetic"
            elif target["kind"] == "pseudo":
                kind = "pseudo"
            elif str(entry["label_origin"]) == ANNOTATED:
                kind = "annotated"
            else:
                kind = "human" if human else "machine"
            start, count = int(target["points"]), int(target["count"])
            self.targets.append(
                Target(
                    number,
                    target["kind"],
                    int(target["value"]),
                    target["name"],
                    kind,
                    flat["points"][start : start + count],
                )
            )

    @staticmethod
    def _grouped(targets: list[Target]) -> list[list[Target]]:
        """Group by anatomy where it is named, else by case: rare anatomies are drawn as often."""
        groups: dict[str, list[Target]] = {}
        for target in targets:
            groups.setdefault(target.name or f"case {target.case}", []).append(target)
        return list(groups.values())

    def draw(self, rng: np.random.Generator, weights: dict[str, float]) -> Target:
        """Draw a target: its kind by weight, then an anatomy, then a case, the last two uniformly.

        Raises
        ------
        ValueError
            When no kind with a positive weight has a target.
        """
        kinds = [k for k in KINDS if weights.get(k, 0.0) > 0 and self._by_kind[k]]
        if not kinds:
            message = f"no target for the weights {weights}; the pack holds {len(self.targets)}"
            raise ValueError(message)
        share = np.array([weights[k] for k in kinds])
        groups = self._by_kind[kinds[int(rng.choice(len(kinds), p=share / share.sum()))]]
        # Square root of the group's size: between one vote an anatomy and one vote a case.
        size = np.sqrt([len(g) for g in groups])
        group = groups[int(rng.choice(len(groups), p=size / size.sum()))]
        return group[int(rng.integers(len(group)))]


def class_hu(names: dict[str, str]) -> Tensor:
    """Return the typical HU of each label value, for CT made from label maps: (256,) float32.

    `names` maps label values (as text) to anatomies; 45 HU (soft tissue) where nothing else is
    known.

    Examples
    --------
    >>> table = class_hu({"1": "lung_upper_lobe_left", "2": "rib_left_7", "3": "liver"})
    >>> [float(v) for v in table[1:4]]
    [-820.0, 320.0, 45.0]
    """
    table = torch.full((256,), 45.0)
    for value, name in names.items():
        if "lung_" in name:
            table[int(value)] = -820.0
        elif AIR.search(name):
            table[int(value)] = -950.0
        elif BONE.search(name):
            table[int(value)] = 320.0
        elif "bladder" in name:
            table[int(value)] = 10.0
    return table
