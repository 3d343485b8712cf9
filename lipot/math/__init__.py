"""Pure functions of tensors: the mathematics under every layer, loss and certificate."""
