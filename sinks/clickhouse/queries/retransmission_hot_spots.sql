-- title: Retransmission hot spots
-- about: Pairs of hosts by the share of packets that were sent again; pairs with few packets are left out.
-- param since=1970-01-01 00:00:00
-- param until=2106-01-01 00:00:00
-- param min_packets=100
-- param limit=20
SELECT
    ifNull(tenant, '') AS network,
    replaceRegexpOne(toString(src), '^::ffff:', '') AS sender,
    replaceRegexpOne(toString(dst), '^::ffff:', '') AS receiver,
    round(100 * sum(retransmitted_packets) / sum(packets), 2) AS retransmitted_percent,
    sum(retransmitted_packets) AS retransmitted,
    sum(timeouts) AS timeouts,
    sum(packets) AS sent,
    round(sum(time_network_ns) / 1e9, 3) AS network_s
FROM pair_1m
WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
GROUP BY tenant, src, dst
HAVING retransmitted > 0 AND sent >= {min_packets:UInt64}
ORDER BY retransmitted_percent DESC, retransmitted DESC, network, sender, receiver
LIMIT {limit:UInt32}
