"""The tables of the papers: each row trained, attacked and stored by one runner."""
