-- title: Slowest hosts
-- about: Hosts by the time that they themselves held connections back: as the sending or as the receiving side. Time
-- about: that the network took is shown beside it, for both ends of a connection.
-- param since=1970-01-01 00:00:00
-- param until=2106-01-01 00:00:00
-- param limit=20
SELECT
    replaceRegexpOne(toString(host), '^::ffff:', '') AS host,
    round(sum(sender_ns) / 1e9, 3) AS as_sender_s,
    round(sum(receiver_ns) / 1e9, 3) AS as_receiver_s,
    round(sum(network_ns) / 1e9, 3) AS network_s,
    round(sum(setup_ns) / 1e9, 3) AS setup_s,
    round(sum(covered_ns) / 1e9, 3) AS observed_s,
    sum(payload_bytes) AS payload_bytes
FROM
(
    SELECT
        src AS host, time_sender_ns AS sender_ns, 0 AS receiver_ns, time_network_ns AS network_ns,
        time_setup_ns AS setup_ns, covered_ns, payload_bytes
    FROM pair_1m
    WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
    UNION ALL
    SELECT
        dst AS host, 0 AS sender_ns, time_receiver_ns AS receiver_ns, time_network_ns AS network_ns,
        time_setup_ns AS setup_ns, covered_ns, payload_bytes
    FROM pair_1m
    WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
)
GROUP BY host
ORDER BY as_sender_s + as_receiver_s DESC, network_s DESC, host
LIMIT {limit:UInt32}
