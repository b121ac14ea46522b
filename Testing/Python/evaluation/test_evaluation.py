"""Cases, seeds, classical methods, simulated clicking, averages, reports and the command."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from fake_predictor import BallPredictor

from CTSAM3DLib.cli import evaluate as command
from CTSAM3DLib.errors import CTSAM3DError, GeometryError
from CTSAM3DLib.evaluation.baselines import (
    BASELINES,
    ConfidenceConnected,
    GrowFromSeeds,
    RandomWalker,
)
from CTSAM3DLib.evaluation.cases import Structure, find_cases, load_case, structures_of
from CTSAM3DLib.evaluation.methods import ModelMethod, baseline_method
from CTSAM3DLib.evaluation.protocol import (
    ClickProtocol,
    Step,
    Trace,
    generator_for,
    replay,
    simulate,
)
from CTSAM3DLib.evaluation.report import markdown, save_plot, write_json
from CTSAM3DLib.evaluation.run import evaluate, patch_extent_mm
from CTSAM3DLib.evaluation.seeds import BACKGROUND, FOREGROUND, seeded_box
from CTSAM3DLib.evaluation.summary import Result, mean_row, steadiness_of
from CTSAM3DLib.evaluation.surface_dice import nsd
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click

SPACING = (2.0, 2.0, 3.0)
NEEDS = {
    "confidence_connected": "SimpleITK",
    "grow_from_seeds": "slicer_core",
    "random_walker": "skimage",
}


def ball_volume(noise=6.0):
    """Return a bright ball of radius 20 mm in soft tissue, and its mask."""
    shape = (40, 60, 64)
    k, j, i = np.indices(shape)
    squared = ((k - 20) * 3.0) ** 2 + ((j - 28) * 2.0) ** 2 + ((i - 34) * 2.0) ** 2
    truth = squared <= 20.0**2
    rng = np.random.default_rng(0)
    hu = np.where(truth, 150.0, 30.0) + rng.normal(0, noise, shape)
    return Volume.from_array(np.rint(hu).astype(np.int16), SPACING, name="ball"), truth


def structure_of(volume, truth, case="case", anatomy="ball"):
    spacing = volume.geometry.spacing_mm
    return Structure(case, "torso, human labels", anatomy, truth, truth.sum() * 0.012, spacing)


CENTRE = Click((68.0, 56.0, 60.0))
OUTSIDE = Click((20.0, 20.0, 20.0), positive=False)


@pytest.fixture
def ball():
    return ball_volume()


@pytest.fixture
def data_folder(tmp_path):
    """Give two labelled cases (train and validation) and folders that are no cases."""
    sitk = pytest.importorskip("SimpleITK")
    volume, truth = ball_volume()
    labels = truth.astype(np.uint8) * 3
    labels[2:5, 2:5, 2:5] = 7  # 27 voxels
    labels[30:38, 50:58, 2:12] = 9  # 640 voxels that no label file names
    for name, split, origin in (
        ("b__one", "validation", "human (radiographer)"),
        ("a__two", "train", "TotalSegmentator-produced"),
    ):
        folder = tmp_path / "ct" / name
        folder.mkdir(parents=True)
        for file, array in (("ct", volume.array_kji), ("labels", labels)):
            image = sitk.GetImageFromArray(np.ascontiguousarray(array))
            image.SetSpacing(SPACING)
            sitk.WriteImage(image, str(folder / f"{file}.nii.gz"))
        names = {"3": "liver", "7": "dot", "12": "absent"}
        (folder / "labels.json").write_text(json.dumps(names))
        meta = {"split": split, "body_region": "torso", "label_origin": origin}
        (folder / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "ct" / "c__no_labels").mkdir()
    (tmp_path / "ct" / "c__no_labels" / "meta.json").write_text("{}")
    return tmp_path


# ---- cases -------------------------------------------------------------------------------------


def test_cases_are_found_by_split_and_name(data_folder):
    assert [case.name for case in find_cases(data_folder, "all")] == ["a__two", "b__one"]
    (case,) = find_cases(data_folder / "ct", "validation")
    assert (case.name, case.family) == ("b__one", "torso, human labels")
    assert find_cases(data_folder, "all", "two")[0].label_kind == "machine"
    assert len(find_cases(data_folder, "all", limit=1)) == 1


def test_missing_cases_are_an_error(data_folder):
    with pytest.raises(CTSAM3DError, match=r"expected cases of split 'test'.*among 3 folders"):
        find_cases(data_folder, "test")


def test_damaged_case_is_named(data_folder):
    (data_folder / "ct" / "a__two" / "meta.json").write_text('{"split": "train"}')
    with pytest.raises(CTSAM3DError, match=r"a__two is not a labelled case.*label_origin"):
        find_cases(data_folder, "all")


def test_only_labelled_and_large_structures_are_scored(data_folder):
    case = find_cases(data_folder, "validation")[0]
    volume, labels = load_case(case)
    (liver,) = structures_of(case, volume, labels)
    assert liver.anatomy == "liver"
    np.testing.assert_array_equal(liver.truth_kji, ball_volume()[1])
    assert liver.volume_cm3 == pytest.approx(4 / 3 * np.pi * 2**3, rel=0.03)
    assert liver.extent_mm == (42.0, 42.0, 39.0)
    assert [s.anatomy for s in structures_of(case, volume, labels, 20)] == ["liver", "dot"]


def test_labels_on_other_voxels_are_refused(data_folder):
    sitk = pytest.importorskip("SimpleITK")
    path = data_folder / "ct" / "b__one" / "labels.nii.gz"
    image = sitk.ReadImage(str(path))
    image.SetOrigin((5.0, 0.0, 0.0))
    sitk.WriteImage(image, str(path))
    with pytest.raises(GeometryError, match="b__one: expected labels on the voxels of the CT"):
        load_case(find_cases(data_folder, "validation")[0])


@pytest.mark.parametrize(
    ("cm3", "extent", "expected"),
    [
        (4.9, 90.0, "small (< 5 cm3)"),
        (5.0, 90.0, "medium"),
        (500.0, 101.0, "larger than a patch"),
        (1.0, 101.0, "larger than a patch"),
    ],
)
def test_size_classes(cm3, extent, expected):
    structure = Structure("c", "f", "a", np.ones((1, 1, 1), bool), cm3, (10.0, extent, 10.0))
    assert structure.size_class(100.0) == expected


# ---- seeds -------------------------------------------------------------------------------------


def test_box_holds_the_positive_clicks_and_a_margin(ball):
    volume, _ = ball
    box = seeded_box(volume, [CENTRE, OUTSIDE], 10.0)
    assert (box.bbox.start_ijk, box.bbox.stop_ijk) == ((29, 23, 16), (40, 34, 25))
    np.testing.assert_array_equal(box.hu_kji, volume.array_kji[16:25, 23:34, 29:40])
    assert box.clicks_kji == [((4, 5, 5), True)]
    assert box.open_faces == (True,) * 6
    assert seeded_box(volume, [OUTSIDE], 10.0) is None


def test_faces_on_the_edge_of_the_volume_are_not_background(ball):
    volume, _ = ball
    box = seeded_box(volume, [Click((4.0, 56.0, 60.0))], 12.0)
    seeds = box.seeds(0.0)
    assert box.open_faces == (True, True, True, True, False, True)
    assert (seeds[1:-1, 1:-1, 0] == 0).all()
    assert (seeds[:, :, -1] == BACKGROUND).all()
    assert (seeds[0] == BACKGROUND).all()
    whole = seeded_box(volume, [CENTRE], 1000.0)
    assert not any(whole.open_faces)
    assert (whole.seeds(0.0)[:, :, 0] == BACKGROUND).all()


def test_clicks_paint_balls_in_mm_and_later_ones_win(ball):
    volume, _ = ball
    near = Click((68.0, 60.0, 60.0), positive=False)
    box = seeded_box(volume, [CENTRE, near], 20.0)
    seeds = box.seeds(4.5)
    first, second = (place for place, _ in box.clicks_kji)
    mm = np.indices(seeds.shape) * np.array([3.0, 2.0, 2.0])[:, None, None, None]

    def ball_round(place):
        centre = np.array(place) * [3.0, 2.0, 2.0]
        return ((mm - centre[:, None, None, None]) ** 2).sum(0) <= 4.5**2

    expected = np.where(ball_round(first), FOREGROUND, 0)
    expected[ball_round(second)] = BACKGROUND
    expected[first] = FOREGROUND
    inner = (slice(1, -1),) * 3  # the faces are background
    np.testing.assert_array_equal(seeds[inner], expected[inner])
    assert ball_round(second)[first]
    assert (expected == FOREGROUND).sum() > 3


# ---- classical methods -------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASELINES)
def test_classical_method_finds_a_bright_ball(ball, name):
    pytest.importorskip(NEEDS[name])
    volume, truth = ball
    options = {"multiplier": 3.0, "smoothing": 0} if name == "confidence_connected" else {}
    mask = BASELINES[name](margin_mm=40.0, **options).mask(volume, [CENTRE, OUTSIDE])
    assert mask.shape == truth.shape
    assert mask.dtype == bool
    assert dice(mask, truth) > 0.93


@pytest.mark.parametrize("name", BASELINES)
def test_without_a_positive_click_nothing_is_found(ball, name):
    assert not BASELINES[name]().mask(ball[0], [OUTSIDE]).any()
    assert not BASELINES[name]().mask(ball[0], []).any()


@pytest.mark.parametrize("name", BASELINES)
def test_negative_click_takes_away(name):
    """Two halves of one bright bar can only be told apart by the clicks."""
    pytest.importorskip(NEEDS[name])
    rng = np.random.default_rng(0)
    hu = np.full((24, 24, 60), 20.0)
    hu[8:16, 8:16, 6:54] = 150.0
    volume = Volume.from_array((hu + rng.normal(0, 3, hu.shape)).astype(np.int16), (2, 2, 2))
    good, bad = Click((36.0, 24.0, 24.0)), Click((84.0, 24.0, 24.0), positive=False)
    method = BASELINES[name](margin_mm=60.0)
    alone, both = method.mask(volume, [good]), method.mask(volume, [good, bad])
    assert both[12, 12, 18]
    assert not both[12, 12, 42]
    assert both[:, :, 36:].sum() < alone[:, :, 36:].sum() or not alone[:, :, 36:].any()
    assert both[:, :, 36:].sum() < 0.2 * both.sum()


def test_masks_stay_inside_the_box(ball):
    volume, _ = ball
    mask = ConfidenceConnected(margin_mm=8.0, multiplier=9.0).mask(volume, [CENTRE])
    outside = np.ones_like(mask)
    outside[seeded_box(volume, [CENTRE], 8.0).bbox.slices_kji] = False
    assert mask.any()
    assert not mask[outside].any()


def test_random_walker_thins_out_large_boxes(ball):
    pytest.importorskip("skimage")
    volume, truth = ball
    mask = RandomWalker(margin_mm=60.0, max_voxels=9000).mask(volume, [CENTRE, OUTSIDE])
    assert mask.shape == truth.shape
    assert dice(mask, truth) > 0.75


def test_missing_slicer_core_is_named_before_the_first_click(ball, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer_core", None)
    with pytest.raises(CTSAM3DError, match="grow_from_seeds needs slicer-core and vtk"):
        baseline_method("grow_from_seeds").start(ball[0])


def test_seed_locality_reaches_the_filter(ball):
    pytest.importorskip("slicer_core")
    volume, _ = ball
    near, far = (
        GrowFromSeeds(margin_mm=40.0, locality=penalty).mask(volume, [CENTRE])
        for penalty in (0.0, 1000.0)
    )
    assert not np.array_equal(near, far)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("magic", "expected a method of model, confidence_connected.*got 'magic'"),
        ("grow_from_seeds[size=3]", "expected an option of margin_mm, .*got 'size'"),
        ("random_walker[beta=much]", "expected a number for beta, got 'much'"),
        ("random_walker[beta=True]", "expected a number for beta, got 'True'"),
    ],
)
def test_unknown_methods_and_options_are_named(text, message):
    with pytest.raises(CTSAM3DError, match=message):
        baseline_method(text)


# ---- clicking ----------------------------------------------------------------------------------


@dataclass
class Scripted:
    """Return given masks one after the other; None raises."""

    masks: list
    seen: list = field(default_factory=list)

    def add_click(self, click):
        self.seen.append(click)
        mask = self.masks[min(len(self.seen), len(self.masks)) - 1]
        if mask is None:
            raise CTSAM3DError("out of masks")
        return mask


def test_scores_are_those_of_the_masks(ball):
    volume, truth = ball
    half = truth.copy()
    half[:20] = False
    shifted = np.roll(truth, 1, axis=2)
    trace = simulate(
        Scripted([half, shifted, shifted]), structure_of(volume, truth), volume,
        ClickProtocol(max_clicks=3, checkpoints=(1, 3)),
    )  # fmt: skip
    assert [step.dice for step in trace.steps] == [
        pytest.approx(dice(truth, mask)) for mask in (half, shifted, shifted)
    ]
    assert trace.nsd_after(1) == pytest.approx(nsd(truth, half, SPACING, 2.0))
    assert trace.steps[1].nsd is None
    assert trace.clicks_to(0.9) == 2
    with pytest.raises(CTSAM3DError, match="expected a checkpoint, got 2 clicks"):
        trace.nsd_after(2)


def test_user_corrects_the_mistakes_of_the_method(ball):
    volume, truth = ball
    leak = truth.copy()
    leak[:, :16, :16] = True
    attempt = Scripted([np.zeros_like(truth), leak, leak])
    simulate(attempt, structure_of(volume, truth), volume, ClickProtocol(max_clicks=3))
    assert [click.positive for click in attempt.seen] == [True, True, False]
    for click in attempt.seen[:2]:
        i, j, k = volume.geometry.voxel_from_ras(click.position_ras)
        assert truth[k, j, i]
    i, j, k = volume.geometry.voxel_from_ras(attempt.seen[2].position_ras)
    assert leak[k, j, i]
    assert not truth[k, j, i]


def test_first_click_is_the_same_for_every_method_and_repeats(ball):
    volume, truth = ball
    structure = structure_of(volume, truth)
    firsts = set()
    for masks in ([truth], [np.zeros_like(truth)], [~truth]):
        attempt = Scripted(masks)
        simulate(attempt, structure, volume, ClickProtocol(seed=5))
        firsts.add(attempt.seen[0])
    assert len(firsts) == 1
    other = structure_of(volume, truth, anatomy="other")
    draws = [
        generator_for(s, seed).random() for s, seed in ((structure, 5), (structure, 6), (other, 5))
    ]
    assert len(set(draws)) == 3
    assert generator_for(structure, 5).random() == draws[0]


def test_user_stops_when_the_mask_is_right(ball):
    volume, truth = ball
    trace = simulate(Scripted([truth]), structure_of(volume, truth), volume, ClickProtocol())
    assert len(trace.steps) == 1
    assert (trace.dice_after(10), trace.nsd_after(10), trace.nsd_after(3)) == (1.0, 1.0, 1.0)


def test_failure_scores_nothing_from_there_on(ball):
    volume, truth = ball
    trace = simulate(
        Scripted([truth ^ np.roll(truth, 1), None]), structure_of(volume, truth), volume,
        ClickProtocol(),
    )  # fmt: skip
    assert trace.error == "click 2: out of masks"
    assert trace.dice_after(1) > 0
    assert (trace.dice_after(2), trace.nsd_after(10)) == (0.0, 0.0)
    assert Trace((), "broken").dice_after(1) == 0.0


def test_replay_gives_the_same_clicks_and_measures_the_last(ball):
    volume, truth = ball
    clicks = [CENTRE, OUTSIDE]
    attempt = Scripted([np.roll(truth, 2)])
    trace = replay(attempt, clicks, structure_of(volume, truth), volume, ClickProtocol())
    assert attempt.seen == clicks
    assert trace.nsd_after(10) == trace.steps[-1].nsd
    failing = replay(Scripted([None]), clicks, structure_of(volume, truth), volume, ClickProtocol())
    assert failing.error == "click 1: out of masks"


def test_model_is_driven_through_a_session_of_its_own_for_each_structure(ball):
    volume, truth = ball
    method = ModelMethod(BallPredictor(radius=9.0, spacing_mm=2.0))
    first = method.start(volume)
    mask = first.add_click(CENTRE)
    # A ball of 18 mm against one of 20 mm.
    assert dice(mask, truth) == pytest.approx(2 * 18**3 / (18**3 + 20**3), abs=0.01)
    assert method.start(volume).add_click(Click((40.0, 40.0, 40.0))).sum() == pytest.approx(
        mask.sum(), rel=0.1
    )
    encoded = method.predictor.encode_calls
    method.start(volume).add_click(CENTRE)
    assert method.predictor.encode_calls == encoded


# ---- averages and reports ----------------------------------------------------------------------


def trace_of(*scores, seconds=1.0, error=""):
    return Trace(tuple(Step(CENTRE, seconds, score, score / 2) for score in scores), error)


def test_means_by_hand():
    protocol = ClickProtocol(max_clicks=3, checkpoints=(1, 3, 5))
    traces = [
        trace_of(0.2, 0.82, 0.9, seconds=1.0),
        trace_of(0.4, 0.5, 0.6, seconds=3.0),
        trace_of(0.9, error="click 2: gone"),
    ]
    row = mean_row("m", traces, protocol)
    assert (row.n_structures, row.n_errors) == (3, 1)
    assert row.dice == {1: pytest.approx(0.5), 3: pytest.approx(0.5)}
    assert row.nsd[3] == pytest.approx(0.25)
    assert row.dice_curve == pytest.approx([0.5, 0.44, 0.5])
    assert row.noc == {
        0.80: pytest.approx(2.0),
        0.85: pytest.approx(7 / 3),
        0.90: pytest.approx(7 / 3),
    }
    assert row.reached[0.80] == pytest.approx(2 / 3)
    assert row.first_click_s == pytest.approx(5 / 3)
    assert row.next_click_s == pytest.approx(2.0)
    assert math.isnan(mean_row("m", [trace_of(1.0)], protocol).next_click_s)


def test_harm_of_further_clicks_by_hand():
    protocol = ClickProtocol(max_clicks=4)
    traces = {
        "steady": trace_of(0.5, 0.6, 0.6, 0.7),
        "falling": trace_of(0.5, 0.8, 0.7, 0.74),  # ends 0.06 below its best
        "almost": trace_of(0.5, 0.74, 0.7, 0.7),  # ends 0.04 below its best
        "collapsed": trace_of(0.5, 0.0, 0.7, 0.7),
        "never": trace_of(0.0, 0.0, 0.7, 0.7),
    }
    results = [Result("c", "f", name, "medium", "m", 1.0, t) for name, t in traces.items()]
    (row,) = steadiness_of(results, protocol)
    # Means 0.4, 0.428, 0.68, 0.708 do not fall.
    assert (row.n_worse, row.n_collapsed, row.n_disobeyed) == (1, 1, 0)
    assert row.largest_fall == 0.0
    (alone,) = steadiness_of(results[1:2], protocol)
    assert alone.largest_fall == pytest.approx(0.1)


def test_a_click_that_is_not_obeyed_is_counted(ball):
    volume, truth = ball
    structure = structure_of(volume, truth)
    stubborn = simulate(Scripted([truth & False, truth]), structure, volume, ClickProtocol())
    assert [step.obeyed for step in stubborn.steps] == [False, True]


@pytest.fixture
def results():
    return [
        Result("c", "torso, human labels", "liver", "medium", "model", 9.0, trace_of(0.5, 0.75)),
        Result("c", "torso, human labels", "liver", "medium", "walker", 9.0, trace_of(0.25)),
        Result("d", "head, machine labels", "eye", "small (< 5 cm3)", "model", 1.0, trace_of(1.0)),
    ]


def test_markdown_has_each_group_once(results):
    protocol = ClickProtocol(max_clicks=2, checkpoints=(1, 2))
    text = markdown(results, protocol, {"device": "cpu", "versions": {"numpy": "2"}}, False)
    assert "Not finished" in text
    assert "- versions: numpy 2" in text
    assert "| torso, human labels | model | 1 | 0.500 | 0.750 | 0.250 | 0.375 |" in text
    assert "| head, machine labels: eye | model | 1 | 1.000 | 1.000 |" in text
    assert "| 1.00 | - | 0 |" in text  # no second click, no time
    assert text.count("| torso, human labels: medium | walker |") == 1
    table_rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in table_rows} == {14, 7}
    assert "| torso, human labels | model | 0.0000 | 0 | 0 | 0 |" in text


def test_json_is_strict_and_complete(results, tmp_path):
    path = tmp_path / "new" / "out.json"
    write_json(path, results, ClickProtocol(max_clicks=2), {"seed": 1}, complete=True)

    def refuse(text):
        raise AssertionError(text)

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content["complete"] is True
    assert content["protocol"]["tolerance_mm"] == 2.0
    assert [s["anatomy"] for s in content["structures"]] == ["liver", "liver", "eye"]
    assert content["structures"][0]["steps"][1] == {
        "position_ras": [68.0, 56.0, 60.0],
        "positive": True,
        "seconds": 1.0,
        "dice": 0.75,
        "nsd": 0.375,
        "obeyed": True,
    }
    rows = content["means"]["case family"]["torso, human labels"]
    assert [row["method"] for row in rows] == ["model", "walker"]
    assert rows[1]["next_click_s"] is None


def test_plot_shows_one_panel_for_each_family(results, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    save_plot(tmp_path / "plot.png", results, ClickProtocol(max_clicks=2))
    pixels = image.imread(tmp_path / "plot.png")
    assert pixels.shape[1] > 1.8 * pixels.shape[0]
    assert pixels[..., :3].std() > 0.05


# ---- running -----------------------------------------------------------------------------------


def test_shared_clicks_come_from_the_first_method(data_folder):
    methods = [ModelMethod(BallPredictor(radius=3.0)), baseline_method("confidence_connected")]
    protocol = ClickProtocol(max_clicks=4)
    cases = find_cases(data_folder, "validation")
    own, shared = (
        next(iter(evaluate(cases, methods, protocol, shared_clicks=flag)))[1]
        for flag in (False, True)
    )

    def clicks(result):
        return [step.click for step in result.trace.steps]

    assert clicks(shared[0]) == clicks(shared[1]) == clicks(own[0])
    assert clicks(own[0])[0] == clicks(own[1])[0]
    assert clicks(own[0]) != clicks(own[1])


def test_patch_extent_follows_the_model(ball):
    volume = ball[0]
    settings = BallPredictor(patch_size=32, spacing_mm=4.0).settings
    assert patch_extent_mm(volume, settings, None) == pytest.approx(128.0)
    assert patch_extent_mm(volume, settings, 3.0) == pytest.approx(96.0)


def test_command_writes_table_json_and_plot(data_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        command, "model_method", lambda *_: (ModelMethod(BallPredictor()), {"model": "fake"})
    )
    monkeypatch.setattr(command, "use_threads", lambda _: None)
    names = {kind: tmp_path / f"out.{kind}" for kind in ("json", "md", "png")}
    inputs = ["--data", str(data_folder), "--split", "all", "--clicks", "2"]
    outputs = ["--output", str(names["json"]), "--table", str(names["md"])]
    outputs += ["--plot", str(names["png"])]
    code = command.main([*inputs, *outputs, "--methods", "model,confidence_connected"])
    output = capsys.readouterr().out
    assert code == 0
    assert "[1/2] a__two liver: model" in output
    assert "[2/2] b__one liver: model" in output
    assert f"wrote {names['md']}" in output
    content = json.loads(names["json"].read_text())
    assert content["complete"] is True
    assert content["setting"]["model"] == "fake"
    assert {s["case"] for s in content["structures"]} == {"a__two", "b__one"}
    assert "torso, machine labels | model" in names["md"].read_text()
    assert names["png"].stat().st_size > 1000


def test_command_stops_at_the_limit(data_folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "use_threads", lambda _: None)
    arguments = ["--data", str(data_folder), "--split", "all", "--clicks", "1"]
    assert command.main([*arguments, "--methods", "confidence_connected", "--limit", "1"]) == 0
    output = capsys.readouterr().out
    assert "a__two" in output
    assert "b__one" not in output


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--split", "nowhere"], "expected cases of split 'nowhere'"),
        (["--methods", "magic"], "expected a method of model"),
        (["--methods", "random_walker,random_walker"], "expected different methods"),
        (["--methods", "confidence_connected", "--min-voxels", "99999"], "no labelled structure"),
    ],
)
def test_command_names_what_is_wrong(data_folder, capsys, monkeypatch, extra, message):
    monkeypatch.setattr(command, "use_threads", lambda _: None)
    assert command.main(["--data", str(data_folder), *extra]) == 1
    assert message in capsys.readouterr().err
