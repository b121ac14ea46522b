"""NIfTI headers that contradict themselves: placed as nibabel places them, told, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.io.image import read_volume

HU = np.random.default_rng(0).integers(-1000, 2000, (4, 5, 6)).astype("<i2")
PLACE = np.array([[-0.75, 0, 0, 110], [0, -0.8, 0, -20], [0, 0, 2.5, 300], [0, 0, 0, 1.0]])
Edit = Callable[[Any], object]


def _file(folder: Path, edit: Edit, place: np.ndarray = PLACE) -> Path:
    image = nib.Nifti1Image(HU.transpose(), place)
    image.header.set_xyzt_units("mm")
    image.header.set_qform(place, 1)
    image.header.set_sform(place, 1)
    image.header.set_slope_inter(1, 0)
    image.header["vox_offset"] = 352
    edit(image.header)
    path = folder / "ct.nii"
    path.write_bytes(image.header.binaryblock + bytes(4) + HU.tobytes())
    return path


def _set(**fields: object) -> Edit:
    def edit(header: Any) -> None:
        for name, value in fields.items():
            header[name] = value

    return edit


def _pixdim(*values: float) -> Edit:
    def edit(header: Any) -> None:
        header["pixdim"][: len(values)] = values

    return edit


def _sform(matrix: object, code: int = 1) -> Edit:
    def edit(header: Any) -> None:
        header.set_sform(np.asarray(matrix, float) @ header.get_qform(), code)

    return edit


def _all(*edits: Edit) -> Edit:
    def edit(header: Any) -> None:
        for one in edits:
            one(header)

    return edit


READ: dict[str, Edit] = {
    "axes in another order": lambda header: None,
    "qfac 0": _all(_pixdim(0), _set(sform_code=0)),
    "qfac 5": _all(_pixdim(5), _set(sform_code=0)),
    "qfac -1": _all(_pixdim(-1), _set(sform_code=0)),
    "no unit": _set(xyzt_units=0),
    "a range to show": _set(cal_min=-100, cal_max=200),
    "a fourth and fifth axis of one": _set(dim=[5, 6, 5, 4, 1, 1, 1, 1]),
    "no slope": _set(scl_slope=np.inf, scl_inter=np.nan),
}


@pytest.mark.parametrize("name", READ)
def test_it_is_placed_as_nibabel_places_it(tmp_path: Path, name: str, recwarn: Any) -> None:
    place = PLACE[:, [2, 0, 1, 3]] if "order" in name else PLACE
    path = _file(tmp_path, READ[name], place)
    volume = read_volume(path)
    assert np.array_equal(volume.array_kji, HU)
    assert np.allclose(volume.geometry.ijk_to_ras, nib.load(path).affine, atol=1e-3)
    assert len(recwarn) == 0


TURN = np.array([[0.995, -0.0998, 0, 0], [0.0998, 0.995, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
SHIFT = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 500], [0, 0, 0, 1.0]])
TOLD: dict[str, tuple[Edit, str]] = {
    "turned by 180 degrees": (_sform(np.diag([-1, -1, 1, 1]), 2), "225 mm apart; took the qform"),
    "shifted": (_sform(SHIFT, 2), "500 mm apart; took the qform"),
    "turned a little": (_sform(TURN), r"apart; took the sform"),
    "no place": (_set(qform_code=0, sform_code=0), "the header does not place the image"),
}


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told_what_was_taken(tmp_path: Path, name: str) -> None:
    edit, message = TOLD[name]
    with pytest.warns(UserWarning, match=message):
        volume = read_volume(_file(tmp_path, edit))
    assert np.array_equal(volume.array_kji, HU)


REFUSED: dict[str, tuple[Edit, str]] = {
    "left and right apart": (_sform(np.diag([-1, 1, 1, 1])), "one side for left"),
    "front and back apart": (_sform(np.diag([1, -1, 1, 1]), 2), "one side for left"),
    "code 7": (_set(qform_code=7), "qform code of 0 to 5, got 7"),
    "code -1": (_set(sform_code=-1), "sform code of 0 to 5, got -1"),
    "two sizes of voxels": (_sform(np.diag([1, 1, 2, 1])), "voxels of one size"),
    "pixdim of 1": (_all(_pixdim(1, 1, 1, 1), _set(qform_code=0)), "voxels of one size"),
    "negative pixdim": (_pixdim(1, -0.75), "pixdim of 0.01 to 100 mm, got -0.75"),
    "a quaternion that is too long": (_set(quatern_b=1.2, sform_code=0), "unit quaternion"),
    "a quaternion of NaN": (_set(quatern_b=np.nan, sform_code=0), "unit quaternion"),
    "an sform of zeros": (_set(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4), "finite axes"),
    "an sform without depth": (_set(srow_z=[0, 0, 0, 1]), "finite axes in the sform"),
    "an sform of NaN": (_set(srow_z=[0, 0, np.nan, 1]), "finite axes in the sform"),
    "metres": (lambda header: header.set_xyzt_units("meter"), "got 750, 800, 2500"),
    "micrometres": (lambda header: header.set_xyzt_units("micron"), "got 0.00075"),
    "slope 0": (_set(scl_slope=0, scl_inter=-1024), "slope and intercept, or neither"),
    "intercept NaN": (_set(scl_slope=1, scl_inter=np.nan), "slope and intercept, or neither"),
    "frames": (_set(dim=[5, 6, 5, 2, 1, 2, 1, 1]), "a series of frames"),
    "two axes": (_set(dim=[2, 6, 20, 1, 1, 1, 1, 1]), "expected a 3D image"),
    "a negative size": (_set(dim=[3, 6, -5, 4, 1, 1, 1, 1]), "got 6 x -5 x 4"),
    "no axes": (_set(dim=[0, 6, 5, 4, 1, 1, 1, 1]), "1 to 7 axes"),
    "far away": (_set(qoffset_x=1e6, sform_code=0), "within 20000 mm"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(tmp_path: Path, name: str) -> None:
    edit, message = REFUSED[name]
    with pytest.raises(VolumeError, match=message):
        read_volume(_file(tmp_path, edit))
