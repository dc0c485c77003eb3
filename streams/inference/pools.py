"""The two lists of a shard: established connections in order of arrival, half-open ones in order of activity."""

from schemas.columns import plain
from streams.inference import table as tables
from streams.inference.serial import i64


@plain
def enlist(table, slot, half):
    """Append a connection to its shard's list: half-open ones in order of activity, others in order of arrival."""
    c = table.conn[slot]
    s = table.shard[i64(c["shard"])]
    c["half"] = half
    c["next"] = 0
    if half:
        c["prev"] = s["half_tail"]
        if i64(s["half_tail"]):
            table.conn[i64(s["half_tail"]) - 1]["next"] = slot + 1
        else:
            s["half_head"] = slot + 1
        s["half_tail"] = slot + 1
        s["half_n"] = i64(s["half_n"]) + 1
        table.scalars[tables.HALF_OPEN] += 1
    else:
        c["prev"] = s["tail"]
        if i64(s["tail"]):
            table.conn[i64(s["tail"]) - 1]["next"] = slot + 1
        else:
            s["head"] = slot + 1
        s["tail"] = slot + 1
        s["n"] = i64(s["n"]) + 1


@plain
def delist(table, slot):
    """Take a connection out of its shard's list."""
    c = table.conn[slot]
    s = table.shard[i64(c["shard"])]
    before, after = i64(c["prev"]), i64(c["next"])
    if before:
        table.conn[before - 1]["next"] = after
    elif c["half"]:
        s["half_head"] = after
    else:
        s["head"] = after
    if after:
        table.conn[after - 1]["prev"] = before
    elif c["half"]:
        s["half_tail"] = before
    else:
        s["tail"] = before
    if c["half"]:
        s["half_n"] = i64(s["half_n"]) - 1
        table.scalars[tables.HALF_OPEN] -= 1
    else:
        s["n"] = i64(s["n"]) - 1
