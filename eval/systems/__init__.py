"""Systems under test: our network, and finished predictions of others."""
