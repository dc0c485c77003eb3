-- title: Connections that did not come about, or late
-- about: Openings that were refused, unanswered, or needed more than one SYN; by server, port and cause.
-- param limit=20
SELECT
    replaceRegexpOne(toString(dst), '^::ffff:', '') AS server,
    dst_port AS port,
    ifNull(toString(cause), '') AS why,
    count() AS flows,
    countIf(refused) AS refused_flows,
    sum(syn_retransmissions) AS syns_repeated,
    round(sum(time_setup * covered_ns) / 1e9, 3) AS setup_s,
    uniq(src) AS clients,
    max(start_ns) AS last_seen
FROM flows FINAL
WHERE ifNull(opener, true) AND (refused OR syn_retransmissions > 0 OR verdict = 'setup')
GROUP BY dst, dst_port, why
ORDER BY flows DESC, setup_s DESC, server, port, why
LIMIT {limit:UInt32}
