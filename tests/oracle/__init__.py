"""The slow oracle: what `docs/rules.md` says, written a second time in plain Python without numba.

It was written from the RFCs and the rules page, not from the engine, and shares no code with it.
"""
