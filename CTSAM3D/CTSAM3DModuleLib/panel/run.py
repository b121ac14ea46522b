"""The line of state, progress with cancel, and the buttons that compute structures again."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from CTSAM3DModuleLib.editing.editor import Status
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.widgets import STATUS_STYLES, Guarded


class RunSection:
    """What is being computed, and what it has come to."""

    def __init__(self, ui: Any, workplace: Workplace) -> None:
        self._ui, self._workplace = ui, workplace
        self._segment = Guarded(ui.segmentButton, self._on_segment)
        self._all = Guarded(ui.segmentAllButton, self._on_segment_all)
        self._cancel = Guarded(ui.cancelButton, workplace.cancel)
        self._remove = Guarded(ui.removeButton, workplace.remove_structure)

    def show(self) -> None:
        """Show what holds now."""
        work = self._workplace
        waiting = _("Wait for the result, or cancel.") if work.busy else ""
        here = (
            "" if work.nodes.count(work.nodes.segment_id) else _("The structure has no points yet.")
        )
        anywhere = "" if work.nodes.with_clicks() else _("No structure has points yet.")
        self._segment.allow(work.reason or here or waiting)
        self._all.allow(work.nodes.volume_reason or work.torch_reason or anywhere or waiting)
        self._remove.allow("" if work.nodes.segment_id else _("There is no structure."))
        self._cancel.allow("" if work.busy else _("Nothing is being computed."))
        self._show_progress()
        self.show_status(work.status)

    def show_status(self, status: Status) -> None:
        """Show one line: what has happened, else what can be done."""
        label = self._ui.statusLabel
        label.text = status.text or self._workplace.reason or self._hint()
        label.styleSheet = STATUS_STYLES.get(status.kind, "")

    def release(self) -> None:
        """Disconnect."""
        for guarded in (self._segment, self._all, self._cancel, self._remove):
            guarded.release()

    # ---- inside

    def _hint(self) -> str:
        name = self._workplace.nodes.segment_name(self._workplace.nodes.segment_id)
        text = _('Press "Add inside", then click inside {name} in a slice view.')
        return text.format(name=name)

    def _show_progress(self) -> None:
        work, bar = self._workplace, self._ui.progressBar
        several = work.progress.busy and work.progress.total > 1
        bar.maximum = work.progress.total if several else int(not work.busy)
        bar.value = work.progress.done if several else 0
        bar.textVisible = several
        bar.visible = work.busy  # an empty one looks like a field for text

    def _on_segment(self) -> None:
        self._workplace.recompute([self._workplace.nodes.segment_id])

    def _on_segment_all(self) -> None:
        self._workplace.recompute(self._workplace.nodes.with_clicks())
