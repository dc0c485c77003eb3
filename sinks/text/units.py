"""Numbers for people: two digits or a whole number, and a unit. Bytes in steps of 1024, bits a second of 1000."""

_TIMES = ((1, "ns"), (1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s"))
_MINUTE_NS = 60 * 1_000_000_000


def short(value: float) -> str:
    """Two digits, or all in front of the point: 0.42, 4.2, 42, 420, 4200."""
    if abs(value) >= 9.95:
        return f"{value:.0f}"
    text = f"{value:.{1 if abs(value) >= 0.995 else 2}f}"
    return text.rstrip("0").rstrip(".")


def duration(ns: int) -> str:
    """A time span: ``42 ms``, ``1.5 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if ns < 0:
        return "-" + duration(-ns)
    if ns < 2 * _MINUTE_NS:
        size, unit = next(((size, unit) for size, unit in reversed(_TIMES) if ns >= size), _TIMES[0])
        return f"{short(ns / size)} {unit}"
    seconds = round(ns / 1_000_000_000)
    if seconds < 2 * 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(count: int) -> str:
    """Bytes: ``310 KB``, ``4.2 MB``."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB", "PB", "EB"):
        if abs(value) < 1000 or unit == "EB":
            break
        value /= 1024
    return f"{short(value)} {unit}"


def rate(bits_a_second: int) -> str:
    """A rate: ``93 Mbit/s``."""
    value, unit = float(bits_a_second), ""
    for unit in ("", "k", "M", "G", "T", "P", "E"):
        if abs(value) < 1000 or unit == "E":
            break
        value /= 1000
    return f"{short(value)} {unit}bit/s"


def percent(share: float) -> str:
    """A share of 1: ``71 %``, ``2.1 %``, ``< 0.1 %``."""
    value = 100 * share
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if value < 9.95 and round(value, 1) % 1 else f"{value:.0f} %"


def times(count: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
