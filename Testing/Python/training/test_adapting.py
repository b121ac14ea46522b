"""Adapters are learnt from labelled CTs, exported into a bundle, and nothing else changes."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from learning_case import SHAPE, scan, write_image, write_model

from CTSAM3DLib.bundles.export import export_model
from CTSAM3DLib.bundles.from_training import model_with_adapters
from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.cli.main import main
from CTSAM3DLib.cli.models import describe
from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.models.calibration import calibration_of
from CTSAM3DLib.models.manifest import entry_beside
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.models.tuning import tuned, voxel_size_mm
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.training.adapting import AdapterLearner, adapter_scans, mark_of
from CTSAM3DLib.training.episodes import Episode
from CTSAM3DLib.training.lessons import LearnerConfig

CONFIG = LearnerConfig(seconds=1e6, patch_size=32, warmup=1, lessons=1, clicks=1, rate=1e-2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two CTs of the training split, the second one without a cyst."""
    folder = tmp_path_factory.mktemp("data")
    for number, names in enumerate((("spleen", "gallbladder"), ("spleen",))):
        hu, masks = scan(number)
        case = folder / f"case{number}"
        parts = [masks[name] for name in ("spleen", "cyst")][: len(names)]
        labels = np.zeros(SHAPE, np.uint8)
        for value, part in enumerate(parts, 1):
            labels[part] = value
        write_image(case / "ct.nii.gz", hu)
        write_image(case / "labels.nii.gz", labels)
        (case / "labels.json").write_text(json.dumps(dict(enumerate(names, 1))))
        meta = {"split": "train", "body_region": "abdomen", "label_origin": "human"}
        (case / "meta.json").write_text(json.dumps(meta))
    return folder


def network(bundle: Path):
    module = torch.jit.load(str(bundle)).to(torch.float32).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def learner(bundle: Path, data: Path, folder: Path, config: LearnerConfig = CONFIG):
    folder.mkdir(exist_ok=True)
    settings = entry_beside(bundle).settings
    scans = adapter_scans(data, ["spleen"], settings)
    return AdapterLearner(network(bundle), settings, scans, config, folder)


def test_the_structures_of_the_training_split_are_found(bundle, data) -> None:
    settings = entry_beside(bundle).settings
    both = adapter_scans(data, ["spleen", "gallbladder"], settings)
    assert [scan.names for scan in both] == [("spleen", "gallbladder"), ("spleen",)]
    assert np.count_nonzero(both[0].masks[1]) == np.count_nonzero(scan(0)[1]["cyst"])
    left = adapter_scans(data, ["spleen"], settings, leave_out=["case0"])
    assert len(left) == 1
    with pytest.raises(LearningError, match="no case case_1 in"):
        adapter_scans(data, ["spleen"], settings, leave_out=["case_1"])
    with pytest.raises(LearningError, match=r"no CT of the training split .* has gallbladder"):
        adapter_scans(data, ["spleen", "gallbladder"], settings, leave_out=["case0"])


def test_labels_of_annotations_go_before_those_of_the_case(bundle, data, tmp_path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:12, 2:12, 2:12] = 1
    write_image(tmp_path / "case0" / "labels.nii.gz", labels)
    (tmp_path / "case0" / "labels.json").write_text('{"1": "liver"}')
    settings = entry_beside(bundle).settings
    found = adapter_scans(data, ["liver", "spleen"], settings, annotations=tmp_path)
    assert [scan.names for scan in found] == [("spleen", "liver"), ("spleen",)]
    assert np.count_nonzero(found[0].masks[1]) == 1000
    (tmp_path / "case0" / "labels.json").write_text('{"1": "spleen"}')
    found = adapter_scans(data, ["spleen"], settings, annotations=tmp_path)
    assert np.count_nonzero(found[0].masks[0]) == 1000
    (data / "case1" / "labels.json").rename(tmp_path / "kept.json")
    (data / "case0" / "labels.json").rename(tmp_path / "kept0.json")
    try:
        (alone,) = adapter_scans(data, ["spleen"], settings, annotations=tmp_path)
    finally:
        (tmp_path / "kept.json").rename(data / "case1" / "labels.json")
        (tmp_path / "kept0.json").rename(data / "case0" / "labels.json")
    assert np.count_nonzero(alone.masks[0]) == 1000


def test_some_steps_begin_with_a_part_of_the_mask(bundle, data, tmp_path, monkeypatch) -> None:
    begun = []
    prompt = Episode.prompt

    def noted(episode, probability):
        begun.append((probability[0].clone(), episode.target[0, 0] > 0))
        return prompt(episode, probability)

    monkeypatch.setattr(Episode, "prompt", noted)
    for share in (0.0, 1.0):
        config = replace(CONFIG, priors=share, rounds=0.0)
        ours = learner(bundle, data, tmp_path / str(share), config)
        for _ in range(4):
            ours.step()
    empty, parts = begun[:4], begun[4:]
    assert len(parts) == 4
    assert all(float(prior.sum()) == 0 for prior, _ in empty)
    assert all(float(prior[target].mean()) < 0.9 for prior, target in parts)
    assert max(float(prior[target].max()) for prior, target in parts) > 0.5


def test_steps_bring_the_answers_nearer_to_a_lesson(bundle, data, tmp_path) -> None:
    ours = learner(bundle, data, tmp_path)
    encoder = {
        name: value.clone()
        for name, value in ours.student.segmenter.named_parameters()
        if name.startswith(("stem", "stages", "laterals", "fine"))
    }
    losses = []
    for _ in range(6):
        ours.iteration = 0  # the same lesson again
        losses.append(ours.step())
    assert losses[-1] < losses[0] - 0.05
    parameters = dict(ours.student.segmenter.named_parameters())
    for name, value in encoder.items():
        assert torch.equal(parameters[name], value), name


def test_a_run_that_was_stopped_goes_on(bundle, data, tmp_path) -> None:
    straight = learner(bundle, data, tmp_path / "a")
    for _ in range(3):
        straight.step()
    first = learner(bundle, data, tmp_path / "b")
    first.step()
    first.save()
    second = learner(bundle, data, tmp_path / "b")
    second.step()
    second.step()
    for one, other in zip(straight.learnt(), second.learnt(), strict=True):
        assert torch.equal(one, other)
    other = replace(CONFIG, mark="other structures")
    with pytest.raises(LearningError, match="holds a run on other cases"):
        learner(bundle, data, tmp_path / "b", other)


def test_corrections_are_learnt_with_the_answer_before(bundle, data, tmp_path) -> None:
    ours = learner(bundle, data, tmp_path, replace(CONFIG, rounds=1.0))
    asked = []
    decode = ours.student.segmenter.decode

    class Recorded:
        encode = ours.student.segmenter.encode

        def decode(self, embedding, prompt):
            asked.append(prompt.detach())
            return decode(embedding, prompt)

    class Student:
        segmenter = Recorded()

    ours.student = Student()
    ours.step()
    assert len(asked) == 4
    assert asked[0][:, 0].max() == 0.0
    for before, after in pairwise(asked):
        assert after[:, 0].max() > 0.0
        clicks = [float(prompt[:, 1:].sum()) for prompt in (before, after)]
        assert clicks[1] > clicks[0]


def test_other_cases_or_settings_are_another_run(bundle, data) -> None:
    settings = entry_beside(bundle).settings
    both = adapter_scans(data, ["spleen"], settings)
    mark = mark_of("0", both, CONFIG)
    assert mark == mark_of("0", adapter_scans(data, ["spleen"], settings), CONFIG)
    assert mark == mark_of("0", both, replace(CONFIG, seconds=5.0, mark="x"))  # may be lengthened
    assert mark != mark_of("1", both, CONFIG)
    assert mark != mark_of("0", both[:1], CONFIG)
    assert mark != mark_of("0", both, replace(CONFIG, patch_size=48))


def export(source: Path, target: Path, *adapters: str) -> int:
    card = target.parent / "card.json"
    card.write_text('{"licence": "MIT", "training_data": [{"name": "balls", "licence": "MIT"}]}')
    options = [part for adapter in adapters for part in ("--adapter", adapter)]
    return main(["export", str(source), str(target), "--id", "new", "--card", str(card), *options])


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
    assert [tuple(f.shape) for f in adapters["a"][kernel]] == [(192, 3), (3, 192 * 27)]
    for name in ("sternum", "hip_left", "liver"):
        assert voxel_size_mm(model.settings, name) == voxel_size_mm(parent.settings, name)
    assert model.settings.intensity_weight == tuned(parent.settings).intensity_weight > 0
    assert calibration_of(model.settings) == calibration_of(parent.settings)
    assert calibration_of(model.settings).is_measured
    same, _ = model_with_adapters(parent, {"a": tmp_path / "adapter.pt"}, 3, parent.model_id)
    assert same.settings == replace(parent.settings, adapters={"spleen": "a"})


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


def test_a_name_that_is_no_anatomy_is_refused(data, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "adapter", str(data), str(tmp_path), "--structures", "my lesion"])
    assert "expected a name of `python -m CTSAM3DLib anatomies`" in capsys.readouterr().err
