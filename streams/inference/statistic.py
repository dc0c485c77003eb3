"""What a statistic declares of itself; the composer reads nothing else."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Statistic:
    """One statistic: its state, what it hands to others, and the row columns it fills.

    A statistic is a Python file of ``streams.inference`` with a ``STATISTIC`` and some of these hooks, each a function
    decorated by ``schemas.columns.inlined`` or ``plain``. A hook's parameters are found by their names:

    * ``on_segment``: once for each segment, in the composed order. Parameters: ``c`` connection, ``f`` the flow that
      the segment's data belongs to, ``g`` the flow that it acknowledges, ``t`` its time (int64 ns), ``seq ack payload
      flags window options`` (int64), ``seg`` and ``i`` (the columns and its index), ``d`` (0: from end a), ``table``,
      and every scratch value that an earlier statistic provides. Returns the provided values, in order.
    * ``on_window_close(f, g, c, row, end_ns)``: fill a window row; the flow's ``w_`` fields are zeroed afterwards.
    * ``on_close(f, g, c, row)``: fill a flow row.

    A state field that only its owner may write; all start at zero.
    """

    name: str
    connection: dict[str, str] = field(default_factory=dict)  # name -> dtype
    flow: dict[str, str] = field(default_factory=dict)  # names that start with w_ live for one window
    extends: tuple[str, ...] = ()  # statistics whose fields it may write too: one idea in several files
    # Fields that every segment touches in both of its flows: they share few cache lines.
    front: tuple[str, ...] = ()
    hot: tuple[
        str, ...
    ] = ()  # fields that most segments touch in the flow that sends data, besides those in inlined functions
    provides: tuple[str, ...] = ()
    gate: str = ""  # a provided value that, where true, ends the segment's processing
    windows: tuple[str, ...] = ()  # row columns filled
    flows: tuple[str, ...] = ()
