"""The plan as its users get it: the value, and how it is shown."""

from __future__ import annotations

from penstock.plan.plan import Plan
from penstock.plan.render import render_json, render_mermaid, render_text


class PrintablePlan(Plan, frozen=True):
    """What will run, whole; `Pipeline.plan` gives it."""

    def to_text(self) -> str:
        """For people: stages, what is fused into them, conversions, queues and their memory, promises."""
        return render_text(self)

    def to_json(self) -> str:
        """The same as one JSON object."""
        return render_json(self)

    def to_mermaid(self) -> str:
        """The same as a Mermaid flowchart."""
        return render_mermaid(self)
