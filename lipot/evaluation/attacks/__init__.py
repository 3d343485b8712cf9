"""The attacks of an evaluation, one a file, and the suites they make."""
