-- title: Slowest connections
-- about: Flows by the time that they were held back; time of the sending application counts half.
-- param limit=20
SELECT
    leftPad(lower(hex(conn_id)), 16, '0') AS conn,
    concat(replaceRegexpOne(toString(src), '^::ffff:', ''), ' ', toString(src_port)) AS sender,
    concat(replaceRegexpOne(toString(dst), '^::ffff:', ''), ' ', toString(dst_port)) AS receiver,
    verdict,
    cause,
    round((time_receiver + time_network + time_setup + time_sender / 2) * covered_ns / 1e9, 3) AS held_back_s,
    round(covered_ns / 1e9, 3) AS observed_s,
    payload_bytes,
    delivery_rate_bps,
    round(rtt_p50_ns / 1e6, 3) AS rtt_ms,
    round(100 * retransmitted_packets / nullIf(packets, 0), 2) AS retransmitted_percent,
    round(confidence, 2) AS confidence
FROM flows FINAL
ORDER BY held_back_s DESC, conn, sender
LIMIT {limit:UInt32}
