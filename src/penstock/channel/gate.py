"""Which input a slot reads next. Pure: it sees who has something waiting and who has ended.

Plain inputs take turns, so that no one starves. Behind an ordered stage the frames of turn t come from slot
t mod n, and nobody else's are taken before: that is the merge.
"""

from __future__ import annotations

from collections.abc import Sequence


class EdgeGate:
    """The inputs of one edge."""

    def __init__(self, inputs: Sequence[int], merge: bool = False, turn: int = 0, stride: int = 1) -> None:
        """`inputs`: their indices, by sending slot. `turn`: the next one to take, where the edge merges by turns.

        `stride`: how many receivers the turns are dealt to; this one gets every `stride`-th turn.
        """
        self.inputs = inputs
        self.merge = merge
        self.turn = turn
        self.stride = stride

    def candidates(self, ended: Sequence[bool]) -> Sequence[int]:
        """Inputs that may be read now."""
        if not self.merge:
            return self.inputs
        due = self.inputs[self.turn % len(self.inputs)]
        # Turns are dealt without a hole: when the due slot has ended there is no further turn, only ends.
        return self.inputs if ended[due] else (due,)

    def turn_taken(self) -> None:
        """The last frame of the due turn was read."""
        self.turn += self.stride


class Gate:
    """All inputs of a stage in one slot."""

    def __init__(self, edges: Sequence[EdgeGate], inputs: int) -> None:
        self.edges = tuple(edges)
        self.simple = inputs == 1 and not any(edge.merge for edge in edges)
        """One input, no merge: there is nothing to choose."""
        self._inputs = inputs
        self._last = -1

    def choose(self, waiting: Sequence[bool], ended: Sequence[bool]) -> int | None:
        """The input to read next; None: nothing that may be read is there."""
        allowed = {i for edge in self.edges for i in edge.candidates(ended) if waiting[i] and not ended[i]}
        if not allowed:
            return None
        # From the one after the last choice on, so that nobody starves.
        for step in range(1, self._inputs + 1):
            index = (self._last + step) % self._inputs
            if index in allowed:
                self._last = index
                return index
        return None
