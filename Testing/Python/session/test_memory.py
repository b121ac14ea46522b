"""What a session takes is known before, is bounded by patches, and is told when it is too much."""

from __future__ import annotations

import ctypes
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor
from waiting import HANG_S

from CTSAM3DLib.api import open_session, segment
from CTSAM3DLib.engine import ClickRequest, SegmentationEngine
from CTSAM3DLib.errors import NotEnoughMemoryError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click, ClickHistory
from CTSAM3DLib.session import memory as memory_estimate
from CTSAM3DLib.session.memory import (
    FreeMemory,
    free_memory,
    memory_warning,
    session_memory,
)
from CTSAM3DLib.session.session import InteractiveSession

GB = 1_000_000_000
WHOLE_BODY = (1500, 512, 512)
MATRIX = np.diag([0.7, 0.7, 1.0, 1.0])
SETTINGS = BallPredictor(patch_size=64).settings


class Forgetful(ComponentPredictor):
    """Keeps no record of its calls, which would count as memory of the session."""

    def encode(self, patch_hu: np.ndarray):
        embedding = super().encode(patch_hu)
        self.encoded.clear()
        return embedding

    def decode(self, *arguments):
        logits = super().decode(*arguments)
        self.decoded.clear()
        return logits


@pytest.fixture(scope="module")
def whole_body() -> Volume:
    """786 MB of int16, of which the memory holds only the pages of a bright column."""
    array = np.zeros(WHOLE_BODY, np.int16)
    array[100:1400, 230:290, 230:290] = 200
    return Volume(array, Geometry(MATRIX, WHOLE_BODY))


@pytest.fixture
def peak() -> Iterator[Callable[[Callable[[], object]], float]]:
    """Measures what a function takes at its peak, in MB; the volume is not part of it."""
    tracemalloc.start()

    def measured(function: Callable[[], object]) -> float:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        function()
        return (tracemalloc.get_traced_memory()[1] - before) / 1e6

    yield measured
    tracemalloc.stop()


def test_a_whole_body_ct_is_neither_copied_nor_converted(whole_body: Volume, peak) -> None:
    predictor = Forgetful(patch_size=64, level_hu=100.0)
    sessions = []

    def opened() -> None:
        sessions.append(InteractiveSession.for_volume(whole_body, predictor))

    middle, aside = (182.0, 182.0, 750.0), (212.0, 182.0, 750.0)
    estimate = session_memory(whole_body.geometry, SETTINGS)
    assert peak(opened) < 1
    steps = [
        peak(lambda: sessions[0].add_click(middle)),
        peak(lambda: sessions[0].add_click(aside, positive=False)),
        peak(sessions[0].undo),
    ]
    # numpy alone: the stand-in takes some arrays of a patch, the network's share is measured by
    # Testing/Benchmarks/bench_session.py.
    assert max(steps) < 100 < (estimate.click + estimate.network) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "coarse"])
def test_growing_in_a_whole_body_ct_stays_below_its_estimate(
    whole_body: Volume, peak, mode: str
) -> None:
    predictor = Forgetful(patch_size=64, level_hu=100.0)
    session = InteractiveSession.for_volume(whole_body, predictor, grow=mode)
    growing = peak(lambda: session.add_click((182.0, 182.0, 750.0)))
    assert len(session.state.patches) + len(session.state.tips) > 2
    grown = session_memory(whole_body.geometry, SETTINGS, patches_per_click=32)
    assert growing < (grown.click + grown.undo / 30) / 1e6
    assert session.state.mask.nbytes < 30e6


def test_a_step_that_can_be_undone_costs_what_it_changed(whole_body: Volume, peak) -> None:
    predictor = Forgetful(patch_size=64, level_hu=100.0)
    session = InteractiveSession.for_volume(whole_body, predictor)
    session.add_click((182.0, 182.0, 750.0))
    estimate = session_memory(whole_body.geometry, SETTINGS, clicks=1)

    def clicked() -> None:
        for n in range(4):
            session.add_click((182.0 + 5 * n, 182.0, 750.0), positive=n < 2)

    before = tracemalloc.get_traced_memory()[0]
    clicked()
    assert (tracemalloc.get_traced_memory()[0] - before) / 4 < estimate.undo


def test_segmenting_several_structures_makes_no_mask_of_the_whole_volume(
    whole_body: Volume, peak
) -> None:
    clicks = {str(n): {"positive": [[182.0, 182.0, 300.0 * n]]} for n in (1, 2, 3)}
    predictor = Forgetful(patch_size=64, level_hu=100.0)
    results = []
    assert peak(lambda: results.append(segment(whole_body, clicks, predictor))) < 150  # of 393
    assert all(one.mask.voxel_count > 1e5 for one in results[0].segments)


# ---- the estimate


def test_the_estimate_does_not_grow_with_the_size_of_the_ct() -> None:
    short, long = (
        session_memory(Geometry(MATRIX, (size, 512, 512)), SETTINGS) for size in (400, 1500)
    )
    assert short.total == long.total < GB


def test_more_patches_and_finer_voxels_need_more() -> None:
    geometry = Geometry(MATRIX, (400, 512, 512))
    usual = session_memory(geometry, SETTINGS)
    grown = session_memory(geometry, SETTINGS, patches_per_click=32)
    fine = session_memory(Geometry(np.diag([0.3, 0.3, 0.3, 1.0]), (900, 512, 512)), SETTINGS)
    assert grown.undo == 32 * usual.undo
    assert fine.click > 3 * usual.click


@pytest.mark.parametrize(
    ("spacing", "grid"),
    [
        (0.7, 2.0),
        pytest.param(0.4, 4.0, marks=pytest.mark.slow),
        pytest.param(3.0, 2.0, marks=pytest.mark.slow),
    ],
)
def test_a_click_takes_no_more_than_estimated(spacing: float, grid: float, peak) -> None:
    shape = (300, 300, 300)
    geometry = Geometry(np.diag([spacing] * 3 + [1.0]), shape)
    volume = Volume(np.zeros(shape, np.int16), geometry)
    predictor = BallPredictor(patch_size=64, radius=31, spacing_mm=grid)
    session = InteractiveSession.for_volume(volume, predictor, grid)
    estimate = session_memory(geometry, SETTINGS, grid)
    taken = 1e6 * peak(lambda: session.add_click([150 * spacing] * 3))
    assert taken < estimate.click + estimate.network / 8 + estimate.undo / 30


# ---- what is said


def volume(size: int = 40) -> Volume:
    return Volume(np.zeros((size,) * 3, np.int16), Geometry(MATRIX, (size,) * 3))


def predictor(device: str = "cpu") -> SimpleNamespace:
    return SimpleNamespace(settings=SETTINGS, device=device)


def test_embeddings_of_larger_voxels_count() -> None:
    ct = Volume.from_array(np.zeros((60, 60, 60), np.int16), (1.5, 1.5, 1.5))
    usual = InteractiveSession.for_volume(ct, ComponentPredictor(patch_size=16), 1.5).encoder
    encoders = [usual, usual.with_voxels_of(3.0), usual.with_voxels_of(4.0)]
    for encoder in encoders:
        for start in range(usual.max_patches + 2):
            encoder.embedding(BoundingBox((start, 0, 0), (start + 16, 16, 16)))
    one = memory_estimate.EMBEDDING_BYTES_PER_VOXEL * 64**3
    settings = replace(SETTINGS, spacing_range_mm=(1.5, 4.0), default_spacing_mm=1.5)
    alone, followed = (
        session_memory(ct.geometry, settings, patches_per_click=count).embeddings / one
        for count in (1, 32)
    )
    assert (alone, followed) == (len(usual), sum(len(encoder) for encoder in encoders))
    assert followed > alone


def test_enough_memory_needs_no_words() -> None:
    assert memory_warning(volume(), predictor(), free=FreeMemory(8 * GB, 8 * GB)) is None


def test_little_memory_is_a_warning_that_says_what_to_do() -> None:
    text = memory_warning(volume(), predictor(), free=FreeMemory(GB // 2, 8 * GB))
    assert text is not None
    assert text.startswith("Up to 0.9 GB of memory may be needed and 0.5 GB are free")
    assert "Crop Volume" in text


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(NotEnoughMemoryError, match=r"expected 0\.4 GB .* got 0\.1 GB free: close"):
        memory_warning(volume(), predictor(), free=FreeMemory(GB // 10, GB // 10))


def test_the_network_on_a_card_needs_no_main_memory() -> None:
    little = FreeMemory(GB // 5, 8 * GB)
    assert memory_warning(volume(), predictor("cuda:0"), free=little) is None
    assert memory_warning(volume(), predictor("cuda:0"), grow=True, free=little) is not None
    assert memory_warning(volume(), predictor(), free=little) is not None


def test_a_system_that_tells_nothing_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_estimate, "free_memory", lambda: None)
    assert memory_warning(volume(), predictor()) is None
    assert "got none free" in str(memory_estimate.memory_error(MemoryError()))


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_estimate, "free_memory", lambda: FreeMemory(GB // 20, 8 * GB))


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_estimate, "free_memory", lambda: FreeMemory(0, 0))


def test_opening_a_session_logs_the_warning(little_memory, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        open_session(volume(), BallPredictor(patch_size=64))
    assert "of memory may be needed" in caplog.text


def test_opening_a_session_without_memory_is_refused(no_memory) -> None:
    with pytest.raises(NotEnoughMemoryError, match="Crop Volume"):
        open_session(volume(), BallPredictor(patch_size=64))


def asked(structures: int) -> list[tuple[str, ...]]:
    """Return the notices of the answers to one click each on several structures of a CT."""
    engine = SegmentationEngine(lambda model, device: BallPredictor(patch_size=64))
    nothing, ct = ClickHistory(), volume()
    try:
        requests = [
            ClickRequest(ct, "ct", n, nothing, nothing.added(Click((9.0, 9.0, 9.0))))
            for n in range(structures)
        ]
        return [engine.request(one).result(HANG_S).notices for one in requests]
    finally:
        engine.close()


def test_the_engine_warns_once_for_a_volume(little_memory) -> None:
    first, second = asked(2)
    assert len(first) == 1
    assert "of memory may be needed" in first[0]
    assert second == ()


def test_the_engine_refuses_what_cannot_fit(no_memory) -> None:
    with pytest.raises(NotEnoughMemoryError, match="for a click in this CT"):
        asked(1)


# ---- what operating systems tell


def test_this_system_tells() -> None:
    free = free_memory()
    if free is not None:
        assert 10_000_000 < free.available <= free.with_swap


def on(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(memory_estimate.sys, "platform", platform)


def test_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "MemTotal: 8000 kB\nMemAvailable:  3000 kB\nSwapFree:  500 kB\nHugePages_Total: 0\n"
    (tmp_path / "meminfo").write_text(text)
    on(monkeypatch, "linux")
    monkeypatch.setattr(memory_estimate, "MEMINFO", tmp_path / "meminfo")
    assert free_memory() == FreeMemory(3000 * 1024, 3500 * 1024)
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\n")  # older than 3.14
    assert free_memory() is None


def test_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def status(pointer: object) -> int:
        found = ctypes.cast(pointer, ctypes.POINTER(memory_estimate.MemoryStatus)).contents
        assert found.length == 64
        found.available_physical, found.available_page_file = 3 * GB, 5 * GB
        return 1

    kernel = SimpleNamespace(GlobalMemoryStatusEx=status)
    on(monkeypatch, "win32")
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert free_memory() == FreeMemory(3 * GB, 5 * GB)
    kernel.GlobalMemoryStatusEx = lambda pointer: 0
    assert free_memory() is None


def test_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {b"hw.memsize": 16 * GB, b"kern.memorystatus_level": 25}

    def sysctlbyname(name, value, size, new, length) -> int:
        if name not in known:
            return -1
        kind = ctypes.c_uint64 if name == b"hw.memsize" else ctypes.c_uint32
        ctypes.cast(value, ctypes.POINTER(kind)).contents.value = known[name]
        return 0

    on(monkeypatch, "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(sysctlbyname=sysctlbyname))
    assert free_memory() == FreeMemory(4 * GB, 32 * GB)
    del known[b"kern.memorystatus_level"]
    assert free_memory() is None


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "emscripten")
    assert free_memory() is None
