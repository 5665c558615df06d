"""Old names, until the last importer has changed."""

from cgan.sampling.decode import MAX_BYTES
from cgan.sampling.decode import decode_image as decode_picture

__all__ = ["MAX_BYTES", "decode_picture"]
