-- title: Receiver limits behind the network
-- about: Windows that the network held back although the receiver's window was nearly full as well: mending the network
-- about: alone will not help these.
-- param limit=20
SELECT
    replaceRegexpOne(toString(dst), '^::ffff:', '') AS receiver,
    dst_port AS port,
    count() AS windows,
    uniq(conn_id) AS connections,
    topK(3)(arrayJoin(arrayMap(cause -> toString(cause), secondary_causes))) AS also,
    max(rwnd_bytes) AS window_bytes
FROM windows
WHERE verdict = 'network'
    AND hasAny(
        arrayMap(cause -> toString(cause), secondary_causes),
        ['zero_window', 'window_full', 'slow_reader', 'small_buffer', 'delayed_ack', 'silly_window'])
GROUP BY dst, dst_port
ORDER BY windows DESC, receiver, port
LIMIT {limit:UInt32}
