"""The store's one error: a line that a person can act on."""


class StoreError(Exception):
    """The store cannot do what was asked; the message is one line and names the store."""
