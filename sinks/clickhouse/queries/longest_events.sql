-- title: Longest events
-- about: Stalls, loss episodes, closed windows and failed setups by their length; kind may be given.
-- param kind=
-- param limit=20
SELECT
    start_ns AS start,
    round(duration_ns / 1e9, 3) AS duration_s,
    kind,
    verdict,
    cause,
    concat(replaceRegexpOne(toString(src), '^::ffff:', ''), ' ', toString(src_port)) AS sender,
    concat(replaceRegexpOne(toString(dst), '^::ffff:', ''), ' ', toString(dst_port)) AS receiver,
    packets,
    bytes,
    leftPad(lower(hex(conn_id)), 16, '0') AS conn
FROM events
WHERE {kind:String} = '' OR toString(kind) = {kind:String}
ORDER BY duration_ns DESC, start_ns, conn, sender
LIMIT {limit:UInt32}
