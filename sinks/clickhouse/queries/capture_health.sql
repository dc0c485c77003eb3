-- title: Can the captures be trusted?
-- about: For each probe and tap: what was read, and what weakens verdicts: packets dropped, seen twice or never, cut
-- about: headers, clocks that went back, gaps in the observation.
-- param limit=100
SELECT
    probe,
    tap,
    name AS capture,
    sum(packets_read) AS packets,
    sum(dropped_packets) AS dropped,
    sum(cut_segments) AS cut,
    sum(malformed_packets) AS malformed,
    sum(twice) AS captured_twice,
    sum(unseen) AS unseen_bytes,
    sum(back) AS clock_steps_back,
    sum(gaps) AS interrupted_flows,
    sum(flow_rows) AS flows
FROM
(
    SELECT
        probe, tap, ifNull(capture, '') AS name, packets AS packets_read, dropped AS dropped_packets,
        cut AS cut_segments, malformed AS malformed_packets, 0 AS twice, 0 AS unseen, 0 AS back, 0 AS gaps,
        0 AS flow_rows
    FROM probes
    UNION ALL
    SELECT
        probe, tap, ifNull(capture, '') AS name, 0, 0, 0, 0, captured_twice, unseen_bytes, clock_steps_back,
        toInt64(interrupted), 1
    FROM flows FINAL
)
GROUP BY probe, tap, name
ORDER BY probe, tap, name
LIMIT {limit:UInt32}
