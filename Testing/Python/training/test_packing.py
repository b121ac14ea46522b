"""Packing: voxels, targets, annotations, cases left out, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from packed_case import ball_case, newer_zip, write_case

from CTSAM3DLib.cli.main import main
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.packing import pack

CPU = torch.device("cpu")


def test_pack_keeps_voxels_and_targets(packed: Path) -> None:
    data = PackedData(packed, CPU)
    assert [c.name for c in data.cases] == ["balls__1", "balls__2", "maps__1"]
    hu, labels = ball_case(1)
    case = data.cases[0]
    assert case.hu is not None
    # Nothing but air is cropped away: 4 voxels of air were there, and the margin is 6.
    np.testing.assert_array_equal(case.hu.numpy(), hu.transpose(2, 1, 0))
    np.testing.assert_array_equal(case.labels.numpy(), labels.transpose(2, 1, 0))
    assert case.spacing_kji_mm == pytest.approx((2.0, 2.0, 2.0))
    kinds = {t.kind for t in data.targets}
    assert kinds == {"human", "machine", "synthetic", "pseudo"}
    for target in data.targets:
        of = data.cases[target.case]
        volume = of.pseudo if target.volume == "pseudo" else of.labels
        assert volume is not None
        k, j, i = target.points[0].tolist()
        assert int(volume[k, j, i]) == target.value


def test_annotations_are_cases_on_the_voxels_of_their_ct(tmp_path: Path) -> None:
    for name in ("balls__1", "balls__2", "balls__3"):
        write_case(tmp_path / "data" / "ct" / name, int(name[-1]))
    labelled = tmp_path / "annotations" / "balls__2"
    write_case(labelled, 2, ct=False)
    (labelled / "labels.json").write_text(json.dumps({"1": "hip_left", "2": "hip_right"}))
    write_case(labelled.parent / "balls__3", 3, ct=False)
    pack(
        tmp_path / "data",
        tmp_path / "out.npz",
        annotations=labelled.parent,
        leave_out=["balls__3"],
    )
    data = PackedData(tmp_path / "out.npz", CPU)
    assert [case.name for case in data.cases] == ["balls__1", "balls__2", "balls__2"]
    ordinary, annotated = data.cases[1:]
    assert ordinary.hu is not None
    assert annotated.hu is not None
    assert ordinary.hu.data_ptr() == annotated.hu.data_ptr()  # stored once
    assert {t.name for t in data.targets if t.kind == "annotated"} == {"hip_left", "hip_right"}
    assert {t.case for t in data.targets if t.kind == "annotated"} == {2}
    with pytest.raises(FileNotFoundError, match="no case balls__9"):
        pack(tmp_path / "data", tmp_path / "other.npz", leave_out=["balls__9"])
    with pytest.raises(FileNotFoundError, match=r"expected <case>/labels\.nii\.gz there"):
        pack(tmp_path / "data", tmp_path / "other.npz", annotations=tmp_path / "no-such-folder")
    small = nibabel.Nifti1Image(np.ones((40, 44, 9), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    nibabel.save(small, labelled / "labels.nii.gz")
    with pytest.raises(ValueError, match=r"expected labels of shape \(48, 44, 40\) KJI, got"):
        pack(tmp_path / "data", tmp_path / "other.npz", annotations=labelled.parent)


def test_packing_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no case of split 'train'"):
        pack(tmp_path, tmp_path / "out.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    with pytest.raises(ValueError, match="expected an array 'header'"):
        PackedData(tmp_path / "other.npz", CPU)


def test_a_file_that_is_no_packed_data_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "data" / "ct" / "balls__1", 1)
    output, cut = tmp_path / "out.npz", tmp_path / "cut.npz"
    words = ["train", "pack", str(tmp_path / "data"), str(output)]
    cutting = ["train", "cut", str(output), str(cut)]
    np.savez(output, mine=np.ones(3))
    before = output.read_bytes()
    assert main(words) == 2
    assert "out.npz exists and was not written by this program" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert main([*words, "--overwrite"]) == 0
    assert main(words) == 0
    for content in (b"my notes", newer_zip()):
        cut.write_bytes(content)
        assert main(cutting) == 2
        assert "cut.npz exists and was not written" in capsys.readouterr().err
        assert cut.read_bytes() == content
    assert main([*cutting, "--overwrite"]) == 0
    assert main(cutting) == 0
