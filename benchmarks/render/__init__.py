"""Commands that write stored results into README.md and the pages of the docs."""
