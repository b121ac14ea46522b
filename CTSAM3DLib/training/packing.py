"""Pack CTs and label maps into one array file, so that training needs torch and numpy alone.

The file is an uncompressed ``.npz`` with the flat arrays ``hu`` (int16), ``labels`` and ``pseudo``
(uint8), ``points`` (N, 3) int16 (voxels of each target, KJI) and ``header`` (JSON as bytes).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.io.safe_write import written_atomically
from CTSAM3DLib.training.config import ANNOTATED
from CTSAM3DLib.training.pseudo_labels import pseudo_labels

POINTS_PER_TARGET = 400
SMALLEST_TARGET_VOXELS = 60
BODY_HU = -400
MARGIN_VOXELS = 6


def pack(
    data_dir: Path,
    output: Path,
    split: str = "train",
    pseudo_cases: int = 60,
    limit: int = 0,
    annotations: Path | None = None,
    leave_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Pack the cases of a split into one ``.npz``; returns its header.

    `data_dir` holds ``ct/`` and ``labels_only/``, one folder a case (``ct.nii.gz``,
    ``labels.nii.gz``, ``labels.json``, ``meta.json``). `split` is compared with ``meta.json``.
    `pseudo_cases` CTs with human organ labels also get pseudo-labels; all others always do. `limit`
    is the most cases, 0 for all, annotations not counted. `annotations` holds further label maps,
    one folder a CT of `data_dir` with its name, ``labels.nii.gz`` and ``labels.json``; they become
    cases of their own on the voxels of that CT. Cases named in `leave_out` are not packed. The
    header has one entry a case with its shape, spacing and targets. Raises FileNotFoundError when
    no case of that split is found, there is none of a name in `leave_out` or in `annotations`, or
    `annotations` holds no label map; ValueError when CT and labels of a case differ in shape.
    """
    writer = _Writer()
    folders = sorted((data_dir / "ct").glob("*")) + sorted((data_dir / "labels_only").glob("*"))
    unknown = sorted(set(leave_out) - {folder.name for folder in folders})
    if unknown:
        raise FileNotFoundError(
            f"no case {', '.join(unknown)} under {data_dir}: expected names of its folders"
        )
    label_maps = sorted(annotations.glob("*/labels.nii.gz")) if annotations else []
    if annotations and not label_maps:
        raise FileNotFoundError(
            f"no label map under {annotations}: expected <case>/labels.nii.gz there"
        )
    seen: dict[str, int] = {}
    for folder in folders:
        meta = _meta(folder)
        if meta.get("split") != split or folder.name in leave_out:
            continue
        if limit and len(writer.cases) >= limit:
            break
        family = folder.name.split("__")[0]
        seen[family] = seen.get(family, 0) + 1
        with_pseudo = family != "openkbp" or seen[family] <= pseudo_cases
        writer.add(folder, folder, str(meta.get("label_origin", "")), with_pseudo=with_pseudo)
    for labels in label_maps:
        folder = data_dir / "ct" / labels.parent.name
        if not folder.is_dir():
            raise FileNotFoundError(f"{labels.parent} has no CT: expected a folder {folder}")
        if folder.name not in leave_out and _meta(folder).get("split") == split:
            writer.add(folder, labels.parent, ANNOTATED, with_pseudo=False)
    if not writer.cases:
        raise FileNotFoundError(
            f"no case of split {split!r} under {data_dir}: expected ct/*/meta.json there"
        )
    return writer.write(output)


def is_replaceable_pack(path: Path) -> bool:
    """Tell whether a path is free, or holds an empty file or packed data: no other work is lost.

    Raises OSError: a file that exists cannot be read.

    Examples
    --------
    >>> is_replaceable_pack(Path("no such file")), is_replaceable_pack(Path(__file__))
    (True, False)
    """
    if not path.is_file() or not path.stat().st_size:
        return True
    # Also of a kind of zip that Python does not read, or with odd names.
    with suppress(zipfile.BadZipFile, RuntimeError, ValueError), zipfile.ZipFile(path) as file:
        return {"header.npy", "points.npy"} <= set(file.namelist())
    return False


class _Writer:
    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        kinds = ("hu", "labels", "pseudo", "points")
        self.parts: dict[str, list[NDArray[Any]]] = {kind: [] for kind in kinds}
        self.sizes = dict.fromkeys(self.parts, 0)
        self.hu_starts: dict[Path, int] = {}
        self.rng = np.random.default_rng(0)

    def add(self, folder: Path, labelled: Path, origin: str, *, with_pseudo: bool) -> None:
        hu, spacing = _read(folder / "ct.nii.gz", np.int16)
        labels, labels_spacing = _read(labelled / "labels.nii.gz", np.uint8)
        spacing = spacing or labels_spacing
        if labels is None:
            if hu is None:
                return
            labels = np.zeros(hu.shape, np.uint8)
        if hu is not None and hu.shape != labels.shape:
            raise ValueError(
                f"{labelled}: expected labels of shape {hu.shape} KJI, got {labels.shape}"
            )
        bbox = BoundingBox.from_mask(hu > BODY_HU if hu is not None else labels > 0)
        whole = BoundingBox.from_shape(labels.shape)
        bbox = whole if bbox.is_empty else bbox.padded(MARGIN_VOXELS).intersection(whole)
        box = bbox.slices_kji
        labels = np.ascontiguousarray(labels[box])
        names_file = labelled / "labels.json"
        names = json.loads(names_file.read_text(encoding="utf-8")) if names_file.is_file() else {}
        case: dict[str, Any] = {
            "name": folder.name,
            "family": folder.name.split("__")[0],
            "shape": list(labels.shape),
            "spacing_kji_mm": spacing,
            "label_origin": origin,
            "label_names": names,
            "hu": None,
            "labels": self._append("labels", labels),
            "pseudo": None,
            "targets": [],
        }
        self._targets(case, labels, "labels", names)
        if hu is not None:
            hu = np.ascontiguousarray(hu[box])
            if folder not in self.hu_starts:
                self.hu_starts[folder] = self._append("hu", hu)
            case["hu"] = self.hu_starts[folder]
            if with_pseudo:
                pseudo = pseudo_labels(hu, (spacing[0], spacing[1], spacing[2]))
                case["pseudo"] = self._append("pseudo", pseudo)
                self._targets(case, pseudo, "pseudo", {})
        self.cases.append(case)

    def _append(self, kind: str, array: NDArray[Any]) -> int:
        start = self.sizes[kind]
        self.parts[kind].append(array.reshape(-1, 3) if kind == "points" else array.ravel())
        self.sizes[kind] += len(self.parts[kind][-1])
        return start

    def _targets(
        self, case: dict[str, Any], volume: NDArray[np.uint8], kind: str, names: dict[str, str]
    ) -> None:
        order = np.argsort(volume, axis=None, kind="stable")
        counts = np.bincount(volume.ravel(), minlength=256)
        ends = np.cumsum(counts)
        for value in np.flatnonzero(counts[1:] >= SMALLEST_TARGET_VOXELS) + 1:
            flat = order[ends[value] - counts[value] : ends[value]]
            flat = self.rng.choice(flat, min(len(flat), POINTS_PER_TARGET), replace=False)
            points = np.stack(np.unravel_index(flat, volume.shape), 1).astype(np.int16)
            case["targets"].append(
                {
                    "kind": kind,
                    "value": int(value),
                    "name": names.get(str(value), ""),
                    "voxels": int(counts[value]),
                    "points": self._append("points", points),
                    "count": len(points),
                }
            )

    def write(self, output: Path) -> dict[str, Any]:
        header = {"version": 1, "cases": self.cases}
        types = {"hu": np.int16, "labels": np.uint8, "pseudo": np.uint8, "points": np.int16}
        arrays = {
            kind: np.concatenate(parts) if parts else np.zeros(0, types[kind])
            for kind, parts in self.parts.items()
        }
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with written_atomically(output) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        return header


def _meta(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "meta.json").read_text(encoding="utf-8")))


def _read(path: Path, dtype: type) -> tuple[NDArray[Any] | None, list[float]]:
    """Array KJI and spacing KJI in mm, axes brought to R, A, S; (None, []) without the file."""
    import SimpleITK

    if not path.is_file():
        return None, []
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    # LPS index order to RAS: flip the two in-plane axes.
    array = SimpleITK.GetArrayFromImage(image)[:, ::-1, ::-1]
    return array.astype(dtype), [float(s) for s in image.GetSpacing()[::-1]]
