"""Adapters are learnt: what is shown, how steps follow each other, which run goes on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from adapter_case import CONFIG, learner
from learning_case import SHAPE, scan, write_image

from CTSAM3DLib.cli.main import main
from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.models.manifest import entry_beside
from CTSAM3DLib.training.adapting import adapter_scans, mark_of
from CTSAM3DLib.training.episodes import Episode


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


@pytest.mark.parametrize(("hasty", "expected"), [(0.0, {False}), (1.0, {True})])
def test_hasty_corrections_are_anywhere(
    bundle, data, tmp_path, monkeypatch, hasty, expected
) -> None:
    corrected = []
    correct = Episode.correct

    def noted(episode, logits, jitter, *, anywhere):
        corrected.append(anywhere)
        correct(episode, logits, jitter, anywhere=anywhere)

    monkeypatch.setattr(Episode, "correct", noted)
    learner(bundle, data, tmp_path, replace(CONFIG, rounds=1.0, hasty=hasty)).step()
    assert set(corrected) == expected


def test_a_run_begins_with_an_adapter(bundle, data, tmp_path) -> None:
    ours = learner(bundle, data, tmp_path)
    kernel, start = next((n, p) for n, p in ours.student.segmenter.named_parameters() if p.ndim > 1)
    change = torch.ones_like(start)
    ours.begin_with({kernel: (change,)})
    ours.save()
    ours = learner(bundle, data, tmp_path)
    ours.begin_with({kernel: (change,)})
    state = torch.load(ours.write_change("parent"), weights_only=True)["change"]
    torch.testing.assert_close(state.pop(kernel), change)
    assert not any(value.any() for value in state.values())
    ours.step()
    ours.save()
    learnt = ours.learnt()
    again = learner(bundle, data, tmp_path)
    again.begin_with({kernel: (change,)})
    assert all(map(torch.equal, again.learnt(), learnt))


def test_other_cases_or_settings_are_another_run(bundle, data) -> None:
    settings = entry_beside(bundle).settings
    both = adapter_scans(data, ["spleen"], settings)
    mark = mark_of("0", both, CONFIG)
    assert mark == mark_of("0", adapter_scans(data, ["spleen"], settings), CONFIG)
    assert mark == mark_of("0", both, replace(CONFIG, seconds=5.0, mark="x"))  # may be lengthened
    assert mark != mark_of("1", both, CONFIG)
    assert mark != mark_of("0", both[:1], CONFIG)
    assert mark != mark_of("0", both, replace(CONFIG, patch_size=48))


def test_a_name_that_is_no_anatomy_is_refused(data, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "adapter", str(data), str(tmp_path), "--structures", "my lesion"])
    assert "expected a name of `python -m CTSAM3DLib anatomies`" in capsys.readouterr().err
