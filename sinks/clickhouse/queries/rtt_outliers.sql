-- title: Round trips far above their minimum
-- about: Flows whose 95th percentile of the round trip is a multiple of their smallest: queues, or a host that answers
-- about: late. The legs on both sides of the tap say where.
-- param min_ratio=4
-- param limit=20
SELECT
    leftPad(lower(hex(conn_id)), 16, '0') AS conn,
    concat(replaceRegexpOne(toString(src), '^::ffff:', ''), ' ', toString(src_port)) AS sender,
    concat(replaceRegexpOne(toString(dst), '^::ffff:', ''), ' ', toString(dst_port)) AS receiver,
    round(rtt_p95_ns / nullIf(rtt_min_ns, 0), 1) AS ratio,
    round(rtt_min_ns / 1e6, 3) AS rtt_min_ms,
    round(rtt_p50_ns / 1e6, 3) AS rtt_median_ms,
    round(rtt_p95_ns / 1e6, 3) AS rtt_95_ms,
    round(near_rtt_min_ns / 1e6, 3) AS sender_leg_ms,
    round(far_rtt_min_ns / 1e6, 3) AS receiver_leg_ms,
    rtt_samples,
    verdict,
    cause
FROM flows FINAL
WHERE ratio >= {min_ratio:Float64}
ORDER BY rtt_p95_ns - rtt_min_ns DESC, conn, sender
LIMIT {limit:UInt32}
