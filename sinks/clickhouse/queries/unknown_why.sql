-- title: What could not be decided, and why
-- about: Windows whose verdict is unknown, by cause and probe: how much time, and how sure the rules were.
-- param limit=50
SELECT
    ifNull(toString(cause), '') AS why,
    probe,
    count() AS rows,
    uniq(conn_id) AS connections,
    round(sum(time_unknown * covered_ns) / 1e9, 3) AS unknown_s,
    round(avg(confidence), 2) AS mean_confidence
FROM windows
WHERE verdict = 'unknown'
GROUP BY why, probe
ORDER BY rows DESC, why, probe
LIMIT {limit:UInt32}
