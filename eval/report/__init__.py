"""The report of evaluation runs: python -m eval.report RUN [RUN ...] --out DIR."""
