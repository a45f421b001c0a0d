"""Poses, cameras, focal lengths, registration, points: pure functions on tensors."""
