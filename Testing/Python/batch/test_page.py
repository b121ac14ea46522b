"""The page of a batch: what it says, that it needs nothing else, and a browser that shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CTSAM3DLib.batch import page
from CTSAM3DLib.batch.page import page_text, write_page

image = pytest.importorskip("PIL.Image")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), "")


def entry(name: str, uncertainty: float, volume_cm3: float, **others: Any) -> dict[str, Any]:
    structures = [
        {"name": "liver", "volume_cm3": volume_cm3, "uncertainty": uncertainty},
        {"name": "spleen <left>", "volume_cm3": 1.0, "uncertainty": uncertainty / 2},
    ]
    report = {"structures": structures, "warnings": ["looks <odd>"], "files": {}}
    return {"case": name, "status": "done", "report": report, **others}


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, Any]]:
    """Return a sure case, an uncertain one with a picture, a failed one and a kept one."""
    pixels = np.zeros((500, 1000, 3), np.uint8)
    pixels[:, 500:] = (255, 0, 0)
    image.fromarray(pixels).save(tmp_path / "b #1.png")
    uncertain = entry("b", 0.4, 1.5)
    uncertain["report"]["files"] = {"picture": str(tmp_path / "b #1.png")}
    failed = {"case": "bad", "status": "failed", "error": "VolumeError: no <CT>"}
    kept = entry("z", 0.9, 7.0, status="kept", changed=["z.seg.nrrd"])
    return [entry("a10", 0.1, 900.0), uncertain, failed, kept]


def order(text: str) -> list[str]:
    return re.findall(r'<tr data-name="([^"]+)"', text)


def test_failed_cases_come_first_then_the_most_uncertain(entries: list[dict[str, Any]]) -> None:
    assert order(page_text(entries, Path(), "now")) == ["bad", "b", "a10", "z"]


def test_texts_are_escaped_and_what_was_measured_of_a_kept_case_is_left_out(
    entries: list[dict[str, Any]],
) -> None:
    text = page_text(entries, Path(), "now")
    assert "no &lt;CT&gt;" in text
    assert "spleen &lt;left&gt;" in text
    assert "looks &lt;odd&gt;" in text
    assert "changed since: z.seg.nrrd" in text
    assert "7.0 cm" not in text


def test_nothing_outside_the_page_is_loaded(entries: list[dict[str, Any]], tmp_path: Path) -> None:
    loaded: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            loaded.extend(filter(None, (values.get("src"), tag == "link" and values.get("href"))))

    Parser().feed(page_text(entries, tmp_path, "now"))
    assert len(loaded) == 1
    assert loaded[0].startswith("data:image/jpeg;base64,")
    assert 'href="b%20%231.png"' in page_text(entries, tmp_path, "now")


def test_pictures_that_cannot_be_read_become_links(
    entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "b #1.png").write_bytes(b"\x89PNG no")
    assert "<img" not in page_text(entries, tmp_path, "now")
    assert ">picture</a>" in page_text(entries, tmp_path, "now")


def test_failed_cases_take_no_picture_of_others(
    entries: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "THUMBNAILS", 1)
    assert page_text(entries, tmp_path, "now").count("<img") == 1


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium here (apt-get install chromium)")
def test_a_browser_without_a_network_shows_and_sorts_it(
    entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    entries[0]["report"]["warnings"] = ["structure 'splen' is none of the known anatomies; " * 9]
    write_page(file, entries, "now")
    assert order(browse(tmp_path, file.as_uri(), "--dump-dom")) == ["bad", "b", "a10", "z"]
    by_volume = browse(tmp_path, file.as_uri() + "#volume", "--dump-dom")
    assert order(by_volume)[:2] == ["a10", "b"]
    assert 'data-key="volume" aria-sort="descending"' in by_volume
    browse(tmp_path, file.as_uri(), f"--screenshot={tmp_path / 'shot.png'}")
    with image.open(tmp_path / "shot.png") as shot:
        pixels = np.asarray(shot.convert("RGB")).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1:] < 60).all(axis=-1)
    assert 0.9 < red.sum() / (180 * 180) < 1.1  # the right half of the thumbnail, not shrunk


def browse(folder: Path, address: str, *options: str) -> str:
    """Open a page in a browser that reaches no network; return what it prints."""
    words = (BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,800")
    offline = ("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}")
    command = [*words, *offline, *options, address]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
