"""From the windows topic into a store, each row once."""
