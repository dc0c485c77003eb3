-- title: Receivers whose window is too small, and what they need
-- about: The window that a flow would fill without the limit: it delivered its rate although the window blocked it for a
-- about: share of its active time, so rate / (1 - share) times the round trip. Flows blocked nearly always (above 95 %)
-- about: show no need, because nothing shows what they would do without.
-- param min_blocked=0.1
-- param limit=20
SELECT
    replaceRegexpOne(toString(dst), '^::ffff:', '') AS receiver,
    dst_port AS port,
    count() AS flows,
    round(100 * avg(time_active_receiver), 1) AS blocked_percent,
    max(rwnd_max_bytes) AS window_bytes,
    max(accurateCastOrNull(
        round(
            delivery_rate_bps / 8 / if(time_active_receiver <= 0.95, 1 - time_active_receiver, NULL)
            * rtt_p50_ns / 1e9),
        'Int64')) AS needed_bytes,
    round(max(rtt_p50_ns) / 1e6, 3) AS rtt_ms,
    max(delivery_rate_bps) AS rate_bps,
    max(window_scale) AS scale
FROM flows FINAL
WHERE time_active_receiver >= {min_blocked:Float64}
GROUP BY dst, dst_port
ORDER BY sum(time_receiver * covered_ns) DESC, receiver, port
LIMIT {limit:UInt32}
