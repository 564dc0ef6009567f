"""The plan as users get it: the value, and how to print it."""

from __future__ import annotations

from penstock.plan.plan import Plan
from penstock.plan.render import render_json, render_mermaid, render_text


class PrintablePlan(Plan, frozen=True):
    """Everything that will run. Returned by `Pipeline.plan`."""

    def to_text(self) -> str:
        """Return text for people: stages, what is fused into them, conversions, queues and their memory, guarantees."""
        return render_text(self)

    def to_json(self) -> str:
        """Return the same as one JSON object."""
        return render_json(self)

    def to_mermaid(self) -> str:
        """Return the same as a Mermaid flowchart."""
        return render_mermaid(self)
