"""The published protocols: which frames make a stream, what is scored, what is averaged."""
