"""Names that are taken, and failures on the way: nothing is overwritten or left behind."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from checkpoint_case import content_of, know_micro, micro_state, save, use_data_folder
from disk_cases import run_command as run
from file_faults import full_disk
from slow_values import slow

from CTSAM3DLib.bundles.importing import ImportRequest, import_official
from CTSAM3DLib.errors import BundleError, ModelExistsError, OutputFileError
from CTSAM3DLib.models.store import ModelStore

KEY = "image_encoder.stem.proj.1.running_var"


@pytest.fixture(scope="module")
def imported_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the micro network as the model ct-sam3d-micro; for copies of it."""
    folder = tmp_path_factory.mktemp("imported")
    with pytest.MonkeyPatch.context() as patch:
        know_micro(patch)
        models = use_data_folder(folder, patch)
        import_official(ImportRequest(save(folder / "params.pth", micro_state())))
    return models


@pytest.fixture
def imported(models: Path, imported_once: Path) -> Path:
    """Return the user's folder of models, with the model ct-sam3d-micro."""
    return shutil.copytree(imported_once, models)


def test_ids_that_cannot_be_used(imported: Path, checkpoint: Path) -> None:
    models = imported
    before = content_of(models)
    for name, said in {
        "ctsam3d-lite": "expected an id that is free, got 'ctsam3d-lite', which the model in",
        "CTSAM3D-Lite": "expected an id that is free, got 'CTSAM3D-Lite'",
        "CT-sam3d-micro": "expected an id unlike 'ct-sam3d-micro' of another model",
        "default": "expected another id than 'default'",
        "../x": "expected an id of letters",
        "x.pt": "expected an id of letters",
    }.items():
        with pytest.raises(BundleError, match=said):
            import_official(ImportRequest(checkpoint, model_id=name, replace=True))
        assert content_of(models) == before, name


def test_a_model_is_replaced_only_when_asked(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = imported
    state = micro_state()
    state[KEY][0] = 3.5
    second = save(tmp_path / "2.pth", state)
    import_official(ImportRequest(second, model_id="other"))
    before = content_of(models)
    with pytest.raises(ModelExistsError, match="there is a model 'ct-sam3d-micro' already"):
        import_official(ImportRequest(second))
    assert run("import-checkpoint", second) == 2
    assert "(options --replace, --id and --output)" in capsys.readouterr().err
    assert content_of(models) == before
    replaced = import_official(ImportRequest(second, replace=True))
    stored = torch.jit.load(str(replaced.entry.path)).segmenter.state_dict()
    assert float(stored[KEY][0]) == 3.5
    assert set(ModelStore.user().entries()) == {"ct-sam3d-micro", "other"}
    assert content_of(models)["other.pt"] == before["other.pt"]


def test_a_file_that_nobody_lists_is_not_overwritten(models: Path, checkpoint: Path) -> None:
    models.mkdir(parents=True)
    (models / "ct-sam3d-micro.pt").write_bytes(b"something of the user")
    with pytest.raises(ModelExistsError):
        import_official(ImportRequest(checkpoint))
    assert (models / "ct-sam3d-micro.pt").read_bytes() == b"something of the user"


# ---- failures on the way leave nothing


@pytest.mark.parametrize("step", ["full disk", *slow("rename", "manifest")])
@pytest.mark.parametrize("with_others", [True, *slow(False)])
def test_a_failure_while_writing_leaves_all_as_it_was(
    request: pytest.FixtureRequest,
    models: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    with_others: bool,
) -> None:
    if with_others:
        request.getfixturevalue("imported")
    before = content_of(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patch, ExitStack() as stack:
        if step == "full disk":
            stack.enter_context(full_disk(2000))
        elif step == "rename":
            real = Path.replace
            patch.setattr(
                Path,
                "replace",
                lambda a, b: fail() if Path(b).name == "ct-sam3d-micro.pt" else real(a, b),
            )
        else:
            patch.setattr("CTSAM3DLib.bundles.export.write_text_atomically", fail)
        with pytest.raises(OutputFileError, match="cannot write"):
            import_official(ImportRequest(checkpoint, half=True, replace=True))
    assert content_of(tmp_path) == before


def test_a_report_that_raises_ends_the_import(models: Path, checkpoint: Path) -> None:
    told = []

    def stop(text: str) -> None:
        told.append(text)
        if "writing" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_official(ImportRequest(checkpoint), stop)
    assert told[0] == "reading params.pth"
    assert not models.exists()
