-- title: Services that are slow themselves
-- about: Servers whose answers waited for the application, by address and port: think time, slow or small writes.
-- param limit=20
SELECT
    replaceRegexpOne(toString(src), '^::ffff:', '') AS server,
    src_port AS port,
    count() AS flows,
    round(sum(time_sender * covered_ns) / 1e9, 3) AS sender_s,
    round(100 * avg(time_active_sender), 1) AS active_percent,
    topKIf(1)(ifNull(toString(cause), ''), verdict = 'sender')[1] AS mostly,
    sum(payload_bytes) AS sent_bytes,
    uniq(dst) AS clients
FROM flows FINAL
WHERE NOT ifNull(opener, false) AND time_sender > 0
GROUP BY src, src_port
ORDER BY sender_s DESC, server, port
LIMIT {limit:UInt32}
