-- title: Top talkers
-- about: Hosts by the payload that they sent, with what they received, and their connections.
-- param since=1970-01-01 00:00:00
-- param until=2106-01-01 00:00:00
-- param limit=20
SELECT
    replaceRegexpOne(toString(host), '^::ffff:', '') AS host,
    sum(sent) AS sent_bytes,
    sum(received) AS received_bytes,
    uniqCombined64Merge(14)(connections) AS connections
FROM
(
    SELECT src AS host, payload_bytes AS sent, 0 AS received, connections
    FROM pair_1m
    WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
    UNION ALL
    SELECT dst AS host, 0 AS sent, payload_bytes AS received, connections
    FROM pair_1m
    WHERE minute >= {since:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
)
GROUP BY host
ORDER BY sent_bytes DESC, received_bytes DESC, host
LIMIT {limit:UInt32}
