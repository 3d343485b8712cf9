"""Attack suites, curves and reports."""
