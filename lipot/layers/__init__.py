"""1-Lipschitz and transport layers; each knows its own Lipschitz bound."""
