"""Files that are damaged, of another kind, or meant to do harm: refused, and nothing is run."""

from __future__ import annotations

import io
import json
import pickle
import re
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_case import Bomb, micro_state, save

from CTSAM3DLib.bundles.checkpoint_file import read_checkpoint
from CTSAM3DLib.bundles.importing import (
    ImportConfig,
    ImportRequest,
    import_official,
    read_import_config,
)
from CTSAM3DLib.bundles.official_weights import official_weights
from CTSAM3DLib.errors import CheckpointError

LEGACY_NUMBER = 0x1950A86A20F9469CFC6C


def refused(path: Path, models: Path) -> str:
    """Import a file, which must fail and leave no trace; return the text of the error."""
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(CheckpointError) as caught:
        import_official(ImportRequest(path))
    assert not models.exists()
    assert not path.is_file() or path.read_bytes() == before
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text


# ---- files that would do something


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["beside the weights", "as a weight", "alone"])
def test_a_hostile_file_does_nothing(
    models: Path, tmp_path: Path, legacy: bool, place: str
) -> None:
    made = tmp_path / "made"
    bomb = Bomb(made)
    content = {
        "beside the weights": {"model_state_dict": micro_state(), "extra": bomb},
        "as a weight": {"model_state_dict": OrderedDict(micro_state(), extra=bomb)},
        "alone": bomb,
    }[place]
    path = save(tmp_path / "params.pth", content, legacy=legacy)
    text = refused(path, models)
    assert not made.exists()
    assert re.search(
        r"running code, which the import never does: it names (posix|nt)\.mkdir\.", text
    )
    torch.load(path, weights_only=False)  # the file is as hostile as it is said to be
    assert made.exists()


def test_a_hostile_pickle_in_front_of_the_weights_does_nothing(
    models: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    parts = [pickle.dumps(part, 2) for part in (LEGACY_NUMBER, 1001, Bomb(made))]
    path = tmp_path / "params.pth"
    path.write_bytes(b"".join(parts))
    refused(path, models)
    assert not made.exists()


def test_a_plain_pickle_is_not_even_opened(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.pth"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "made"), protocol))
        assert "a pickle that torch.save has not written" in refused(path, models)
    assert not (tmp_path / "made").exists()


def test_torchscript_holds_code_and_is_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions of PyTorch would load it in spite of ``weights_only``."""
    path = tmp_path / "params.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))
    monkeypatch.setattr(torch, "load", None)
    assert "TorchScript archive, which holds code" in refused(path, models)


def test_the_tar_files_of_the_oldest_versions_are_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions of PyTorch would unpack them in spite of ``weights_only``."""
    path = tmp_path / "params.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    monkeypatch.setattr(torch, "load", None)
    assert "as torch.save writes it, got a file of another kind" in refused(path, models)


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_advice_for_files_that_hold_more_than_weights_works(
    models: Path, tmp_path: Path, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"model_state_dict": micro_state(), "best": np.float64(0.9)}
    path = save(tmp_path / "params.pth", content, legacy=legacy)
    text = refused(path, models)
    assert re.search(r"it names numpy\.\S*multiarray\.scalar, numpy\.dtype", text)
    assert "Never do so with a file that you do not trust" in text
    lines = re.findall(r"`(checkpoint = .*?|torch\.save.*?)`", text)
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path)
    names = {"torch": torch}
    for line in lines:
        exec(line, names)
    assert import_official(ImportRequest(tmp_path / "weights.pth")).has_cross_patch


def test_files_of_both_forms_are_read(models: Path, tmp_path: Path) -> None:
    state = micro_state()
    for legacy in (False, True):
        path = save(tmp_path / "params.pth", {"model_state_dict": state}, legacy=legacy)
        weights = official_weights(read_checkpoint(path), "params.pth").state
        assert all(torch.equal(weights[key], state[key]) for key in state)
        parameters = {
            key: torch.nn.Parameter(v) for key, v in state.items() if v.is_floating_point()
        }
        path = save(tmp_path / "params.pth", {**state, **parameters}, legacy=legacy)
        weights = official_weights(read_checkpoint(path), "params.pth").state
        assert all(torch.equal(weights[key], state[key]) for key in state)
        assert not any(value.requires_grad for value in weights.values())


# ---- files that are not what they should be


def test_views_of_a_large_tensor_do_not_take_it_along(models: Path, tmp_path: Path) -> None:
    state = micro_state()
    key = "mask_decoder.spade1.conv_0.bias"
    large = torch.zeros(100_000)
    large[: len(state[key])] = state[key]
    path = save(tmp_path / "params.pth", {**state, key: large[: len(state[key])]})
    weights = official_weights(read_checkpoint(path), "params.pth").state
    assert torch.equal(weights[key], state[key])
    assert weights[key].untyped_storage().nbytes() == 4 * len(state[key])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got an empty file"),
        (b"<!DOCTYPE html><html>not found</html>", "got a file of another kind"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        (b"PK\x03\x04 and no more", "damaged or incomplete; download it again"),
        (b"\x80\x02}q\x00.", "a pickle that torch.save has not written"),
    ],
)
def test_other_files(models: Path, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "params.pth"
    path.write_bytes(content)
    assert said in refused(path, models)


def test_no_file_and_a_folder(models: Path, tmp_path: Path) -> None:
    assert "expected a file, found nothing" in refused(tmp_path / "none.pth", models)
    assert "expected a file, got a folder" in refused(tmp_path, models)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_download_that_broke_off(
    models: Path, tmp_path: Path, legacy: bool, share: float
) -> None:
    path = save(tmp_path / "params.pth", {"model_state_dict": micro_state()}, legacy=legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "damaged or incomplete; download it again" in refused(path, models)


def test_one_wrong_bit_is_found(models: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "params.pth", {"model_state_dict": micro_state()})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert re.search(r"checksum of its record \S+/data/\d+ is wrong", refused(path, models))


def test_archives_of_another_kind(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")
    assert "got a zip archive of another kind" in refused(path, models)
    saved = save(tmp_path / "params.pth", {"model_state_dict": micro_state()})
    with (
        zipfile.ZipFile(saved) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    assert "got compressed ones" in refused(path, models)


# ---- configuration


def config(folder: Path, content: object) -> Path:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, ImportConfig()),
        ({"window_hu": [-160, 240.5]}, ImportConfig((-160.0, 240.5))),
        ({"window_hu": [[-125, 225]]}, ImportConfig((-125.0, 225.0))),
        ({"spacing_mm": 3}, ImportConfig(None, 3.0)),
        ({"spacing_mm": [2.0, 2, 2]}, ImportConfig(None, 2.0)),
    ],
)
def test_values_of_a_configuration(tmp_path: Path, content: object, expected: ImportConfig) -> None:
    assert read_import_config(config(tmp_path, content)) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("window_hu = [1, 2]", "expected readable settings in JSON such as"),
        ("[" * 100_000, "expected readable settings in JSON such as"),
        ([], r"expected settings of window_hu, spacing_mm and nothing else, got \[\]"),
        ({"window": [1, 99]}, r"nothing else, got \['window'\]"),
        ({"window_hu": [225, -125]}, r'"window_hu": expected \[low, high\] in HU.*got \[225'),
        ({"window_hu": [0, 5]}, "at least 10 apart"),
        ({"window_hu": [-1e9, 225]}, "from -2000 to 10000"),
        ({"window_hu": [True, 225]}, "window_hu"),
        ({"window_hu": ["-125", "225"]}, "window_hu"),
        ({"window_hu": [[-125, 225], [0, 80]]}, "window_hu"),
        ({"window_hu": "os.system('x')"}, "window_hu"),
        ('{"window_hu": [NaN, 225]}', "window_hu"),
        ('{"spacing_mm": Infinity}', "spacing_mm"),
        ({"spacing_mm": 0}, r'"spacing_mm": expected one number .* from 0.5 to 5, got 0'),
        ({"spacing_mm": [1.5, 1.5, 3]}, r"three equal ones.*got \[1.5, 1.5, 3\]"),
        ({"spacing_mm": True}, "spacing_mm"),
        ({"spacing_mm": [1.5, 1.5]}, "spacing_mm"),
    ],
)
def test_values_that_no_ct_could_have(tmp_path: Path, content: object, said: str) -> None:
    path = config(tmp_path, content)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(path))}: .*{said}"):
        read_import_config(path)


def test_python_as_configuration_is_refused_before_anything_is_read(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    path = tmp_path / "config.py"
    path.write_text(f"import os\nos.mkdir({str(made)!r})\nwindow_hu = [-125, 225]\n")
    checkpoint = save(tmp_path / "params.pth", {"model_state_dict": micro_state()})
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(CheckpointError, match=r"Python, which would be executed.*\"window_hu\""):
        import_official(ImportRequest(checkpoint, config=path))
    assert not made.exists()
    assert not models.exists()
