"""Hinge-KR losses and losses over clean and adversarial pairs."""
