"""Whether an evaluation is to be believed: signs of masked gradients."""
