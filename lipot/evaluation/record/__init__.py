"""What an evaluation found: the record of a model, the report of several, tables and curves."""
