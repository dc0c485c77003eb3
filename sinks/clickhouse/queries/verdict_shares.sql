-- title: Verdict shares per minute
-- about: Of the active time of all flows (idle left out), how much each side held back, minute by minute.
-- param since=1970-01-01 00:00:00
-- param until=2106-01-01 00:00:00
-- param limit=1440
WITH nullIf(sum(covered_ns) - sum(time_idle_ns), 0) AS active
SELECT
    minute,
    round(100 * sum(time_sender_ns) / active, 1) AS sender_percent,
    round(100 * sum(time_receiver_ns) / active, 1) AS receiver_percent,
    round(100 * sum(time_network_ns) / active, 1) AS network_percent,
    round(100 * sum(time_setup_ns) / active, 1) AS setup_percent,
    round(100 * sum(time_unknown_ns) / active, 1) AS unknown_percent,
    round(active / 1e9, 3) AS active_s,
    uniqCombined64Merge(14)(connections) AS connections,
    sum(payload_bytes) AS payload_bytes
FROM verdict_1m
WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
GROUP BY minute
ORDER BY minute
LIMIT {limit:UInt32}
