"""A batch as one HTML page that needs no network: pictures, volumes, warnings, worst first."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from CTSAM3DLib.io.safe_write import write_text_atomically

THUMBNAILS = 500
"""So many pictures are in the page itself, 15 kB each; further ones are links."""

_WIDTH = 360  # of a thumbnail, pixels
_QUALITY = 70

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#1c2430;background:#f6f7f9}
h1{font-size:1.4em;margin:0 0 .2em}p{margin:.2em 0 1em}
table{border-collapse:collapse}table.cases{background:#fff;width:100%}
table.cases>thead th{position:sticky;top:0;background:#e8ebf0}
th,td{padding:.4em .7em;text-align:left;vertical-align:top;border-bottom:1px solid #dde1e7}
td td,td th{padding:.1em .6em .1em 0;border:0}td td{white-space:nowrap}td.n,th.n{text-align:right}
button{white-space:nowrap;font:inherit;font-weight:600;border:0;background:none;cursor:pointer;padding:0}
.failed{color:#a40000}.warning{color:#8a5a00}.kept{color:#00558a}
[aria-sort=descending] button::after{content:" \\25be"}
[aria-sort=ascending] button::after{content:" \\25b4"}
table.cases>tbody>tr>td:nth-child(2){min-width:9em;overflow-wrap:anywhere}img{display:block}
"""

_SCRIPT = """
const body=document.querySelector('table.cases tbody');
function order(key){const text=key==='name'||key==='status';
const rows=[...body.rows];rows.sort((a,b)=>text?
a.dataset[key].localeCompare(b.dataset[key],undefined,{numeric:true}):
b.dataset[key]-a.dataset[key]);rows.forEach(row=>body.append(row));
document.querySelectorAll('thead th[data-key]').forEach(cell=>
cell.setAttribute('aria-sort',cell.dataset.key===key?(text?'ascending':'descending'):'none'))}
document.querySelectorAll('button[data-key]').forEach(button=>
button.addEventListener('click',()=>{location.replace('#'+button.dataset.key)}));
function follow(){const key=location.hash.slice(1);
if(['name','status','uncertainty','volume'].includes(key))order(key)}
addEventListener('hashchange',follow);follow();
"""

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Batch report</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width,initial-scale=1">
"""


def write_page(path: str | Path, entries: Iterable[Mapping[str, Any]], created: str) -> None:
    """Write the page of a batch; its links to pictures and reports count from its folder."""
    write_text_atomically(path, page_text(list(entries), Path(path).parent, created))


def page_text(entries: Sequence[Mapping[str, Any]], folder: Path, created: str) -> str:
    """Return the page of a batch in a folder: failed cases first, then the most uncertain ones."""
    ordered = sorted(entries, key=lambda one: (one["status"] != "failed", -_uncertainty(one)))
    inside = set([id(one) for one in ordered if _picture_file(one)][:THUMBNAILS])
    counts = [one["status"] for one in entries]
    summary = ", ".join(f"{counts.count(kind)} {kind}" for kind in sorted(set(counts)))
    heads = [("", ""), ("name", "Case"), ("status", "Status"), ("uncertainty", "Uncertainty")]
    heads += [("volume", "Volumes, uncertainty"), ("", "Warnings")]
    return "".join(
        (
            f"{_HEAD}<style>{_STYLE}</style></head><body><h1>Batch report</h1>",
            f"<p>{len(entries)} cases: {html.escape(summary)}. {html.escape(created)}. The most "
            "uncertain cases come first; a click on a heading sorts.</p>",
            '<table class="cases"><thead><tr>',
            *(_heading(key, text) for key, text in heads),
            "</tr></thead><tbody>",
            *(_row(one, folder, id(one) in inside) for one in ordered),
            f"</tbody></table><script>{_SCRIPT}</script></body></html>\n",
        )
    )


def _uncertainty(entry: Mapping[str, Any]) -> float:
    """Return the largest uncertainty of a case, -1 where none is known."""
    return max((one.get("uncertainty", -1.0) for one in _structures(entry)), default=-1.0)


def _structures(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the structures of a case; what was measured of a changed one does not lie there."""
    found = [] if entry["status"] == "kept" else entry.get("report", {}).get("structures", [])
    return sorted(found, key=lambda one: -one.get("uncertainty", -1.0))


def _heading(key: str, text: str) -> str:
    """Return the heading of a column; one with a key sorts."""
    if not key:
        return f"<th>{text}</th>"
    kind = "descending" if key == "uncertainty" else "none"
    return f'<th data-key="{key}" aria-sort="{kind}"><button data-key="{key}">{text}</button></th>'


def _row(entry: Mapping[str, Any], folder: Path, with_picture: bool) -> str:
    structures = _structures(entry)
    total_cm3 = sum(one["volume_cm3"] for one in structures)
    worst = _uncertainty(entry)
    data = {"name": entry["case"], "status": entry["status"], "uncertainty": worst}
    data["volume"] = total_cm3
    attributes = "".join(f' data-{k}="{html.escape(str(v))}"' for k, v in data.items())
    cells = [
        _picture(entry, folder, with_picture),
        _link(entry["case"], entry.get("report", {}).get("files", {}).get("report"), folder),
        f'<span class="{html.escape(entry["status"])}">{html.escape(entry["status"])}</span>',
        f"{worst:.2f}" if worst >= 0 else "",
        _volumes(structures),
        _warnings(entry),
    ]
    return f"<tr{attributes}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _volumes(structures: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f'<tr><td>{html.escape(one["name"])}</td><td class="n">{one["volume_cm3"]:.1f} cm³</td>'
        + (f'<td class="n">{one["uncertainty"]:.2f}</td></tr>' if "uncertainty" in one else "</tr>")
        for one in structures
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _warnings(entry: Mapping[str, Any]) -> str:
    found = [("failed", entry["error"])] if "error" in entry else []
    found += [("kept", f"changed since: {name}") for name in entry.get("changed", ())]
    found += [("warning", text) for text in entry.get("report", {}).get("warnings", ())]
    return "".join(f'<div class="{kind}">{html.escape(text)}</div>' for kind, text in found)


def _picture_file(entry: Mapping[str, Any]) -> str | None:
    path: str | None = entry.get("report", {}).get("files", {}).get("picture")
    return path


def _picture(entry: Mapping[str, Any], folder: Path, inside: bool) -> str:
    path = _picture_file(entry)
    if path is None:
        return ""
    content = _thumbnail(Path(path)) if inside else None
    if content is None:
        return _link("picture", path, folder)
    text = base64.b64encode(content).decode()
    image = f'<img alt="" width="{_WIDTH}" src="data:image/jpeg;base64,{text}">'
    return _link(image, path, folder, is_html=True)


def _thumbnail(path: Path) -> bytes | None:
    """Return a small JPEG of a PNG, None when it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # the last is what Pillow raises for a broken PNG
        return None
    small.thumbnail((_WIDTH, 4 * _WIDTH))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _link(text: str, path: str | None, folder: Path, is_html: bool = False) -> str:
    """Return a link to a file, relative to the folder of the page; text alone without a file."""
    shown = text if is_html else html.escape(text)
    if path is None:
        return shown
    try:
        target = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return shown
    words = quote(Path(target).as_posix().encode("utf-8", "surrogateescape"))
    return f'<a href="{words}">{shown}</a>'
