"""The line of state, progress with cancel, and the buttons that compute structures again."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from CTSAM3DModuleLib.editing.status import Status
from CTSAM3DModuleLib.panel.workplace import Workplace
from CTSAM3DModuleLib.widgets import STATUS_STYLES, Connections


class RunSection:
    """What is being computed, and what it has come to."""

    def __init__(self, ui: Any, connections: Connections, workplace: Workplace) -> None:
        self._ui, self._workplace = ui, workplace
        button, nodes = connections.button, workplace.nodes
        self._segment = button(ui.segmentButton, lambda: workplace.recompute([nodes.segment_id]))
        self._all = button(ui.segmentAllButton, lambda: workplace.recompute(nodes.with_clicks()))
        self._cancel = button(ui.cancelButton, workplace.cancel)
        self._remove = button(ui.removeButton, workplace.remove_structure)
        tools = (ui.pointButton, ui.strokeButton, ui.lassoButton, ui.boxButton)
        for changed in (ui.insideButton, ui.outsideButton, *tools):
            connections.connect(changed, "toggled(bool)", self._on_adding)

    def show(self) -> None:
        """Show what holds now."""
        work = self._workplace
        here = work.nodes.count(work.nodes.segment_id)
        no_points = "" if here else _("The structure has no points yet.")
        self._segment.allow(work.reason or no_points or work.waiting_reason)
        self._all.allow(
            work.nodes.volume_reason
            or work.torch_reason
            or work.nodes.clicks_reason
            or work.waiting_reason
        )
        self._remove.allow("" if work.nodes.segment_id else _("There is no structure."))
        self._cancel.allow("" if work.busy else _("Nothing is being computed."))
        self._show_progress()
        self.show_status(work.status)

    def show_status(self, status: Status) -> None:
        """Show one line: what has happened, else what can be done."""
        label = self._ui.statusLabel
        text = status.text or self._workplace.reason or self._hint()
        label.text = f"{text} {self._hidden()}".strip()
        label.styleSheet = STATUS_STYLES.get(status.kind, "")

    # ---- inside

    def _on_adding(self, is_down: bool) -> None:
        """Show what can be done with the buttons now, in place of what has happened before."""
        status = self._workplace.status
        self._workplace.tell(Status() if is_down and status.kind != "busy" else status)

    def _hidden(self) -> str:
        """Tell that what is edited cannot be seen; empty if it can."""
        nodes = self._workplace.nodes
        if self._workplace.reason or not nodes.is_hidden(nodes.segment_id):
            return ""
        text = _("{name} is hidden: show it in the module Data or Segment Editor.")
        return text.format(name=nodes.segment_name(nodes.segment_id))

    def _hint(self) -> str:
        """Return what can be done next, by the buttons that are down."""
        ui, nodes = self._ui, self._workplace.nodes
        if ui.outsideButton.checked and ui.pointButton.checked:
            text = _("Click outside {name} in a slice view.")
        elif ui.outsideButton.checked:
            text = _("Draw outside {name} in a slice view.")
        elif not ui.insideButton.checked and ui.pointButton.checked:
            text = _('Press "Add inside", then click inside {name} in a slice view.')
        elif not ui.insideButton.checked:
            text = _('Press "Add inside", then draw in a slice view.')
        elif ui.pointButton.checked:
            text = _("Click inside {name} in a slice view.")
        elif ui.boxButton.checked:
            text = _("Draw a box around {name} in a slice view.")
        else:
            text = _("Draw inside {name} in a slice view.")
        return text.format(name=nodes.segment_name(nodes.segment_id))

    def _show_progress(self) -> None:
        work, bar = self._workplace, self._ui.progressBar
        several = work.progress.busy and work.progress.total > 1
        bar.maximum = work.progress.total if several else int(not work.busy)
        bar.value = work.progress.done if several else 0
        bar.textVisible = several
        bar.visible = work.busy  # an empty one looks like a field for text
