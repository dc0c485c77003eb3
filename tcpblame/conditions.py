"""``--fail-on``: whether any flow meets a condition, found while its rows pass by."""

from collections.abc import Sequence

import numpy as np

from schemas.naming import address
from schemas.rows import Rows
from tcpblame.values import FailOn


class Conditions:
    """Counts the flows that meet each condition and remembers the worst."""

    def __init__(self, conditions: Sequence[FailOn]) -> None:
        self._flows = 0
        self._met = dict.fromkeys(conditions, 0)
        self._worst: dict[FailOn, tuple[float, str]] = {}

    def look(self, rows: Rows) -> None:
        """Look at the flow rows among these. A share that is not known (no active time) meets nothing."""
        flows = rows.table("flows")
        self._flows += len(flows)
        for condition in self._met if len(flows) else ():
            shares = np.nan_to_num(flows[condition.column], nan=0.0)
            self._met[condition] += int((shares >= condition.share).sum())
            top = int(shares.argmax())
            share = float(shares[top])
            if share >= condition.share and share > self._worst.get(condition, (0.0, ""))[0]:
                flow = flows[top]
                self._worst[condition] = (share, f"{_end(flow, 'src')} > {_end(flow, 'dst')}")

    def messages(self) -> list[str]:
        """A line for each condition that is met; none: the command may succeed."""
        return [
            f"fail-on {condition}: met by {self._met[condition]} of {self._flows} flows, "
            f"most by {where} with {share:.2f}"
            for condition, (share, where) in self._worst.items()
        ]


def _end(flow: np.void, end: str) -> str:
    """One end of a flow as address:port."""
    host = address(flow[f"{end}_hi"], flow[f"{end}_lo"])
    return f"[{host}]:{flow[f'{end}_port']}" if ":" in host else f"{host}:{flow[f'{end}_port']}"
