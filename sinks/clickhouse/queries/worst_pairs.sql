-- title: Worst pairs of hosts
-- about: Sender and receiver whose flows were held back longest by anything but the sending application.
-- param since=1970-01-01 00:00:00
-- param until=2106-01-01 00:00:00
-- param limit=20
SELECT
    ifNull(tenant, '') AS network,
    replaceRegexpOne(toString(src), '^::ffff:', '') AS sender,
    replaceRegexpOne(toString(dst), '^::ffff:', '') AS receiver,
    service_port,
    round(sum(time_network_ns) / 1e9, 3) AS network_s,
    round(sum(time_receiver_ns) / 1e9, 3) AS receiver_s,
    round(sum(time_setup_ns) / 1e9, 3) AS setup_s,
    round(sum(time_sender_ns) / 1e9, 3) AS sender_s,
    round(100 * sum(retransmitted_packets) / nullIf(sum(packets), 0), 2) AS retransmitted_percent,
    round(min(rtt_min_ns) / 1e6, 3) AS rtt_min_ms,
    round(arrayElement(quantilesDDMerge(0.01, 0.5, 0.9, 0.99)(rtt_p50_ns), 1) / 1e6, 3) AS rtt_median_ms,
    sum(payload_bytes) AS payload_bytes,
    uniqCombined64Merge(14)(connections) AS connections
FROM pair_1m
WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
GROUP BY tenant, src, dst, service_port
ORDER BY network_s + receiver_s + setup_s DESC, network, sender, receiver, service_port
LIMIT {limit:UInt32}
