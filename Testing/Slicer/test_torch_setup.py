"""What is told of PyTorch in every state, and how it is installed."""

from __future__ import annotations

import importlib.metadata
import os
import threading
import unittest
from types import ModuleType, SimpleNamespace
from unittest import mock

import slicer
from CTSAM3DModuleLib.torch_devices import device_choices, has_nvidia_driver
from CTSAM3DModuleLib.torch_setup import TorchKind, TorchSetup, TorchSetupError


def fake_torch(version="2.13.0+cpu", cuda=None, cards=()):
    """Return what a torch of a version says of itself and of the graphics cards."""
    return SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: bool(cards),
            device_count=lambda: len(cards),
            get_device_name=lambda number: cards[number],
        ),
    )


class Extensions:
    """The extensions manager: answers as told and records what it is asked for."""

    def __init__(self, answer=True, works=True, installed=()):
        self.answer, self.works, self.installed, self.calls = answer, works, set(installed), []

    def isExtensionInstalled(self, name):
        return name in self.installed

    def installExtensionFromServer(self, *arguments):
        self.calls.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer and self.works:
            self.installed.add(arguments[0])
        return self.answer


class World:
    """A computer with some modules, on which `installTorch` does as told."""

    def __init__(self, modules=(), after=None, gpu=False, extensions=None):
        self.modules = dict(modules)
        self.after = after  # torch that installTorch brings, None, or an exception
        self.on_disk = None
        self.gpu = gpu
        self.extensions = extensions or Extensions()
        self.calls, self.imported = [], []
        if "PyTorchUtils" in self.modules:
            logic = SimpleNamespace(installTorch=self.install_torch)
            self.modules["PyTorchUtils"] = SimpleNamespace(PyTorchUtilsLogic=lambda: logic)

    def install_torch(self, **options):
        self.calls.append(options)
        if isinstance(self.after, Exception):
            raise self.after
        if self.after is not None:
            self.modules["torch"] = self.after
            self.on_disk = None
        return self.after

    def import_module(self, name):
        self.imported.append(name)
        found = self.modules[name]
        if isinstance(found, Exception):
            raise found
        return found

    def installed_version(self, name):
        if self.on_disk is not None:
            return self.on_disk
        version = getattr(self.modules.get(name), "__version__", None)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    def setup(self):
        return TorchSetup(
            find_spec=lambda name: SimpleNamespace(name=name) if name in self.modules else None,
            import_module=self.import_module,
            installed_version=self.installed_version,
            extensions_model=lambda: self.extensions,
            has_gpu=lambda: self.gpu,
        )


UTILS = ("PyTorchUtils", None)


class StateTest(unittest.TestCase):
    def check(self, world, kind, *, can_compute=False, restart=False, words=()):
        state = world.setup().state()
        self.assertEqual(state.kind, kind)
        self.assertEqual(state.can_compute, can_compute)
        self.assertEqual(state.needs_restart, restart)
        for word in words:
            self.assertIn(word, state.text)
        self.assertTrue(state.text.endswith("."), state.text)
        self.assertNotIn("{", state.text)
        return state

    def test_nothing_is_there(self):
        world = World()
        words = ["extension PyTorch is missing", "Install", "restart"]
        self.check(world, TorchKind.EXTENSION_MISSING, words=words)
        self.assertEqual(world.imported, [])

    def test_extension_waits_for_a_restart(self):
        world = World(extensions=Extensions(installed=["PyTorch"]))
        self.check(world, TorchKind.EXTENSION_MISSING, restart=True, words=["Restart Slicer"])

    def test_a_slicer_without_extensions_manager(self):
        world = World(extensions=SimpleNamespace())
        self.check(world, TorchKind.EXTENSION_MISSING)

    def test_extension_without_torch(self):
        world = World([UTILS])
        state = self.check(world, TorchKind.TORCH_MISSING, words=["not installed yet", "3 GB"])
        self.assertEqual((state.version, state.devices), ("", ()))
        self.assertEqual(world.imported, [])

    def test_torch_for_the_processor(self):
        world = World([("torch", fake_torch())])
        state = self.check(world, TorchKind.READY, can_compute=True, words=["Processor"])
        self.assertEqual(state.version, "2.13.0+cpu")
        self.assertEqual([item.value for item in state.devices], ["cpu"])

    def test_torch_for_graphics_cards(self):
        torch = fake_torch("2.7.1+cu128", cuda="12.8", cards=["Card A", "Card B"])
        world = World([UTILS, ("torch", torch)], gpu=True)
        state = self.check(world, TorchKind.READY, can_compute=True, words=["Card A", "2.7.1"])
        self.assertEqual([item.value for item in state.devices], ["cpu", "cuda:0", "cuda:1"])
        self.assertEqual(state.devices[2].label, "Card B (cuda:1)")

    def test_cpu_build_beside_a_graphics_card(self):
        world = World([("torch", fake_torch())], gpu=True)
        words = ["cannot use the NVIDIA graphics card", "PyTorch Utils", "restart Slicer"]
        self.check(world, TorchKind.CPU_BUILD, can_compute=True, words=words)

    def test_graphics_card_with_an_old_driver(self):
        world = World([("torch", fake_torch("2.7.1", cuda="12.8"))], gpu=True)
        self.check(world, TorchKind.READY, can_compute=True, words=["Update the driver"])

    def test_torch_that_cannot_be_imported(self):
        error = ModuleNotFoundError("No module named 'torchgen'\nsecond line.")
        world = World([UTILS, ("torch", error)])
        state = self.check(world, TorchKind.BROKEN, words=["torchgen", "Uninstall"])
        self.assertNotIn("second line", state.text)
        for broken in (OSError(), RuntimeError("driver trouble.")):
            self.check(World([("torch", broken)]), TorchKind.BROKEN)

    def test_rests_of_torch_are_an_empty_package(self):
        world = World([("torch", ModuleType("torch"))])
        self.check(world, TorchKind.BROKEN, words=["__version__"])

    def test_a_driver_that_raises(self):
        def trouble(number):
            raise RuntimeError("CUDA error: unknown error")

        torch = fake_torch(cuda="12.8", cards=["Card"])
        torch.cuda.get_device_name = trouble
        self.check(World([("torch", torch)]), TorchKind.BROKEN, words=["unknown error"])

    def test_an_old_version_is_not_even_imported(self):
        for version in ("1.13.1+cu117", "2.1.2", "0.4.1"):
            world = World([UTILS, ("torch", fake_torch(version))])
            state = self.check(world, TorchKind.TOO_OLD, words=[version, "2.2 or newer"])
            self.assertEqual(state.version, version)
            self.assertEqual(world.imported, [])
        for version in ("2.2.0", "2.2.2+cpu", "2.10.0.dev1", "3.0"):
            world = World([("torch", fake_torch(version))])
            self.check(world, TorchKind.READY, can_compute=True)

    def test_an_old_version_without_metadata(self):
        world = World([("torch", fake_torch("2.0.1"))])
        world.on_disk = ""
        self.check(world, TorchKind.TOO_OLD, words=["2.2 or newer"])

    def test_an_old_version_is_still_loaded_after_an_update(self):
        world = World([UTILS, ("torch", fake_torch("2.0.1"))])
        world.on_disk = "2.13.0"
        self.check(world, TorchKind.TOO_OLD, restart=True, words=["still in use", "Restart"])

    def test_find_spec_may_raise(self):
        def find_spec(name):
            raise ValueError(f"{name}.__spec__ is None")

        state = TorchSetup(find_spec=find_spec, extensions_model=Extensions).state()
        self.assertEqual(state.kind, TorchKind.EXTENSION_MISSING)

    def test_devices_for_a_combo_box(self):
        torch = fake_torch("2.7.1", cuda="12.8", cards=["Card A"])
        devices = device_choices(World([("torch", torch)]).setup().state().devices)
        self.assertEqual([item.value for item in devices], ["auto", "cpu", "cuda:0"])
        labels = ["Automatic", "Processor (CPU)", "Card A (cuda:0)"]
        self.assertEqual([item.label for item in devices], labels)
        without = device_choices(World().setup().state().devices)
        self.assertEqual([item.value for item in without], ["auto", "cpu"])

    def test_the_state_cannot_be_changed(self):
        state = World().setup().state()
        with self.assertRaises(AttributeError):
            state.kind = TorchKind.READY

    def test_this_computer(self):
        state = TorchSetup().state()
        self.assertIsInstance(state.kind, TorchKind)
        self.assertTrue(state.text)
        self.assertEqual(bool(state.devices), state.can_compute)


class InstallTest(unittest.TestCase):
    def test_torch_is_installed_by_the_extension(self):
        world = World([UTILS], after=fake_torch())
        state = world.setup().install()
        self.assertEqual(state.kind, TorchKind.READY)
        options = {"askConfirmation": False, "torchVersionRequirement": ">=2.2"}
        self.assertEqual(world.calls, [options])
        self.assertEqual(world.extensions.calls, [])

    def test_declined(self):
        state = World([UTILS]).setup().install()
        self.assertEqual(state.kind, TorchKind.TORCH_MISSING)
        self.assertIn("was not installed: it was declined or failed", state.text)

    def test_installation_raises(self):
        error = RuntimeError("pip ended with 1.\nmuch output")
        with self.assertRaises(TorchSetupError) as caught:
            World([UTILS], after=error).setup().install()
        self.assertIn("could not be installed: pip ended with 1. Restart", str(caught.exception))
        self.assertIs(caught.exception.__cause__, error)

    def test_the_module_of_the_extension_is_broken(self):
        world = World([UTILS])
        world.modules["PyTorchUtils"] = ImportError("no qt")
        with self.assertRaisesRegex(TorchSetupError, "could not be installed: no qt"):
            world.setup().install()

    def test_an_old_or_broken_version_is_replaced(self):
        for present in (fake_torch("2.0.1"), ImportError("half")):
            world = World([UTILS, ("torch", present)], after=fake_torch("2.13.0"))
            self.assertEqual(world.setup().install().kind, TorchKind.READY)
            self.assertEqual(len(world.calls), 1)

    def test_still_broken_afterwards(self):
        world = World([UTILS, ("torch", ImportError("half"))])
        state = world.setup().install()
        self.assertEqual(state.kind, TorchKind.BROKEN)
        self.assertIn("was not installed", state.text)

    def test_the_extension_is_installed_first(self):
        world = World(after=fake_torch())
        setup = world.setup()
        state = setup.install()
        self.assertEqual(world.extensions.calls, [("PyTorch", False)])
        self.assertTrue(state.needs_restart)
        self.assertIn("Restart Slicer, then install PyTorch", state.text)
        self.assertEqual(world.calls, [])
        self.assertTrue(setup.install().needs_restart)  # again, before the restart
        self.assertEqual(len(world.extensions.calls), 1)

    def test_the_extension_is_declined_or_fails(self):
        for extensions in (Extensions(answer=False), Extensions(works=False)):
            state = World(extensions=extensions).setup().install()
            self.assertEqual(state.kind, TorchKind.EXTENSION_MISSING)
            self.assertFalse(state.needs_restart)
            self.assertIn("was declined or the download failed", state.text)

    def test_extensions_manager_raises_or_is_missing(self):
        for extensions in (Extensions(answer=RuntimeError("offline")), SimpleNamespace()):
            with self.assertRaisesRegex(TorchSetupError, "extension PyTorch could not be inst"):
                World(extensions=extensions).setup().install()

    def test_an_old_version_without_the_extension(self):
        world = World([("torch", fake_torch("2.0.1"))])
        state = world.setup().install()
        self.assertEqual(state.kind, TorchKind.TOO_OLD)
        self.assertTrue(state.needs_restart)
        installed = World([("torch", ImportError())], extensions=Extensions(installed=["PyTorch"]))
        self.assertTrue(installed.setup().install().needs_restart)
        self.assertEqual(installed.extensions.calls, [])

    def test_nothing_is_done_where_torch_works(self):
        for gpu in (False, True):
            world = World([UTILS, ("torch", fake_torch())], gpu=gpu)
            self.assertTrue(world.setup().install().can_compute)
            self.assertEqual((world.calls, world.extensions.calls), ([], []))

    def test_refused_off_the_main_thread(self):
        world, raised = World([UTILS], after=fake_torch()), []

        def work():
            try:
                world.setup().install()
            except TorchSetupError as error:
                raised.append(str(error))

        thread = threading.Thread(target=work, name="worker 7")
        thread.start()
        thread.join()
        message = "expected install() on the main thread, got thread 'worker 7'"
        self.assertEqual(raised, [message])
        self.assertEqual((world.calls, world.imported), ([], []))

    @unittest.skipUnless(hasattr(slicer, "headless"), "would install an extension")
    def test_the_application_is_asked_for_the_extension(self):
        model = type(slicer.app.extensionsManagerModel())
        with mock.patch.object(model, "installExtensionFromServer") as asked:
            state = TorchSetup(find_spec=lambda name: None).install()
        asked.assert_called_once_with("PyTorch", False)
        self.assertIn("was not installed", state.text)


class DriverTest(unittest.TestCase):
    def test_program_or_driver_file(self):
        def path_of(name):
            return f"/usr/bin/{name}"

        def no_program(name):
            return None

        self.assertTrue(has_nvidia_driver(path_of, lambda file: False))
        self.assertFalse(has_nvidia_driver(no_program, lambda file: False))
        windows = os.environ.get("SYSTEMROOT", "C:/Windows").replace("\\", "/")
        for driver in ("/proc/driver/nvidia/version", f"{windows}/System32/nvcuda.dll"):
            self.assertTrue(
                has_nvidia_driver(no_program, lambda file, wanted=driver: file == wanted)
            )
