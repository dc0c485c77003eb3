-- title: Where packets are lost
-- about: Repairs of losses before the tap (sender's host) and behind it (network or receiver), by sending host.
-- param limit=20
SELECT
    probe,
    replaceRegexpOne(toString(src), '^::ffff:', '') AS sender,
    sum(lost_near) AS before_tap,
    sum(lost_far) AS behind_tap,
    sum(spurious_retransmissions) AS needless,
    sum(retransmitted_packets) AS retransmitted,
    sum(packets) AS sent,
    uniq(dst) AS receivers
FROM flows FINAL
WHERE lost_near + lost_far > 0
GROUP BY probe, src
ORDER BY before_tap + behind_tap DESC, probe, sender
LIMIT {limit:UInt32}
