"""From labels to a bundle with adapters, by the commands."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adapter_case import learner, network

from CTSAM3DLib.bundles.export import export_model
from CTSAM3DLib.bundles.from_training import adapter_for, model_with_adapters
from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.cli.main import main
from CTSAM3DLib.cli.models import describe
from CTSAM3DLib.models.calibration import calibration_of
from CTSAM3DLib.models.folder import locked_folder
from CTSAM3DLib.models.manifest import entry_beside
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.models.tuning import tuned, voxel_size_mm
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig

PRODUCT = {1: "...->...", 2: "kr,ko->ro"}  # of the factors of a change, by their number


def export(source: Path, target: Path, *adapters: str, words: Sequence[str] = ()) -> int:
    card = target.parent / "card.json"
    card.write_text('{"licence": "MIT", "training_data": [{"name": "balls", "licence": "MIT"}]}')
    options = [part for adapter in adapters for part in ("--adapter", adapter)]
    return main(
        ["export", str(source), str(target), "--id", "new", "--card", str(card), *options, *words]
    )


@pytest.fixture(scope="module")
def change(bundle, data, tmp_path_factory) -> Path:
    """Return what the command has learnt; its time ends before the second step."""
    folder = tmp_path_factory.mktemp("run")
    options = ["--structures", "Spleen", "--start-from", str(bundle), "--cpu-minutes", "1e-6"]
    assert main(["train", "adapter", str(data), str(folder), *options]) == 0
    return folder / "adapter.pt"


def test_from_labels_to_a_bundle_by_commands(bundle, change, tmp_path) -> None:
    assert export(bundle, tmp_path / "models.json", f"belly={change}") == 0
    entry = entry_beside(tmp_path / "new.pt")
    assert entry.settings.adapters == {"spleen": "belly"}
    assert describe(entry).endswith("; anatomies with adapters: 1")
    old, new = (TorchPredictor(path, "cpu") for path in (bundle, tmp_path / "new.pt"))
    patch = np.random.default_rng(0).normal(0, 200, (32, 32, 32)).astype(np.float32)
    click = (np.float32([[16, 15, 14]]), np.int64([1]), None)
    before = old.decode(old.encode(patch), *click)
    np.testing.assert_array_equal(new.decode(new.encode(patch), *click), before)
    learnt = deepcopy(network(bundle))
    parameters = dict(learnt.segmenter.named_parameters())
    for name, value in torch.load(change, weights_only=True)["change"].items():
        parameters[name].add_(value)
    with torch.no_grad():
        points = torch.from_numpy(click[0]), torch.from_numpy(click[1])
        embedding = learnt.encode(torch.from_numpy(patch))
        expected = learnt.decode(embedding, *points, None).numpy()
    got = new.decode(new.encode(patch), *click, adapter="belly")
    np.testing.assert_allclose(got, expected, atol=0.002)
    assert np.abs(got - before).max() > 0.01


def test_what_cannot_be_exported_is_told(bundle, change, tmp_path, capsys) -> None:
    target = tmp_path / "models.json"
    state = torch.load(change, weights_only=True)
    torch.save({**state, "parent": "0" * 64}, tmp_path / "foreign.pt")
    torch.save({**state, "change": [1]}, tmp_path / "list.pt")
    torch.save({**state, "change": {"x": torch.ones(1)}}, tmp_path / "other.pt")
    zeros = {name: torch.zeros_like(value) for name, value in state["change"].items()}
    torch.save({**state, "change": zeros}, tmp_path / "zeros.pt")
    (tmp_path / "text.pt").write_text("no state")
    for adapters, message in (
        ([f"belly={tmp_path / 'foreign.pt'}"], "was trained from another bundle"),
        ([f"belly={tmp_path / 'text.pt'}"], "expected adapter.pt of training, got none"),
        ([f"belly={tmp_path / 'none.pt'}"], "expected adapter.pt of training, got none"),
        ([f"belly={tmp_path / 'list.pt'}"], "expected adapter.pt of training, got none"),
        ([f"belly={tmp_path / 'other.pt'}"], "changes 'x' by"),
        ([f"belly={tmp_path / 'zeros.pt'}"], "changes nothing: train it for longer"),
        ([f"a={change}", f"b={change}"], "spleen has an adapter already"),
    ):
        assert export(bundle, target, *adapters) == 2
        assert message in capsys.readouterr().err
        assert not target.exists()
    for adapters, message in (
        (["belly"], "expected NAME=FILE"),
        ([f"a={change}", f"a={change}"], "expected different names, got a, a"),
    ):
        with pytest.raises(SystemExit):
            export(bundle, target, *adapters)
        assert message in capsys.readouterr().err
    words = ["export", str(bundle), str(bundle.parent / "models.json"), "--adapter", f"a={change}"]
    words += ["--card", str(tmp_path / "card.json")]
    with pytest.raises(SystemExit):
        main(words)
    assert "expected --id with its name" in capsys.readouterr().err
    before = bundle.read_bytes()
    assert main([*words, "--id", "tiny"]) == 2
    assert "is the bundle to begin with" in capsys.readouterr().err
    assert bundle.read_bytes() == before


def test_what_was_measured_for_the_bundle_holds_for_that_with_adapters(change, tmp_path) -> None:
    parent = resolve_model()
    state = torch.load(change, weights_only=True)
    kernel = "psap.0.conv0.weight"
    learnt = {kernel: torch.randn(192, 192, 3, 3, 3, generator=torch.Generator().manual_seed(0))}
    torch.save({**state, "parent": parent.sha256, "change": learnt}, tmp_path / "adapter.pt")
    model, adapters = model_with_adapters(parent, {"a": tmp_path / "adapter.pt"}, 3, "mine")
    assert [tuple(f.shape) for f in adapters["a"][kernel]] == [(3, 192), (3, 192 * 27)]
    for name in ("sternum", "hip_left", "liver"):
        assert voxel_size_mm(model.settings, name) == voxel_size_mm(parent.settings, name)
    assert model.settings.intensity_weight == tuned(parent.settings).intensity_weight > 0
    assert calibration_of(model.settings) == calibration_of(parent.settings)
    assert calibration_of(model.settings).is_measured
    same, _ = model_with_adapters(parent, {"a": tmp_path / "adapter.pt"}, 3, parent.model_id)
    assert same.settings.adapters["spleen"] == "a"
    assert same.settings == replace(parent.settings, adapters=same.settings.adapters)


def test_a_share_of_what_was_learnt_is_taken(bundle, change, tmp_path) -> None:
    whole, part = tmp_path / "whole" / "models.json", tmp_path / "part" / "models.json"
    for target in (whole, part):
        target.parent.mkdir()
        words = [] if target is whole else ["--share", "0.25"]
        assert export(bundle, target, f"belly={change}", words=words) == 0
    belly = [
        TorchPredictor(one.parent / "new.pt", "cpu").adapters["belly"] for one in (whole, part)
    ]
    for name, factors in belly[0].items():
        full, quarter = (torch.einsum(PRODUCT[len(f)], *f) for f in (factors, belly[1][name]))
        assert full.norm() > 0
        assert (0.25 * full - quarter).norm() < 0.02 * full.norm()


def test_adapters_that_the_bundle_has_stay_for_other_anatomies(bundle, data, tmp_path, capsys):
    ours = learner(bundle, data, tmp_path)
    ours.names = ["spleen", "liver"]
    ours.step()
    first = ours.write_change(entry_beside(bundle).sha256)
    assert export(bundle, tmp_path / "models.json", f"belly={first}") == 0
    parent = tmp_path / "new.pt"
    before = TorchPredictor(parent, "cpu").adapters["belly"]
    for name, learnt, expected in (
        ("sac", ["gallbladder"], {"spleen": "belly", "liver": "belly", "gallbladder": "sac"}),
        (
            "sac",
            ["spleen", "gallbladder"],
            {"liver": "belly", "spleen": "sac", "gallbladder": "sac"},
        ),
        ("belly", ["spleen"], {"spleen": "belly"}),
    ):
        run = tmp_path / "_".join(learnt)
        options = ["--start-from", str(parent), "--cpu-minutes", "1e-6", "--structures", *learnt]
        assert main(["train", "adapter", str(data), str(run), *options]) == 0
        begins = "begins with the adapter belly" in capsys.readouterr().out
        assert begins == (learnt == ["spleen"])
        assert export(parent, run / "models.json", f"{name}={run / 'adapter.pt'}") == 0
        assert entry_beside(run / "new.pt").settings.adapters == expected
        after = TorchPredictor(run / "new.pt", "cpu").adapters
        assert set(after) == set(expected.values())
        if name == "sac":
            assert after["belly"].keys() == before.keys()
            for kernel, factors in before.items():
                assert all(map(torch.equal, factors, after["belly"][kernel]))


def test_adapters_of_a_bundle_stay_if_its_manifest_does_not_name_them(bundle, change, tmp_path):
    assert export(bundle, tmp_path / "models.json", f"belly={change}") == 0
    entry = entry_beside(tmp_path / "new.pt")
    bare = replace(entry, settings=replace(entry.settings, adapters={}))
    assert adapter_for(bare, ["spleen"])[0] == "belly"
    state = torch.load(change, weights_only=True)
    state |= {"parent": entry.sha256, "anatomies": ["liver"]}
    torch.save(state, tmp_path / "liver.pt")
    model, adapters = model_with_adapters(bare, {"other": tmp_path / "liver.pt"}, 4, "new")
    assert sorted(adapters) == ["belly", "other"]
    assert model.settings.adapters == {"spleen": "belly", "liver": "other"}


def test_a_bundle_of_float32_stays_so(change, tmp_path) -> None:
    made = build_lite(LiteConfig((4, 8, 8, 8, 8), hidden=4), "wide", patch_size=32)
    card = {"licence": "MIT", "training_data": [{"name": "balls", "licence": "MIT"}]}
    export_model(made, tmp_path / "models.json", card, half=False)
    entry = entry_beside(tmp_path / "wide.pt")
    state = torch.load(change, weights_only=True)
    torch.save({**state, "parent": entry.sha256}, tmp_path / "adapter.pt")
    target = tmp_path / "new" / "models.json"
    target.parent.mkdir()
    assert export(entry.path, target, f"belly={tmp_path / 'adapter.pt'}") == 0
    weights = torch.jit.load(str(target.parent / "new.pt")).state_dict()
    for name, value in made.state_dict().items():
        assert torch.equal(weights[name], value), name


def test_two_trainings_in_one_folder_are_refused(data, bundle, tmp_path, capsys) -> None:
    adapter = ["adapter", str(data), str(tmp_path), "--structures", "spleen"]
    run = ["run", str(data), str(tmp_path), "--iterations", "1"]
    cross_patch = ["cross-patch", *run[1:]]
    for words in ([*adapter, "--start-from", str(bundle)], run, cross_patch):
        with locked_folder(tmp_path):
            assert main(["train", *words]) == 2
        assert f"another run is changing {tmp_path}" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
