"""Adversarial losses, gradient penalties, regularisers of the generator: functions of logits, images and networks."""
