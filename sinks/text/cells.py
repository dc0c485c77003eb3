"""Text from outside (probes, taps, captures) as a JSON string or a CSV cell."""

import json

from schemas.naming import unseen, valid_text, visible

# A cell that begins with one of these is a formula to a spreadsheet; the last four are their full-width forms.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def json_text(text: str) -> bytes:
    """A JSON string; what is no valid text is replaced, everything unprintable escaped."""
    quoted = json.dumps(valid_text(text), ensure_ascii=False)
    return "".join(json.dumps(sign)[1:-1] if unseen(sign) else sign for sign in quoted).encode()


def csv_text(text: str) -> bytes:
    """A CSV cell of text from outside: no formula, no control characters, quoted where RFC 4180 wants it."""
    text = visible(valid_text(text))
    if text.startswith(_FORMULA):
        text = "'" + text
    if any(sign in text for sign in ',"'):
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()
