"""What can go wrong before a capture is read at all.

What goes wrong later (a cut record, a damaged archive) is no exception: see ``CaptureReader.complete``.
"""


class CaptureError(Exception):
    """The input cannot be read as a capture; the message is one line that names the input and the reason."""
