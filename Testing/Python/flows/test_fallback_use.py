"""What comes of a failing device further up, and the stages with PyTorch itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from failing_gpu import CLICKS, GONE, NO_MEMORY, OOM, PROCESSOR, on_card, volume
from fake_predictor import BallPredictor
from waiting import HANG_S

from CTSAM3DLib.api import segment
from CTSAM3DLib.batch.case import Case, LoadedModel, run_case
from CTSAM3DLib.bundles import predictor as torch_predictor
from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.predictor import TorchPredictor, load_predictor
from CTSAM3DLib.cli.demo import write_image
from CTSAM3DLib.engine import ClickRequest, SegmentationEngine
from CTSAM3DLib.errors import NotEnoughMemoryError
from CTSAM3DLib.models.contract import Predictor, notices_of
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.prompts import ClickHistory
from CTSAM3DLib.session.session import InteractiveSession


def ask(engine: SegmentationEngine, before: int, after: int):
    clicks = InteractiveSession.for_volume(volume(), BallPredictor())
    clicks = [clicks.add_click(*one) and clicks.clicks for one in CLICKS]
    histories = [ClickHistory(), *clicks]
    request = ClickRequest(VOLUME, "ct", "liver", histories[before], histories[after])
    return engine.request(request).result(HANG_S)


VOLUME = volume()


def test_an_answer_of_the_engine_carries_the_sentence_once() -> None:
    predictor, _ = on_card({("cuda:0", 3): OOM(NO_MEMORY)})
    engine = SegmentationEngine(lambda model, device: predictor)
    try:
        answers = [ask(engine, n, n + 1) for n in range(3)]
    finally:
        engine.close()
    assert [len(answer.notices) for answer in answers] == [1, 0, 0]
    assert PROCESSOR in answers[0].notices[0]
    assert answers[2].device == "cpu"


def test_memory_that_runs_out_outside_the_model_is_told_by_the_engine() -> None:
    predictor = BallPredictor(fail_next=MemoryError("Unable to allocate 2.9 GiB for an array"))
    engine = SegmentationEngine(lambda model, device: predictor)
    try:
        with pytest.raises(NotEnoughMemoryError, match=r"expected 2\.9 GiB more"):
            ask(engine, 0, 1)
        assert not ask(engine, 0, 1).update.bbox.is_empty
    finally:
        engine.close()


def test_a_result_for_several_structures_carries_the_sentence() -> None:
    predictor, _ = on_card({("cuda:0", 3): RuntimeError(GONE[0])})
    clicks = {name: {"positive": [[40, 44, 40]]} for name in ("liver", "spleen")}
    result = segment(volume(), clicks, predictor)
    (sentence,) = result.notices
    assert sentence.endswith(PROCESSOR)
    assert notices_of(predictor) == ()
    assert result.device == "cpu"


def test_the_report_of_a_case_carries_the_sentence_and_tells_it(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    write_image(tmp_path / "ct.nii.gz", volume())
    text = '{"coordinate_system": "RAS", "structures": {"liver": {"positive": [[40, 44, 40]]}}}'
    (tmp_path / "clicks.json").write_text(text, encoding="utf-8")
    case = Case(tmp_path / "ct.nii.gz", (tmp_path / "clicks.json",), tmp_path / "out.seg.nrrd")
    predictor, _ = on_card({("cuda:0", 3): OOM(NO_MEMORY)})
    told: list[str] = []
    result, report = run_case(case, LoadedModel(predictor), warn=told.append)
    assert result.notices[0] in report["warnings"]
    assert told.count(result.notices[0]) == 1
    assert report["device"] == "cpu"


# ---- with PyTorch


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small model; not to change."""
    torch.manual_seed(0)
    small = LiteConfig(widths=(4, 8, 8, 16, 16), hidden=4)
    path = tmp_path_factory.mktemp("bundle") / "small.pt"
    write_bundle(build_lite(small, "small", patch_size=32), path, half=False)
    return path


class _CudaModule:
    """A scripted module for which `.to` a card fails, as without a driver."""

    def __init__(self, module: torch.jit.ScriptModule, error: Exception) -> None:
        self._module, self._error = module, error

    def to(self, *targets: object, **options: object):
        if any(isinstance(one, torch.device) and one.type == "cuda" for one in targets):
            raise self._error
        self._module.to(*targets, **options)
        return self

    def eval(self):
        return self

    def __getattr__(self, name: str):
        return getattr(self._module, name)


@pytest.mark.parametrize("error", [OOM(NO_MEMORY), RuntimeError(GONE[1])])
def test_a_real_bundle_whose_card_fails_while_it_is_loaded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    load = torch.jit.load
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(
        torch_predictor.torch.jit, "load", lambda *a, **k: _CudaModule(load(*a, **k), error)
    )
    monkeypatch.setattr(
        torch_predictor, "resolve_model", lambda model: SimpleNamespace(path=bundle)
    )
    predictor = load_predictor("small", "auto")
    assert predictor.device == "cpu"
    (sentence,) = predictor.take_notices()
    assert sentence.endswith(PROCESSOR)
    assert len(clicked_patch(predictor)) == 32


def clicked_patch(predictor: Predictor) -> np.ndarray:
    embedding = predictor.encode(np.zeros((32, 32, 32), np.float32))
    return predictor.decode(embedding, np.array([[9, 9, 9]], np.float32), np.array([1]), None)


def test_the_processor_is_exact_from_the_start(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch_predictor, "resolve_model", lambda model: SimpleNamespace(path=bundle)
    )
    found = clicked_patch(load_predictor("small", "cpu"))
    assert np.array_equal(found, clicked_patch(TorchPredictor(bundle, "cpu")))
