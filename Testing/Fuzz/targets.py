"""Every reader of files from elsewhere, and sound files of its format to begin with."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import numpy as np
import pydicom
import torch
from checkpoint_case import save
from dicom_cases import stack, write_series
from dicom_ct import write_tilted_ct
from learning_case import geometry, scan, write_case, write_image
from manifest_case import CONTENT, entry_values
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from reader_corpus import KINDS, make

from CTSAM3DLib.batch.records import reported
from CTSAM3DLib.batch.table import read_table
from CTSAM3DLib.bundles.checkpoint_file import read_checkpoint
from CTSAM3DLib.bundles.importing import read_import_config
from CTSAM3DLib.bundles.model_card import read_card
from CTSAM3DLib.bundles.predictor import SETTINGS_FILE, TorchPredictor
from CTSAM3DLib.evaluation.cases import find_cases
from CTSAM3DLib.io.clicks import read_clicks, write_clicks
from CTSAM3DLib.io.dicom_seg import write_dicom_seg
from CTSAM3DLib.io.dicom_seg_reader import read_dicom_seg
from CTSAM3DLib.io.image import read_scan
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.io.segmentation import read_segmentation, write_segmentation
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.models.manifest import entry_beside, read_manifest
from CTSAM3DLib.prompts import Box, Click, ClickHistory, Lasso, Scribble
from CTSAM3DLib.training.learning_cases import find_learning_cases, read_learning_case
from Testing.Fuzz.fuzz import Target

A, B, C = (10.0, 20.0, 30.0), (11.5, 20.0, 30.0), (11.5, 24.0, 31.0)
PROMPTS = {
    "liver": ClickHistory([Click(A), Click(B, False)]),
    "spleen": ClickHistory([Scribble((A, B, C)), Lasso((A, B, C)), Box.of_corners(A, C), Click(A)]),
}

SETTINGS = ModelSettings("a", 32, (1.5, 4.0), 2.0, ((-100.0, 100.0),))


def _texts(*texts: str) -> Callable[[Path], Iterator[bytes]]:
    return lambda folder: (text.encode() for text in texts)


def _clicks(folder: Path) -> Iterator[bytes]:
    write_clicks(folder / "written.json", PROMPTS)
    yield (folder / "written.json").read_bytes()
    rows = {
        "liver": {"clicks": [[*A, 1], [*B, 0]]},
        "spleen": {"boxes": [Box.of_corners(A, C).to_json()]},
    }
    yield json.dumps({"coordinate_system": "LPS", "structures": rows}).encode()


def _markups(folder: Path) -> Iterator[bytes]:
    point = {"id": "1", "label": "liver-1", "position": A, "positionStatus": "defined"}
    box = {"type": "ROI", "roiType": "Box", "center": A, "size": [4, 5, 6], "controlPoints": [],
           "orientation": [1, 0, 0, 0, 1, 0, 0, 0, 1]}  # fmt: skip
    for kind in ("Fiducial", "Curve", "ClosedCurve"):
        points = [point, {**point, "position": B}, {**point, "position": C}]
        one = {"type": kind, "coordinateSystem": "LPS", "controlPoints": points}
        yield json.dumps({"markups": [one, box]}).encode()


def _images(kind: str) -> Callable[[Path], Iterator[bytes]]:
    def seeds(folder: Path) -> Iterator[bytes]:
        for seed in range(KINDS.index(kind), 80, len(KINDS)):
            made = make(folder, seed)
            if not made.faults:
                content = made.path.read_bytes()
                packed = kind == "nifti" and content[:2] == b"\x1f\x8b"
                content = gzip.decompress(content) if packed else content
                yield content
                if kind == "nifti":
                    yield gzip.compress(content, mtime=0)
            made.path.unlink()

    return seeds


def _slices(folder: Path) -> Iterator[bytes]:
    write_series(folder / "ct", np.full((5, 16, 16), 50, np.int16), stack(5))
    first = sorted((folder / "ct").iterdir())[2]
    yield first.read_bytes()
    for syntax in (RLELossless, DeflatedExplicitVRLittleEndian):
        dataset = pydicom.dcmread(first)
        if syntax == RLELossless:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / "written.dcm")
        yield (folder / "written.dcm").read_bytes()
    first.unlink()


def _segmentations(folder: Path) -> Iterator[bytes]:
    masks = scan(1)[1].items()
    segments = [
        Segment(name, RegionMask.from_full(mask), clicks=clicks)
        for (name, mask), clicks in zip(masks, PROMPTS.values(), strict=True)
    ]
    write_segmentation(folder / "written.seg.nrrd", segments, geometry(), "a|b")
    packed = (folder / "written.seg.nrrd").read_bytes()
    head, _, voxels = packed.partition(b"\n\n")
    yield packed
    yield head.replace(b"encoding: gzip", b"encoding: raw") + b"\n\n" + gzip.decompress(voxels)


def _dicom_seg(folder: Path) -> Iterator[bytes]:
    own = read_scan(write_tilted_ct(folder / "ct")).volume.geometry
    mask = np.zeros(own.shape_kji, bool)
    mask[2:4, 1:5, 2:7] = True
    segments = [Segment(name, RegionMask.from_full(mask)) for name in ("liver", "a b")]
    write_dicom_seg(folder / "written.dcm", segments, own, folder / "ct")
    yield (folder / "written.dcm").read_bytes()


def _read_dicom_seg(path: Path) -> object:
    ct = path.parent / "ct"
    return read_dicom_seg(path, read_scan(ct).volume.geometry, ct)


def _labels(folder: Path) -> Iterator[bytes]:
    hu, masks = scan(1)
    write_image(folder / "ct.nrrd", hu)
    values = sum(value * mask for value, mask in enumerate(masks.values(), 1))
    write_image(folder / "labels.nii.gz", np.asarray(values, np.uint8))
    yield b'{"1": "spleen", "2": "cyst"}'


def _cases(folder: Path) -> Iterator[bytes]:
    for name in ("ct.nii.gz", "labels.nii.gz"):
        (folder / "case" / name).touch()
    (folder / "case/labels.json").write_text('{"1": "liver", "2": "spleen"}')
    yield b'{"split": "test", "body_region": "abdomen", "label_origin": "human, corrected"}'


def _learning_table(folder: Path) -> Iterator[bytes]:
    write_case(folder, 1)
    yield b"ct,segmentation,patient,name,names\nct.nrrd,organs.seg.nrrd,p1,a,\n"
    yield b"ct,segmentation\nct.nrrd , organs.seg.nrrd\n"


def _model(folder: Path) -> Iterator[bytes]:
    linear = torch.jit.script(torch.nn.Linear(2, 2))
    settings = {SETTINGS_FILE: json.dumps(asdict(SETTINGS))}
    torch.jit.save(linear, str(folder / "written.pt"), _extra_files=settings)
    yield (folder / "written.pt").read_bytes()


def _checkpoints(folder: Path) -> Iterator[bytes]:
    state = {"model_state_dict": {"a.weight": torch.ones(2, 3), "b": torch.zeros(1)}, "epoch": 3}
    for legacy in (False, True):
        yield save(folder / "written.pth", state, legacy=legacy).read_bytes()


def _beside(path: Path) -> object:
    path.with_name("a.pt").write_bytes(CONTENT)
    return entry_beside(path.with_name("a.pt"))


TARGETS = {
    "clicks": Target("a.json", read_clicks, _clicks),
    "markups": Target("a.mrk.json", read_clicks, _markups),
    "fcsv": Target("F.fcsv", read_clicks, _texts(
        "# Markups fiducial file version = 5.2\n# CoordinateSystem = LPS\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "1,10,20,30,0,0,0,1,1,1,0,liver-1,,vtkMRMLScalarVolumeNode1,2,0\n"
        "2,11.5,20,30,0,0,0,1,1,1,0,liver negative,\"a, b\",\n",
        "# Markups fiducial file version = 4.3\n# CoordinateSystem = 0\n"
        "a,1,2,3,0,0,0,1,1,1,0,aorta,,\n",
    )),
    "table": Target("table.csv", lambda path: read_table(path, path.parent, warn=str), _texts(
        "ct,clicks,name,output\na.nii.gz,a.json,one,one.seg.nrrd\nb.nii.gz,b.json,two,\n",
        "CT;Clicks\n\"c;d.nrrd\";c.json\n",
    )),
    "learning-table": Target("cases.csv", find_learning_cases, _learning_table),
    "nifti": Target("ct.nii", read_scan, _images("nifti")),
    "nrrd": Target("ct.nrrd", read_scan, _images("nrrd")),
    "metaimage": Target("ct.mha", read_scan, _images("mha")),
    "dicom": Target("ct.dcm", read_scan, _images("enhanced")),
    "dicom-folder": Target("ct/1.dcm", lambda path: read_scan(path.parent), _slices),
    "dicom-seg": Target("seg.dcm", _read_dicom_seg, _dicom_seg),
    "segmentation": Target("a.seg.nrrd", read_segmentation, _segmentations),
    "prompts": Target("a.seg.nrrd", read_clicks, _segmentations),
    "labels": Target("labels.json", lambda path: [
        read_learning_case(case) for case in find_learning_cases(path.parent)
    ], _labels),
    "cases": Target("case/meta.json", lambda path: find_cases(path.parents[1], "all"), _cases),
    "report": Target("batch_report.json", reported, _texts(
        '{"cases": [{"case": "a", "status": "done", "structures": []}, {"case": "b", "status": 1}]}'
    )),
    "manifest": Target("models.json", read_manifest, _texts(
        json.dumps({"schema": 1, "default": "a", "models": [entry_values("a.pt")]})
    )),
    "entry": Target("a.pt.json", _beside, _texts(json.dumps(entry_values("a.pt")))),
    "card": Target("card.json", read_card, _texts(
        '{"licence": "MIT", "training_data": [{"name": "a", "licence": "MIT", "url": "b"}],'
        ' "quality": {"dice": 0.9}}'
    )),
    "import-config": Target("config.json", read_import_config, _texts(
        '{"window_hu": [-160, 240], "spacing_mm": 1.5}', '{"window_hu": [[-160, 240]]}'
    )),
    "bundle": Target("a.pt", lambda path: TorchPredictor(path, "cpu"), _model),
    "checkpoint": Target("weights.pth", read_checkpoint, _checkpoints),
}  # fmt: skip


def seeds_of(target: Target, folder: Path) -> list[bytes]:
    """Write what a reader needs into an empty folder, and return sound files for it."""
    (folder / target.file).parent.mkdir(parents=True, exist_ok=True)
    uids = (f"1.2.{number}" for number in itertools.count(1))
    with mock.patch("pydicom.uid.generate_uid", side_effect=uids):
        found = list(target.seeds(folder))
    for path in folder.glob("written*"):
        path.unlink()
    return found
