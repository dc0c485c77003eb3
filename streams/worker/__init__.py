"""The stream worker: segment batches in, window batches out, state in a Faust table. It knows nothing of TCP."""
