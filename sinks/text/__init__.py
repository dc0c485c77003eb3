"""Rows as text: JSON lines and CSV from a compiled writer, and the table that a person reads first."""
