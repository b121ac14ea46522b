"""A model file of a stranger is not loaded, whichever way it comes in."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disk_cases import write_clicks_file, write_ct
from manifest_case import entry_values

import CTSAM3DLib
from CTSAM3DLib.cli.main import main
from CTSAM3DLib.errors import BundleError, CTSAM3DError, UntrustedModelError
from CTSAM3DLib.models.store import user_models_folder

torch = pytest.importorskip("torch")
pytest.importorskip("SimpleITK")

from CTSAM3DLib.bundles.from_training import fill_from_bundle, model_from_checkpoint  # noqa: E402
from CTSAM3DLib.bundles.importing import ImportRequest, import_official  # noqa: E402
from CTSAM3DLib.bundles.predictor import SETTINGS_FILE, load_predictor  # noqa: E402
from CTSAM3DLib.cli.evaluate import model_method  # noqa: E402
from CTSAM3DLib.network.build import build_lite  # noqa: E402
from CTSAM3DLib.network.lite import LiteConfig  # noqa: E402
from CTSAM3DLib.training.config import TrainConfig  # noqa: E402
from CTSAM3DLib.training.learning import LearningRequest, learn  # noqa: E402


class _Computes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu() + 1


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a stranger's model that fits the entry beside it, a CT and clicks."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    path = tmp_path / "theirs.pt"
    torch.jit.save(
        torch.jit.script(_Computes()), str(path), _extra_files={SETTINGS_FILE: json.dumps({})}
    )
    entry = entry_values("theirs.pt", path.read_bytes())
    path.with_name("theirs.pt.json").write_text(json.dumps(entry))
    write_ct(tmp_path / "ct.nrrd")
    write_clicks_file(tmp_path / "clicks.json")
    (tmp_path / "cases.csv").write_text("ct,clicks\nct.nrrd,clicks.json\n")
    monkeypatch.chdir(tmp_path)

    def load(*arguments: object, **options: object) -> None:
        pytest.fail("code of a stranger was loaded")

    monkeypatch.setattr(torch.jit, "load", load)
    return tmp_path


COMMANDS = {
    "segment": "segment ct.nrrd --clicks clicks.json --output x.seg.nrrd --model theirs.pt",
    "batch": "batch cases.csv --output-dir out --model theirs.pt",
    "learn": "learn . --id mine --from theirs.pt --threads 1",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_loads_it(stranger: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(COMMANDS[name].split()) == 2
    assert "theirs.pt was not made on this computer" in capsys.readouterr().err
    assert not (stranger / "x.seg.nrrd").exists()


def test_it_is_no_checkpoint_to_import_either(stranger: Path) -> None:
    with pytest.raises(CTSAM3DError, match="TorchScript"):
        import_official(ImportRequest(stranger / "theirs.pt"))


def _volume() -> CTSAM3DLib.Volume:
    geometry = CTSAM3DLib.Geometry(np.eye(4), (8, 8, 8))
    return CTSAM3DLib.Volume(np.zeros((8, 8, 8), np.int16), geometry)


def _trained(beside: Path) -> Path:
    """Write a checkpoint of a training run."""
    config = TrainConfig(widths=(4, 8, 8, 8, 8), hidden=4).to_dict()
    weights = build_lite(LiteConfig((4, 8, 8, 8, 8), 4)).segmenter.state_dict()
    path = beside.with_name("last.pt")
    torch.save({"config": config, "average": weights}, path)
    return path


CLICKS = {"liver": {"positive": [[1.0, 1.0, 1.0]]}}
EVALUATE = argparse.Namespace(device="cpu", spacing_mm=None)
CALLS: dict[str, Callable[[Path], object]] = {
    "load_predictor": lambda path: load_predictor(path, "cpu"),
    "segment": lambda path: CTSAM3DLib.segment(_volume(), CLICKS, model=path),
    "open_session": lambda path: CTSAM3DLib.open_session(_volume(), model=str(path)),
    "learn": lambda path: learn(LearningRequest(path.parent, "mine", parent=str(path))),
    "evaluate": lambda path: model_method(EVALUATE, "model:it", str(path)),
    "start from": lambda path: fill_from_bundle(_Computes(), path),
    "average with": lambda path: model_from_checkpoint(_trained(path), others=[path]),
    "cross-patch": lambda path: model_from_checkpoint(_trained(path), cross_patch=path),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_function_loads_it(stranger: Path, name: str) -> None:
    with pytest.raises((UntrustedModelError, CTSAM3DError), match="was not made on this computer"):
        CALLS[name](stranger / "theirs.pt")


def test_it_is_loaded_once_the_user_says_so(
    stranger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["models", "trust", "theirs.pt"]) == 0
    assert "trusted theirs.pt, SHA-256" in capsys.readouterr().out
    loaded = []
    monkeypatch.setattr(torch.jit, "load", lambda path, **options: loaded.append(path))
    with pytest.raises(BundleError, match="is TorchScript but no bundle"):
        load_predictor(stranger / "theirs.pt", "cpu")
    assert loaded == [str(stranger / "theirs.pt")]
    moved = shutil.copy("theirs.pt", "moved.pt")  # the content is trusted, wherever it lies
    shutil.copy("theirs.pt.json", "moved.pt.json")
    with pytest.raises(BundleError, match="is TorchScript but no bundle"):
        load_predictor(Path(moved), "cpu")


def test_a_folder_of_the_user_vouches_for_its_models(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = user_models_folder()
    models.mkdir(parents=True)
    shutil.copy("theirs.pt", models / "theirs.pt")
    entry = json.loads(Path("theirs.pt.json").read_text())
    (models / "models.json").write_text(json.dumps({"schema": 1, "models": [entry]}))
    loaded = []
    monkeypatch.setattr(torch.jit, "load", lambda path, **options: loaded.append(path))
    with pytest.raises(BundleError, match="is TorchScript but no bundle"):
        load_predictor("theirs", "cpu")
    assert loaded == [str(models / "theirs.pt")]
