"""What an evaluation found: the record of each model, the report of several, its tables and curves."""
