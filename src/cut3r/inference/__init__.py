"""A model and a stream of frames become a reconstruction."""
