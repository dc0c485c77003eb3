-- title: Receivers that closed their window
-- about: Hosts that advertised a window of zero: their applications did not read what had arrived.
-- param limit=20
SELECT
    replaceRegexpOne(toString(dst), '^::ffff:', '') AS receiver,
    dst_port AS port,
    sum(zero_windows) AS closed,
    round(sum(zero_window_ns) / 1e9, 3) AS closed_s,
    round(sum(time_receiver * covered_ns) / 1e9, 3) AS receiver_s,
    count() AS flows,
    max(rwnd_max_bytes) AS largest_window_bytes
FROM flows FINAL
WHERE zero_windows > 0
GROUP BY dst, dst_port
ORDER BY closed_s DESC, closed DESC, receiver, port
LIMIT {limit:UInt32}
