"""Evaluation with the published protocols: python -m eval.video_depth dataset=sintel weights=512-dpt."""
