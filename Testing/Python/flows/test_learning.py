"""From corrected cases on disk to a model that is installed, or not, with its report."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learning_case import ticking, write_case, write_model

from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.cli.main import main
from CTSAM3DLib.errors import BundleError, LearningError, ModelExistsError, OutputFileError
from CTSAM3DLib.io.outputs import check_replaceable
from CTSAM3DLib.models.folder import locked_folder
from CTSAM3DLib.models.manifest import read_manifest
from CTSAM3DLib.models.store import FOLDER_VARIABLE, ModelStore, file_sha256, verify
from CTSAM3DLib.training import learning
from CTSAM3DLib.training.learning import LearningRequest, LearningStopped, learn
from CTSAM3DLib.training.learning_score import LEARNT, OTHER
from CTSAM3DLib.training.lessons import LearnerConfig


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with a model and the cases of two patients."""
    folder = tmp_path_factory.mktemp("inputs")
    write_model(folder / "parent", adapted=("spleen", "liver"))
    for seed in range(2):
        write_case(folder / "cases" / f"p{seed}", seed)
    return folder


@pytest.fixture
def request_(inputs, tmp_path, monkeypatch) -> LearningRequest:
    """Return a request to learn two patients in three steps."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    parent = tmp_path / "parent" / "tiny.pt"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "parent"))
    monkeypatch.setattr(learning, "SHARES", (1.0,))  # one candidate is fast
    monkeypatch.setattr(learning, "MOST_LEARNT", 2)
    monkeypatch.setattr("CTSAM3DLib.cli.learn.use_threads", lambda count: None)
    return LearningRequest(
        tmp_path / "cases",
        "mine",
        parent=str(parent),
        minutes=3 / 60,
        device="cpu",
        install_anyway=True,
        work_dir=tmp_path / "work",
        models_dir=tmp_path / "models",
        torso=False,
    )


@pytest.mark.slow  # test_the_command learns and installs, too
def test_a_model_with_card_and_report(request_, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "SHARES", (1.5,))
    stages: list[str] = []
    outcome = learn(request_, lambda now: stages.append(now.stage), clock=ticking())
    assert (outcome.iterations, outcome.share) == (3, 1.5)
    assert list(dict.fromkeys(stages)) == [
        "reading", "scoring before", "learning", "choosing", "scoring after",
    ]  # fmt: skip
    default, entries = read_manifest(tmp_path / "models" / "models.json")
    assert (default, [entry.model_id for entry in entries]) == ("mine", ["mine"])
    verify(entries[0])
    card = json.loads((tmp_path / "models" / "models.json").read_text())["models"][0]
    parent = tmp_path / "parent" / "tiny.pt"
    assert card["parent"] == {"id": "tiny", "sha256": file_sha256(parent)}
    assert card["quality"]["learning"]["cases learnt from"] == 1
    assert card["quality"]["learning"]["cases held out"] == 1
    assert card["training_data"][0]["name"] == "balls"
    assert "1 case of the user: cyst, spleen" in card["training_data"][1]["name"]
    text = outcome.report.read_text()
    assert "| learnt structures | 2 |" in text
    assert outcome.report.with_name("report.png").stat().st_size > 1000
    patch = np.zeros((32, 32, 32), np.float32)
    new, old = (TorchPredictor(path, "cpu") for path in (outcome.installed, parent))
    ours = {"model_id": "mine", "calibrated_as": "tiny", "adapters": {"liver": "belly"}}
    assert new.settings == replace(old.settings, **ours)
    click = np.full((1, 3), 16, np.float32), np.ones(1, np.int64)
    answers = [model.decode(model.encode(patch), *click, None) for model in (new, old)]
    assert not np.allclose(*answers, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "report.json", "report.md", "report.png",
    ]  # fmt: skip
    check_replaceable((tmp_path / "work").iterdir())  # by a run that begins anew
    # The default of this installation stays.
    store = ModelStore([tmp_path / "parent", tmp_path / "models"])
    assert store.default().model_id == "tiny"
    assert set(store.entries()) == {"tiny", "mine"}


@pytest.mark.parametrize(("has_bfloat16", "per_step"), [(True, (2, 2)), (False, (1, 1))])
def test_a_slow_processor_takes_small_steps(request_, monkeypatch, has_bfloat16, per_step):
    found = []

    def learner(*arguments, **_):
        found.extend(one for one in arguments if isinstance(one, LearnerConfig))
        raise LearningStopped

    monkeypatch.setattr(learning, "cpu_has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr(learning, "Learner", learner)
    with pytest.raises(LearningStopped):
        learn(request_, clock=ticking())
    assert [(one.lessons, one.clicks) for one in found] == [per_step]


@pytest.fixture
def no_candidate(monkeypatch) -> None:
    """None is tried, as if none were better."""
    monkeypatch.setattr(learning, "SHARES", ())


@pytest.mark.slow  # test_the_command does the same and looks at what is said
def test_a_model_that_is_not_better_is_not_installed(request_, no_candidate, tmp_path):
    outcome = learn(replace(request_, install_anyway=False), clock=ticking())
    assert (outcome.installed, outcome.share) == (None, 0.0)
    assert not outcome.verdict.is_better
    assert not (tmp_path / "models").exists()
    assert "not better" in outcome.report.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("share", "is_tried"), [(1.0, False), (0.75, True)])
def test_of_one_case_some_structures_are_other_anatomy(
    request_, tmp_path, monkeypatch, share, is_tried
):
    monkeypatch.setattr(learning, "SHARES", (share,))
    cases = tmp_path / "cases" / "p0"
    stages: list[str] = []
    request_ = replace(request_, cases=cases, install_anyway=False)
    outcome = learn(request_, lambda now: stages.append(now.stage), clock=ticking())
    assert ("choosing" in stages) is is_tried  # nothing tells when it is too far
    scores = json.loads(outcome.report.with_name("report.json").read_text())
    assert [score["family"] for score in scores["before"]] == [LEARNT, LEARNT, OTHER]
    assert "Nothing was held out" in outcome.report.read_text()


@pytest.mark.slow
def test_structures_that_are_not_wanted_are_other_anatomy(request_, no_candidate):
    wanted = replace(request_, structures=("cyst",), install_anyway=False)
    outcome = learn(wanted, clock=ticking())
    scores = json.loads(outcome.report.with_name("report.json").read_text())
    assert {(s["family"], s["anatomy"]) for s in scores["before"]} == {
        (LEARNT, "cyst"),
        (OTHER, "spleen"),
    }
    with pytest.raises(LearningError, match="no case has 'lung'; choose from 'cyst', 'spleen'"):
        learn(replace(request_, structures=("lung",)))


@pytest.mark.slow  # test_a_stopped_run_goes_on_exactly and a stop file show the same in parts
def test_a_cancelled_run_goes_on(request_, no_candidate, tmp_path):
    request_ = replace(request_, install_anyway=False)
    asked = {"learning": 0}

    def stop_at_the_second_step() -> bool:
        asked["learning"] += asked.get("begun", 0)
        return asked["learning"] > 1

    def note(progress) -> None:
        if progress.stage == "learning":
            asked["begun"] = 1

    with pytest.raises(LearningStopped):
        learn(request_, note, stop_at_the_second_step, clock=ticking())
    assert (tmp_path / "work" / "learner.pt").is_file()
    assert not (tmp_path / "models").exists()
    shares: list[float] = []
    outcome = learn(
        request_,
        lambda now: shares.append(now.share) if now.stage == "learning" else None,
        clock=ticking(),
    )
    assert shares[0] > 0.3
    assert outcome.iterations == 3
    with pytest.raises(LearningStopped):
        learn(request_, should_stop=lambda: True)


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_model_and_what_was_learnt(request_, tmp_path, monkeypatch):
    models, write = tmp_path / "models", Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if models in path.parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputFileError, match="Free some space"):
            learn(request_, clock=ticking())
    assert not models.exists()
    outcome = learn(request_, clock=ticking())
    assert (outcome.iterations, outcome.installed) == (3, models / "mine.pt")


def test_a_folder_that_cannot_be_written(request_, tmp_path):
    for name in ("models", "work"):
        (tmp_path / name).write_text("a file")
        with pytest.raises(OutputFileError, match="is a file, not a folder"):
            learn(request_)
        (tmp_path / name).unlink()


@pytest.mark.parametrize("name", ["report.md", "report.json", "report.png"])
def test_a_report_that_somebody_changed_is_kept(request_, name):
    request_.folder.mkdir(parents=True)
    report = request_.folder / name
    report.write_text("what I think of it")
    with pytest.raises(OutputFileError, match=f"{name} exists and was not written by this program"):
        learn(replace(request_, restart=True))
    assert report.read_text() == "what I think of it"


def test_two_runs_in_one_folder(request_):
    with locked_folder(request_.folder), pytest.raises(OutputFileError, match="another run"):
        learn(request_)


@pytest.mark.parametrize("minutes", ["0", "nan", "inf"])
def test_minutes_that_are_none(tmp_path, capsys, minutes):
    with pytest.raises(SystemExit):
        main(["learn", str(tmp_path), "--id", "mine", "--minutes", minutes])
    assert f"expected a time above 0, got {minutes}" in capsys.readouterr().err


def test_ids_that_are_taken(request_, tmp_path):
    with pytest.raises(ModelExistsError, match="another id"):
        learn(replace(request_, model_id="tiny"))
    with pytest.raises(BundleError, match="expected an id of letters"):
        learn(replace(request_, model_id="a/b"))
    shutil.copytree(tmp_path / "parent", tmp_path / "models")
    manifest = tmp_path / "models" / "models.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"mine"'))
    with pytest.raises(ModelExistsError, match=r"remove that one, or replace it \(--restart;"):
        learn(request_)
    with pytest.raises(ModelExistsError, match="'mine' already"):  # one file on some disks
        learn(replace(request_, model_id="Mine", restart=True))
    with pytest.raises(LearningStopped):  # it may
        learn(replace(request_, restart=True), should_stop=lambda: True)


def test_the_command(request_, tmp_path, capsys, monkeypatch):
    words = ["learn", str(request_.cases), "--id", "mine", "--from", str(request_.parent)]
    words += ["--minutes", "0.001", "--device", "cpu", "--threads", "1", "--no-torso"]
    words += ["--work-dir", str(tmp_path / "work"), "--models-dir", str(tmp_path / "models")]
    with monkeypatch.context() as patch:
        patch.setattr(learning, "SHARES", ())
        assert main([*words, "--json"]) == 1
    assert not (tmp_path / "models").exists()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["stage"], last["installed"]) == ("done", "")
    assert main([*words, "--minutes", "0.002", "--install-anyway"]) == 0
    told = capsys.readouterr().out
    assert "learning: 100 %" in told
    assert "use it with --model mine" in told
    _, (entry,) = read_manifest(tmp_path / "models" / "models.json")
    assert (entry.path.name, entry.settings.calibrated_as) == ("mine.pt", "tiny")
    assert entry.settings.adapters == {"liver": "belly"}  # the spleen is learnt by the decoder
    assert set(TorchPredictor(entry.path, "cpu").adapters) == {"belly"}
    card = (tmp_path / "models" / "models.json").read_text()
    assert json.dumps(str(tmp_path))[1:-1] not in card  # it may be given to others
    assert main(["learn", str(tmp_path / "none"), "--id", "x", "--no-torso"]) == 2
    assert "found nothing there" in capsys.readouterr().err


def test_a_structure_whose_name_has_a_comma(request_, capsys):
    words = ["learn", str(request_.cases), "--id", "mine", "--from", str(request_.parent)]
    words += ["--work-dir", str(request_.work_dir), "--models-dir", str(request_.models_dir)]
    words += ["--device", "cpu", "--structures", "cyst, lung,", "--structure", "tumour, left"]
    assert main([*words, "--structure", "heart"]) == 2
    message = "no case has 'lung', 'tumour, left', 'heart'; choose from 'cyst', 'spleen'"
    assert message in capsys.readouterr().err


def test_a_stop_file_stops_the_command(request_, tmp_path, capsys, monkeypatch):
    begun: list[int] = []
    monkeypatch.setattr(
        "CTSAM3DLib.training.learning.read_learning_case",
        lambda paths: (begun.append(1), (tmp_path / "work" / "stop").write_text("")),
    )
    words = ["learn", str(request_.cases), "--id", "mine", "--from", str(request_.parent)]
    words += ["--work-dir", str(tmp_path / "work"), "--models-dir", str(tmp_path / "models")]
    assert main([*words, "--device", "cpu", "--threads", "1"]) == 130
    assert len(begun) == 1
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "work" / "stop").exists()
