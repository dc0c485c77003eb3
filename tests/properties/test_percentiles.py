"""The percentiles come from a bounded histogram: near the exact ones, and ordered."""

from hypothesis import given, settings

from tests.oracle.oracle import connections, key_of
from tests.properties.engine_rows import column_of, flows_by_key, run, value
from tests.properties.strategies import Traffic, captures, examples
from tests.traffic.simulated import random_capture

# Four buckets an octave from 16 us: a value may be off by the width of its bucket.
BUCKET = 2**0.25
SMALLEST_BUCKET_NS = 20_000


def check(traffic: Traffic) -> int:
    """Every percentile against the oracle's samples; the number of those checked."""
    segments = traffic.segments
    rows = flows_by_key(run(segments))
    checked = 0
    for c in connections(segments):
        for f in c.flows.values():
            samples = sorted(f.rtt.samples)
            if not samples or key_of(c, f) not in rows:
                continue
            record = rows[key_of(c, f)]
            quantiles = [value(record, column_of("flows", name)) for name in ("rtt_p50_ns", "rtt_p95_ns")]
            leg = value(record, column_of("flows", "rtt_min_ns")) - samples[0]
            for share, got in zip((0.5, 0.95), quantiles, strict=True):
                rank = share * len(samples)
                below = samples[max(0, int(rank) - 2)]
                above = max(samples[min(len(samples) - 1, int(rank) + 1)], SMALLEST_BUCKET_NS)
                assert below / BUCKET <= got - leg <= above * BUCKET, (share, got - leg, below, above)
                checked += 1
            assert quantiles[0] <= quantiles[1]
    return checked


@settings(max_examples=examples(60))
@given(captures())
def test_percentiles_lie_beside_the_samples(traffic: Traffic) -> None:
    check(traffic)


def test_there_are_percentiles_to_check() -> None:
    assert sum(check(Traffic(random_capture(seed).packets, f"random_capture({seed})")) for seed in range(10)) > 10
