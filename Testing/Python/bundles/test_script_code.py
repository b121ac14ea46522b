"""TorchScript of strangers: what does more than compute is not even loaded."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
import torch

from CTSAM3DLib.bundles.predictor import SETTINGS_FILE, TorchPredictor
from CTSAM3DLib.bundles.script_code import check_script
from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.models.store import ModelStore


class _Writes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "made")
        return x


class _Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_file("made", True, 10) + x


class _Computes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu() + 1


def _scripted(module: torch.nn.Module, path: Path) -> Path:
    torch.jit.save(torch.jit.script(module), str(path))
    return path


@pytest.mark.parametrize(("module", "name"), [(_Writes, "save"), (_Maps, "from_file")])
def test_code_that_opens_files_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: type[torch.nn.Module], name: str
) -> None:
    path = _scripted(module(), tmp_path / "model.pt")
    monkeypatch.setattr(torch.jit, "load", None)
    with pytest.raises(BundleError, match=f"its code names '{name}', and a model may only compute"):
        TorchPredictor(path, "cpu")
    assert not (tmp_path / "made").exists()


def test_operators_of_other_libraries_are_refused(tmp_path: Path) -> None:
    path = _scripted(_Computes(), tmp_path / "model.pt")
    check_script(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/code/__torch__/more.py", "def f(x):\n  return ops.mine.run(x)\n")
    with pytest.raises(BundleError, match=r"its code names 'ops\.mine'"):
        check_script(path)


def _renamed(path: Path, old: str, new: str) -> Path:
    """Name the records of an archive otherwise, and store them without zip64."""
    with zipfile.ZipFile(path) as source:
        content = {name.replace(old, new): source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, data in content.items():
            target.writestr(zipfile.ZipInfo(name), data)
    return path


def test_code_is_found_whatever_the_case_of_its_name(tmp_path: Path) -> None:
    path = _renamed(_scripted(_Writes(), tmp_path / "model.pt"), ".py", ".PY")
    torch.jit.load(str(path))  # PyTorch takes it
    with pytest.raises(BundleError, match="its code names 'save'"):
        check_script(path)


def _with_two_directories(shown: bytes, used: bytes) -> bytes:
    """Return an archive of which Python reads the last directory, PyTorch the one that is named."""
    (size, start), (used_size, used_start) = (
        struct.unpack("<II", content[-10:-2]) for content in (shown, used)
    )
    assert size == used_size
    padding = bytes(10_000)  # offsets have no sign
    begin = used_start + len(padding)
    bodies = used[:used_start] + padding + used[used_start : used_start + size] + shown[:start]
    directory = bytearray(shown[start:-22])
    at = 0
    while at < size:
        lengths = struct.unpack_from("<HHH", directory, at + 28)
        (offset,) = struct.unpack_from("<I", directory, at + 42)
        struct.pack_into("<I", directory, at + 42, offset + begin - start)
        at += 46 + sum(lengths)
    return bodies + directory + shown[-22:-6] + struct.pack("<I", begin) + shown[-2:]


def test_an_archive_with_two_directories_is_refused(tmp_path: Path) -> None:
    shown = _renamed(_scripted(_Computes(), tmp_path / "shown.pt"), "shown/", "m/").read_bytes()
    used = _renamed(_scripted(_Writes(), tmp_path / "used.pt"), "used/", "m/").read_bytes()
    path = tmp_path / "model.pt"
    path.write_bytes(_with_two_directories(shown, used))
    with zipfile.ZipFile(path) as archive:
        code = next(name for name in archive.namelist() if name.endswith(".py"))
        assert b"save" not in archive.read(code)
    assert "save" in torch.jit.load(str(path)).code
    with pytest.raises(BundleError, match="its directory of files does not lie right before"):
        check_script(path)


def test_a_directory_with_other_sizes_is_refused_before_pytorch_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = _renamed(_scripted(_Computes(), tmp_path / "shown.pt"), "shown/", "m/")
    used = tmp_path / "used.pt"
    with zipfile.ZipFile(shown) as source, zipfile.ZipFile(used, "w") as target:
        for name in source.namelist():
            more = b" " * 1_000_000 if name.endswith(".py") else b""
            target.writestr(zipfile.ZipInfo(name), source.read(name) + more)
    path = tmp_path / "model.pt"
    path.write_bytes(_with_two_directories(shown.read_bytes(), used.read_bytes()))
    assert len(torch.jit.load(str(path)).code)  # PyTorch takes it
    monkeypatch.setattr(torch._C, "PyTorchFileReader", None)
    with pytest.raises(BundleError, match="its directory of files does not lie right before"):
        check_script(path)


def test_files_that_pytorch_does_not_list_are_refused(tmp_path: Path) -> None:
    path = _renamed(_scripted(_Computes(), tmp_path / "model.pt"), "", "")
    content = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", content, len(content) - 12)
    struct.pack_into("<HH", content, len(content) - 14, count - 1, count - 1)
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not the same for Python and PyTorch"):
        check_script(path)


@pytest.mark.parametrize("letters", [256, 600])
def test_long_names_of_classes_do_not_hide_their_code(tmp_path: Path, letters: int) -> None:
    named = type("Named", (_Writes,), {"__module__": "a" * letters})
    path = _scripted(named(), tmp_path / "model.pt")
    with pytest.raises(BundleError, match="whose name is longer than 255 bytes"):
        check_script(path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = _renamed(_scripted(_Computes(), tmp_path / "model.pt"), "", "")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/VERSION", "3")
    with pytest.raises(BundleError, match="it holds two files of one name"):
        check_script(path)


def test_settings_that_are_no_json_are_named(tmp_path: Path) -> None:
    for text in ("{", "[" * 100_000, "7"):
        path = tmp_path / "model.pt"
        extra = {SETTINGS_FILE: text}
        torch.jit.save(torch.jit.script(_Computes()), str(path), _extra_files=extra)
        with pytest.raises(BundleError, match="settings"):
            TorchPredictor(path, "cpu")


def test_the_bundled_models_only_compute() -> None:
    entries = ModelStore.standard().entries()
    assert entries
    for entry in entries.values():
        check_script(entry.path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = _renamed(_scripted(_Computes(), tmp_path / "bomb.pt"), "", "")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/0", bytes(1000))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24  # the size that the directory of the archive states
    content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    check_script(path)  # 4 GiB may be a model
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/code/huge.py", b" " * (2**26 + 1))
    with pytest.raises(BundleError, match=r"it unpacks to 6710[0-9]+ bytes, at most 67108864"):
        check_script(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no archive")
    with pytest.raises(BundleError, match="is not a readable TorchScript bundle"):
        TorchPredictor(tmp_path / "model.pt", "cpu")
