"""The authors' checkpoint becomes a model, by command and by function."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_case import content_of, micro_state, save
from disk_cases import run_command as run

from CTSAM3DLib.bundles.importing import ImportRequest, import_official
from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.errors import BundleError, CheckpointError, OutputFileError
from CTSAM3DLib.models.store import ModelStore, resolve_model

KEY = "image_encoder.stem.proj.1.running_var"


@pytest.mark.slow
def test_a_model_without_cross_patch_weights_is_a_segmenter(models: Path, tmp_path: Path) -> None:
    state = micro_state()
    without = {k: v for k, v in state.items() if not k.startswith("cpp_predictor.")}
    whole = import_official(ImportRequest(save(tmp_path / "a.pth", state), model_id="whole"))
    part = import_official(ImportRequest(save(tmp_path / "b.pth", without), model_id="part"))
    assert (whole.has_cross_patch, part.has_cross_patch) == (True, False)
    predictors = [load_predictor(name, "cpu") for name in ("whole", "part")]
    assert [p.settings.cross_patch_trained for p in predictors] == [True, False]
    hu = np.random.default_rng(1).normal(50, 150, (64, 64, 64)).astype(np.float32)
    point, label = np.array([[30.0, 31.0, 32.0]]), np.array([1])
    answers = [p.decode(p.encode(hu), point, label, None) for p in predictors]
    np.testing.assert_array_equal(*answers)
    heats = [p.cross_patch(hu, hu > 0, hu) for p in predictors]
    assert np.abs(heats[0]).max() > 0.01
    assert heats[1].shape == hu.shape
    assert not heats[1].any()


@pytest.mark.slow
def test_float32_is_exact_and_half_is_close_and_half_as_large(
    models: Path, checkpoint: Path
) -> None:
    whole = import_official(ImportRequest(checkpoint, model_id="whole"))
    half = import_official(ImportRequest(checkpoint, model_id="half", half=True))
    stored = torch.jit.load(str(whole.entry.path)).segmenter.state_dict()
    state = micro_state()
    assert all(torch.equal(stored[key], state[key]) for key in state)
    halved = torch.jit.load(str(half.entry.path)).segmenter.state_dict()
    assert halved[KEY].dtype == torch.float16
    torch.testing.assert_close(halved[KEY].float(), state[KEY], rtol=1e-3, atol=1e-4)


def test_weights_that_half_cannot_hold(models: Path, tmp_path: Path) -> None:
    state = micro_state()
    state[KEY][0] = 1e5
    path = save(tmp_path / "params.pth", state)
    with pytest.raises(CheckpointError, match=rf"up to 65504 for --half.* in {KEY}; .*without"):
        import_official(ImportRequest(path, half=True))
    assert not models.exists()


def test_command_imports_lists_and_removes(
    models: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "c.json").write_text('{"window_hu": [-160, 240], "spacing_mm": 2}')
    words = ("import-checkpoint", checkpoint, "--config", tmp_path / "c.json", "--id", "Mine.1")
    assert run(*words) == 0
    printed = capsys.readouterr().out
    entry = resolve_model("Mine.1")
    size = f"{entry.size_bytes / 1e6:.1f}"
    for line in (
        "reading params.pth ...",
        r"network +CT-SAM3D micro, [\d,]+ parameters",
        r"keys +(\d+) of \1 loaded, all finite",
        "cross-patch +present",
        "HU window +-160 to 240",
        "spacing +2 mm",
        rf"wrote +{re.escape(str(entry.path))} \({size} MB, float32\)",
        rf"SHA-256 +{entry.sha256}",
        r"use it with +--model Mine\.1 \(the default is ctsam3d-lite\)",
    ):
        assert re.search(rf"^{line}$", printed, re.M), line
    assert ModelStore.standard().default().model_id == "ctsam3d-lite"
    assert load_predictor("Mine.1", "cpu").settings.windows_hu == ((-160.0, 240.0),)
    assert run("models") == 0
    printed = capsys.readouterr().out
    assert f"Mine.1  {size} MB  see the checkpoint's own licence  intact" in printed
    assert "official network micro; cross-patch predictor: yes; voxels of 2 mm" in printed
    assert "ctsam3d-lite (default)" in printed
    assert "own network; cross-patch predictor: " in printed
    assert run("models", "remove", "Mine.1") == 0
    assert content_of(models).keys() == {"models.json"}
    assert run("models", "remove", "Mine.1") == 2
    assert "unknown model 'Mine.1'; models that can be removed: none" in capsys.readouterr().err


def test_command_writes_a_file_that_vouches_for_itself(
    models: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "mine.pt"
    assert run("import-checkpoint", checkpoint, "--output", output, "--half") == 0
    assert f"use it with   --model {output}" in capsys.readouterr().out
    assert content_of(output.parent).keys() == {"mine.pt", "mine.pt.json"}
    assert load_predictor(output, "cpu").settings.model_id == "ct-sam3d-micro"
    listed = json.loads((output.parent / "mine.pt.json").read_text())
    assert listed["licence"] == "see the checkpoint's own licence"
    assert listed["training_data"][0]["name"].startswith("TotalSeg++")
    assert listed["source"]["file"] == "params.pth"
    assert not models.exists()
    before = content_of(tmp_path)
    assert run("import-checkpoint", checkpoint, "--output", output) == 2
    assert "there is a file already" in capsys.readouterr().err
    assert content_of(tmp_path) == before
    assert run("import-checkpoint", checkpoint, "--output", output, "--replace") == 0
    assert output.read_bytes() != before["new/mine.pt"]
    assert load_predictor(output, "cpu").settings.model_id == "ct-sam3d-micro"


def test_outputs_that_would_do_harm_are_refused(
    models: Path, checkpoint: Path, tmp_path: Path
) -> None:
    imported = import_official(ImportRequest(checkpoint))
    source = checkpoint.rename(tmp_path / "source.pt")
    before = content_of(tmp_path)
    for output, said in (
        (tmp_path / "x.pth", "expected an output file that ends with .pt, got"),
        (source, "is an input. Write the model to another file"),
        (imported.entry.path, r"expected an output file of its own, got .* which .* lists"),
    ):
        with pytest.raises((BundleError, OutputFileError), match=said):
            import_official(ImportRequest(source, output=output, replace=True))
    assert content_of(tmp_path) == before


def test_official_flags_are_those_of_the_authors(models: Path, checkpoint: Path) -> None:
    imported = import_official(ImportRequest(checkpoint))
    settings = load_predictor(imported.entry.model_id, "cpu").settings
    plain = replace(settings, model_id="x")
    assert plain.official
    assert (plain.patch_size, plain.default_spacing_mm) == (64, 1.5)
    assert imported.entry.settings == settings
