"""Adversarial losses and gradient penalties: pure functions of logits and images."""
