"""Bundles: written, loaded, refused; the predictor's numpy side."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from CTSAM3DLib.bundles.export import export_model, write_bundle
from CTSAM3DLib.bundles.model_card import read_card
from CTSAM3DLib.bundles.predictor import (
    TorchPredictor,
    load_predictor,
    resolve_device,
    to_numpy,
    to_tensor,
)
from CTSAM3DLib.cli.export import main
from CTSAM3DLib.cli.main import main as cli_main
from CTSAM3DLib.errors import BundleError, DeviceError, OutputFileError
from CTSAM3DLib.models.store import ModelStore
from CTSAM3DLib.network.build import build_lite, build_official
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.official.sizes import L1, OFFICIAL_VARIANTS
from CTSAM3DLib.training.config import TrainConfig

SMALL = LiteConfig(widths=(4, 8, 8, 16, 16), hidden=4)


@pytest.fixture
def model() -> PromptableModel:
    torch.manual_seed(0)
    return build_lite(SMALL, "small", patch_size=32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a model like `model`; not to change."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("bundle") / "small.pt"
    write_bundle(build_lite(SMALL, "small", patch_size=32), path, half=False)
    return path


def _clicks() -> tuple[np.ndarray, np.ndarray]:
    return np.array([[16, 15, 14], [3, 3, 3]], np.float32), np.array([1, 0])


def test_bundle_gives_what_the_model_gives(model: PromptableModel, bundle: Path) -> None:
    predictor = TorchPredictor(bundle, "cpu")
    hu = np.random.default_rng(0).normal(0, 300, (32, 32, 32)).astype(np.float32)
    points, labels = _clicks()
    previous = np.random.default_rng(1).normal(0, 3, hu.shape).astype(np.float32)
    answer = predictor.decode(predictor.encode(hu), points, labels, previous)
    with torch.inference_mode():
        expected = model.decode(
            model.encode(torch.tensor(hu)),
            torch.tensor(points),
            torch.tensor(labels),
            torch.tensor(previous),
        ).numpy()
    assert answer.dtype == np.float32
    assert float(np.std(expected)) > 1e-3
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert predictor.settings == model.settings
    assert predictor.device == "cpu"


def test_bundle_holds_no_operator_that_torch_2_2_lacks(bundle: Path) -> None:
    # Scripting torch.nn.functional.interpolate writes every interpolation of the writing version.
    with zipfile.ZipFile(bundle) as archive:
        code = [archive.read(n).decode() for n in archive.namelist() if n.endswith(".py")]
    assert any("def decode" in text for text in code)
    assert not any("_upsample_" in text for text in code)


def test_official_type_decodes_its_own_patch_size() -> None:
    torch.manual_seed(0)
    model = build_official(L1, "l1")
    points, labels = torch.tensor([[30.0, 30.0, 30.0]]), torch.tensor([1])
    with torch.inference_mode():
        logits = model.decode(model.encode(torch.zeros(64, 64, 64)), points, labels, None)
    assert logits.shape == (64, 64, 64)


def test_previous_logits_pass_a_sigmoid(model: PromptableModel) -> None:
    embedding = model.encode(torch.zeros(32, 32, 32))
    points, labels = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    prompt = torch.zeros(1, 3, 32, 32, 32)
    prompt[0, 0] = 0.5
    with torch.inference_mode():
        expected = model.segmenter.decode(embedding, prompt)[0, 0]
        answer = model.decode(embedding, points, labels, torch.zeros(32, 32, 32))
    assert torch.allclose(answer, expected, atol=1e-5)


def test_windows_are_applied_inside(model: PromptableModel) -> None:
    image = model.normalise(torch.tensor([[[[-2000.0, -160.0, 40.0, 240.0, 1400.0]]]]))
    assert image[0, 0].flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert image[0, 1].flatten().tolist()[-1] == pytest.approx(1.0)


@pytest.mark.slow
def test_half_precision_file_is_half_as_large_and_close(
    model: PromptableModel, bundle: Path, tmp_path: Path
) -> None:
    hu = np.random.default_rng(0).normal(0, 300, (32, 32, 32)).astype(np.float32)
    points, labels = _clicks()
    whole = TorchPredictor(bundle, "cpu")
    expected = whole.decode(whole.encode(hu), points, labels, None)
    path = tmp_path / "half.pt"
    write_bundle(model, path)
    half = TorchPredictor(path, "cpu")
    assert path.stat().st_size < 0.75 * bundle.stat().st_size
    np.testing.assert_allclose(
        half.decode(half.encode(hu), points, labels, None), expected, atol=0.02
    )


def test_cross_patch_looks_at_the_neighbour_and_chooses_what_is_unknown(bundle: Path) -> None:
    predictor = TorchPredictor(bundle, "cpu")
    assert predictor.settings.cross_patch_aligned
    hu = np.random.default_rng(1).normal(0, 300, (32, 32, 32)).astype(np.float32)
    known = np.where(np.arange(32)[:, None, None] < 16, hu, np.float32(np.nan))
    mask = np.zeros(hu.shape, bool)
    mask[10:16, 10:20, 10:20] = True
    heat = predictor.cross_patch(known, mask, hu)
    assert heat.shape == (32, 32, 32)
    assert heat.dtype == np.float32
    assert (heat[:16] == 0).all()
    assert 0.0 < heat[16:].max() < 1.0
    # Mask and neighbour count; the HU where something is known say only that it is known.
    assert not np.array_equal(heat, predictor.cross_patch(known, ~mask, hu))
    assert not np.array_equal(heat, predictor.cross_patch(known, mask, hu[::-1].copy()))
    np.testing.assert_array_equal(heat, predictor.cross_patch(known + 100.0, mask, hu))
    np.testing.assert_array_equal(predictor.cross_patch(hu, mask, hu), 0.0)


def test_official_variant_uses_official_click_maps() -> None:
    with torch.device("meta"):
        model = build_official(OFFICIAL_VARIANTS["tiny"], "official-tiny")
    assert model.settings.official
    assert model.overwrite_clicks


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 broken zip"])
def test_a_file_that_is_no_bundle_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"wrong.pt is not a readable TorchScript bundle"):
        TorchPredictor(path, "cpu")


def test_torchscript_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))
    with pytest.raises(BundleError, match="TorchScript but no bundle of CT-SAM3D"):
        TorchPredictor(path, "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "mps", None, 0])
def test_unknown_devices_are_named(name: object) -> None:
    with pytest.raises(DeviceError, match="expected device auto, cpu, cuda or cuda:N"):
        resolve_device(name)  # type: ignore[arg-type]


def test_missing_cuda_device_is_an_error() -> None:
    with pytest.raises(DeviceError, match="choose auto or cpu"):
        resolve_device("cuda:99")


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 3), (1, 1, 1)])
def test_arrays_cross_the_border_unchanged(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    array.setflags(write=False)
    np.testing.assert_array_equal(to_numpy(to_tensor(array)), array)
    np.testing.assert_array_equal(to_numpy(to_tensor(array.T)), array.T)


def _checkpoint(model: PromptableModel, path: Path) -> Path:
    config = TrainConfig(widths=SMALL.widths, hidden=SMALL.hidden).to_dict()
    torch.save({"config": config, "average": model.segmenter.state_dict()}, path)
    return path


def _export(model: PromptableModel, folder: Path, identifier: str) -> None:
    card = folder / "card.json"
    card.write_text(json.dumps({"licence": "Apache-2.0", "training_data": [], "quality": {}}))
    checkpoint = _checkpoint(model, folder / "last.pt")
    arguments = [str(checkpoint), str(folder / "models.json"), "--id", identifier]
    assert main([*arguments, "--card", str(card)]) == 0


def test_export_writes_a_bundle_that_the_store_loads(
    model: PromptableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    _export(model, folder, "fresh")
    _export(model, folder, "second")
    monkeypatch.setenv("CTSAM3D_MODELS", str(folder))
    assert load_predictor(None, "cpu").settings.model_id == "fresh"
    assert load_predictor("second", "cpu").settings.patch_size == 64
    entry = json.loads((folder / "models.json").read_text())["models"][1]
    assert entry["licence"] == "Apache-2.0"
    assert entry["bytes"] == (folder / "fresh.pt").stat().st_size


CARD = {"licence": "MIT", "training_data": [{"name": "a", "licence": "MIT"}]}


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "expected a readable JSON file"),
        ([], "expected the keys licence, training_data .*got list"),
        ({}, r"expected the keys licence, training_data .*got \[\]"),
        ({"licence": "MIT"}, r"got \['licence'\]"),
        ({**CARD, "id": "x"}, r"got \['id', 'licence', 'training_data'\]"),
        ({**CARD, "licence": None}, '"licence": expected text, got None'),
        ({**CARD, "training_data": "a"}, "expected a list of objects, got 'a'"),
        ({**CARD, "training_data": ["a"]}, "training data 1: expected an object with name and"),
        ({**CARD, "training_data": [{"name": "a"}]}, r"name and licence, got \['name'\]"),
        (
            {**CARD, "training_data": [{"name": "a", "licence": 1}]},
            '1, "licence": expected text, got 1',
        ),
        ({**CARD, "quality": 0.9}, '"quality": expected an object, got 0.9'),
    ],
)
def test_export_refuses_a_card_before_anything_is_written(
    model: PromptableModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    card: object,
    said: str,
) -> None:
    path = tmp_path / "card.json"
    path.write_text("{" if card is None else json.dumps(card))
    with pytest.raises(BundleError, match=rf"card\.json: .*{said}"):
        read_card(path)
    checkpoint = _checkpoint(model, tmp_path / "last.pt")
    words = ["export", str(checkpoint), str(tmp_path / "m" / "models.json"), "--card", str(path)]
    assert cli_main(words) == 2
    assert "card.json: " in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("manifest", "identifier", "said"),
    [
        ("other.json", "x", "expected a manifest with the name models.json"),
        ("models.json", "../x", r"expected an id of letters.*got '\.\./x'"),
        ("models.json", "x.pt", r"expected an id of letters.*got 'x\.pt'"),
        ("bad/models.json", "x", "expected a manifest of schema 1, got schema None"),
    ],
)
def test_export_refuses_what_could_not_be_loaded_again(
    model: PromptableModel, tmp_path: Path, manifest: str, identifier: str, said: str
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "models.json").write_text("{}")
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    words = [str(_checkpoint(model, tmp_path / "last.pt")), str(tmp_path / manifest)]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=said):
        main([*words, "--id", identifier, "--card", str(tmp_path / "card.json")])
    assert sorted(tmp_path.rglob("*")) == before


def test_export_makes_the_folder_and_keeps_bundle_and_manifest_in_step(
    model: PromptableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "new" / "folder" / "models.json"
    path = export_model(model, manifest, CARD)
    assert ModelStore([manifest.parent]).default().path == path
    before = {file: file.read_bytes() for file in manifest.parent.iterdir()}
    assert sorted(file.name for file in before) == ["models.json", "small.pt"]

    def fail(*_: object) -> None:
        raise OutputFileError("no room")

    monkeypatch.setattr("CTSAM3DLib.bundles.export.write_text_atomically", fail)
    with torch.no_grad():
        next(model.segmenter.parameters()).add_(1)
    with pytest.raises(OutputFileError, match="no room"):
        export_model(model, manifest, CARD)
    assert {file: file.read_bytes() for file in manifest.parent.iterdir()} == before


def test_an_altered_bundle_is_refused(
    model: PromptableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(model, tmp_path, "fresh")
    data = bytearray((tmp_path / "fresh.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "fresh.pt").write_bytes(bytes(data))
    monkeypatch.setenv("CTSAM3D_MODELS", str(tmp_path))
    with pytest.raises(BundleError, match="SHA-256"):
        load_predictor("fresh", "cpu")
