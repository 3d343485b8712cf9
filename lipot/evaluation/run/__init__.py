"""How an evaluation is run: what it is given, the engine that attacks, and what it keeps."""
