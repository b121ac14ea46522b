"""Fixtures and guards for every test; missing data and a missing Slicer core skip with a reason."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from CTSAM3DLib.geometry import Volume

gc.disable()  # until all is imported: a quarter of the time of that was spent in it

# Before anything draws: no window, neither from Qt nor from VTK nor from matplotlib.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
os.environ.setdefault("MPLBACKEND", "Agg")

# What a shell starts in the background ignores Ctrl+C, and so does all that it starts itself.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What the product remembers of its user is not that of whoever runs the tests.
_DATA_FOLDER = tempfile.TemporaryDirectory(prefix="ctsam3d-tests-", ignore_cleanup_errors=True)
atexit.register(_DATA_FOLDER.cleanup)
os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = _DATA_FOLDER.name

REPOSITORY = Path(__file__).resolve().parent.parent
NEEDS_SLICER = (
    REPOSITORY / "Testing" / "MRML",
    REPOSITORY / "Testing" / "Slicer",
    REPOSITORY / "CTSAM3DLib" / "mrml",
)

SESSION = pytest.StashKey[pytest.Session]()

# Computers are slow and shared: no time limit for an example or for drawing one. The same examples
# in each run; `make slow` sets CTSAM3D_THOROUGH for more of them.
settings.register_profile(
    "quick",
    deadline=None,
    derandomize=True,
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=200)
settings.load_profile("thorough" if os.environ.get("CTSAM3D_THOROUGH") else "quick")


@lru_cache(maxsize=1)
def missing_for_slicer() -> str:
    """Why the core of 3D Slicer cannot be used here; empty when it can."""
    if importlib.util.find_spec("slicer") is None:
        return "slicer-core is not installed (requirements/slicer.txt)"
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libEGL.so.1")
        except OSError:
            return "libEGL is missing (Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri)"
    try:
        import slicer  # noqa: F401
    except Exception as error:  # a broken wheel may raise anything
        return f"`import slicer` fails: {error}"
    return ""


class _SkippedModule(pytest.Module):
    """A test file that is not imported, because what it imports is missing."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(missing_for_slicer(), allow_module_level=True)


class SlicerGuard:
    """Skips, with the reason, what needs the core of 3D Slicer on a machine without it."""

    @staticmethod
    def _is_skipped(path: Path) -> bool:
        return any(path.is_relative_to(place) for place in NEEDS_SLICER) and bool(
            missing_for_slicer()
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        if not self._is_skipped(module_path):
            return None
        return _SkippedModule.from_parent(parent, path=module_path)

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(
        self, file_path: Path
    ) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
        # Doctests belong to the library; test files and their helpers have none.
        collectors = yield
        unwanted = file_path.is_relative_to(REPOSITORY / "Testing") or self._is_skipped(file_path)
        return [
            collector
            for collector in collectors
            if not (unwanted and type(collector).__name__ == "DoctestModule")
        ]


def pytest_configure(config: pytest.Config) -> None:
    # A plugin of its own, because hooks of a conftest see only the files beside and below it.
    config.pluginmanager.register(SlicerGuard(), "ctsam3d-slicer-guard")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their number: packed ones hold the time, and all processes must agree."""
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) else None


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[SESSION] = session


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collection that tests cause, which is seldom."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    gc.unfreeze()
    if "slicer_core" in sys.modules and SESSION in config.stash:
        # What Python has registered for its end still runs, with that of the stand-in for Slicer.
        # The static objects and threads of Qt, VTK, Mesa, PyTorch and two copies of ITK, which end
        # in no order, are not under test.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(config.stash[SESSION].exitstatus))


def _torch_globals() -> tuple[object, ...]:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "is_grad_enabled"):
        return ()
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        torch.is_autocast_enabled("cpu"),
    )


def _threads() -> set[threading.Thread]:
    # tqdm keeps one monitor thread for the life of the process, Dask the threads of its pools.
    return {
        thread
        for thread in threading.enumerate()
        if type(thread).__name__ != "TMonitor" and not thread.name.startswith("Dask-")
    }


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, torch global, numpy setting or current folder changed."""
    threads, torch_globals = _threads(), _torch_globals()
    numpy_errors, folder = np.geterr(), Path.cwd()
    yield
    for thread in _threads() - threads:
        if thread.name == "QueueFeederThread":  # PyTorch closes its queues without waiting for it
            thread.join(60.0)
    left = [thread.name for thread in _threads() - threads if thread.is_alive()]
    assert not left, f"threads left behind: {left}"
    assert not torch_globals or _torch_globals() == torch_globals, "torch globals changed"
    assert np.geterr() == numpy_errors, "numpy error settings changed"
    assert Path.cwd() == folder, "current folder changed"


@pytest.fixture(scope="session", autouse=True)
def _scripted_once() -> Iterator[None]:
    """Networks that are alike are scripted, and files with the same bytes loaded, once."""
    with pytest.MonkeyPatch.context() as patch:
        if "torch" in sys.modules:
            import torch
            from scripted_once import load_once, script_once

            patch.setattr(torch.jit, "script", script_once(torch.jit.script))
            patch.setattr(torch.jit, "load", load_once(torch.jit.load))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root folder of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real CTs: the environment variable CTSAM3D_DATA, else ../shared/data."""
    named = os.environ.get("CTSAM3D_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "ct").is_dir():
        pytest.skip(f"no real CTs: {folder} has no folder 'ct' (set CTSAM3D_DATA)")
    return folder


@pytest.fixture(scope="session")
def cases(shared_data: Path) -> Path:
    """The folder with inputs that once failed, beside the one with real CTs."""
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no inputs that once failed: there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def torso() -> tuple[Volume, dict[str, NDArray[np.bool_]]]:
    """The generated torso CT in full size and its masks, made once in a process; not to change."""
    from CTSAM3DLib.phantom import torso_phantom

    volume, truth = torso_phantom()
    for mask in truth.values():
        mask.setflags(write=False)
    return volume, truth


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator with the same numbers in every run."""
    return np.random.default_rng(20240322)
