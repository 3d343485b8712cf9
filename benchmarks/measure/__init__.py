"""Commands that measure one thing each, and write it as JSON to `benchmarks/results/`."""
