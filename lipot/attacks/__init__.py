"""In-graph attacks used while training."""
