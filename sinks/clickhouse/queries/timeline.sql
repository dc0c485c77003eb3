-- title: Time line of a connection
-- about: Every window of both directions, with what held it back. The parameter is the conn_id as rows show it; without
-- about: one, the connection that was held back longest is taken.
-- param conn=
-- param limit=1000
SELECT
    window_start_ns AS start,
    concat(replaceRegexpOne(toString(src), '^::ffff:', ''), ' ', toString(src_port)) AS sender,
    concat(replaceRegexpOne(toString(dst), '^::ffff:', ''), ' ', toString(dst_port)) AS receiver,
    verdict,
    cause,
    round(time_sender, 3) AS sender_share,
    round(time_receiver, 3) AS receiver_share,
    round(time_network, 3) AS network_share,
    packets,
    payload_bytes,
    retransmitted_packets AS retransmitted,
    round(rtt_p50_ns / 1e6, 3) AS rtt_ms,
    flight_max_bytes,
    cwnd_bytes,
    rwnd_bytes,
    state,
    round(confidence, 2) AS confidence
FROM windows
WHERE conn_id = if(
    {conn:String} = '',
    (
        SELECT conn_id
        FROM flows FINAL
        ORDER BY (time_receiver + time_network + time_setup + time_sender / 2) * covered_ns DESC, conn_id
        LIMIT 1
    ),
    reinterpretAsUInt64(reverse(unhex({conn:String}))))
ORDER BY window_start_ns, sender, receiver
LIMIT {limit:UInt32}
