"""Features made ready: a data set's classifier is trained before the first run needs it."""

import logging
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from cgan.data.build import build_source
from cgan.errors import CganError
from cgan.files import write_file
from cgan.hardware import check_device
from cgan.metrics.features import Extractor
from cgan.metrics.own import ClassifierExtractor, serialised
from cgan.plugins import load_plugins

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> Extractor:
    """Return the extractor for the data that ``cfg`` names, trained now unless it was before.

    Raises:
        CganError: There is no such device, the data do not fit, or ``out`` is given for features of no classifier.
    """
    load_plugins(cfg.plugins)
    check_device(cfg.device)
    source = build_source(cfg.data)
    source.prepare()
    train, test = source.load("train"), source.load("test")
    found: Extractor = instantiate(cfg.features).fitted(source.spec, train, test, cfg.device)
    log.info("Features: %s, hash %s", found.name, found.weights_hash())
    if cfg.out is not None:
        if not isinstance(found, ClassifierExtractor):
            raise CganError(f"out={cfg.out}: {found.name} are no classifier's features; leave out= out")
        write_file(Path(cfg.out), serialised(found))
        log.info("Written: %s", cfg.out)
    return found
