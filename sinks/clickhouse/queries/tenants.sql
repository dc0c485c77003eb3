-- title: Tenants
-- about: Each tenant network with its traffic and the share of active time that each side held back.
-- param since=1970-01-01 00:00:00
-- param until=2106-01-01 00:00:00
-- param limit=100
WITH nullIf(sum(covered_ns) - sum(time_idle_ns), 0) AS active
SELECT
    ifNull(tenant, '') AS network,
    uniqCombined64Merge(14)(connections) AS connections,
    sum(payload_bytes) AS payload_bytes,
    round(100 * sum(time_sender_ns) / active, 1) AS sender_percent,
    round(100 * sum(time_receiver_ns) / active, 1) AS receiver_percent,
    round(100 * sum(time_network_ns) / active, 1) AS network_percent,
    round(100 * sum(time_setup_ns) / active, 1) AS setup_percent,
    round(active / 1e9, 3) AS active_s,
    round(100 * sum(retransmitted_packets) / nullIf(sum(packets), 0), 2) AS retransmitted_percent
FROM verdict_1m
WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
GROUP BY tenant
ORDER BY payload_bytes DESC, network
LIMIT {limit:UInt32}
