"""An attack on the certificates: random networks, random histories of their weights.

`__main__` runs it; `networks` draws a network, `histories` changes its weights, `answers` asks it
in every way there is, `ascent` looks for a changed prediction within each certified radius.
"""
