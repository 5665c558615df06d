"""What a value means and under which protocol it was measured; the registry of all values by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from annotated_types import Ge, Len, Lt, Predicate

from cgan.errors import CganError, check_choice, is_printable

Text = Annotated[str, Len(0, 10_000), Predicate(is_printable)]
"""A string of a record, which may be untrusted and is printed."""
Count = Annotated[int, Ge(0), Lt(2**63)]
"""A number of things in a record, which may be untrusted and is divided and printed."""
FINITE = {"allow_inf_nan": False}
"""What pydantic checks of a record besides its types."""
SCORE = "fid"
"""The value by which epochs and runs are ranked: the smaller, the better."""
Direction = Literal["lower", "higher", "near", "at most real", "none"]


@dataclass(frozen=True)
class Description:
    """What a reader must know of one value.

    Raises:
        CganError: The direction is none of those, or lacks its target.
    """

    __pydantic_config__ = FINITE
    name: Text  # the key of the value, such as `fid`
    title: Text  # a heading of a few words
    sentence: Text = ""  # what the number says, in one sentence for a student
    direction: Direction = (
        "none"  # what is good; `at most real`: no more than real images have; `none`: a mere deviation
    )
    target: float | None = None  # the best value where the direction is `near`
    low: float | None = None  # the lowest possible value; None: unbounded
    high: float | None = None  # the highest possible value; None: unbounded
    needs: Text = ""  # what it takes to compute it
    source: Text = ""  # the publication that defines it
    per_class: bool = False  # whether there is one number per class instead of one in all

    def __post_init__(self) -> None:
        check_choice(f"direction of the value {self.name}", self.direction, get_args(Direction))
        if self.direction == "near" and self.target is None:
            raise CganError(f"direction of the value {self.name}=near: expected a target as well")

    @property
    def advice(self) -> str:
        """What is good, in words for a table; empty where the direction is ``none``."""
        if self.direction == "near":
            return f"near {self.target:g} is best"
        words = {
            "lower": "lower is better",
            "higher": "higher is better",
            "at most real": "at most that of real images",
        }
        return words.get(self.direction, "")


@dataclass(frozen=True)
class Protocol:
    """All that two evaluations must share for their values to be compared."""

    data: Text  # name of the data set
    features: Text  # name of the feature extractor
    features_hash: Text  # 16 hexadecimal digits that name its weights; empty where they were not recorded
    resize: Text  # how images are resized before the extractor reads them
    n: Count  # number of samples
    seed: Count  # of the samples
    reference: Text = "train"  # the split that samples are compared with: train or test
    weights: Text = "ema"  # the generator's: ema (averaged) or raw
    truncation: float = 1.0  # of the samples: below 1 they are neater and less varied

    def __str__(self) -> str:
        words = f"{self.data}, {self.features} features, {self.n:,} samples, {self.reference} split"
        return words if self.truncation == 1 else f"{words}, truncation {self.truncation:g}"

    @property
    def told_apart(self) -> str:
        """The protocol in words, another for features of other weights: a model of timm may be read from two files."""
        return f"{self}, weights {self.features_hash[:6]}" if self.features_hash else str(self)

    def tag(self, name: str) -> str:
        """Compose a name for loggers: ``fid`` -> ``fid_digits_10k``, ``a/3`` -> ``a_digits_10k/3``; never parsed."""
        count = f"{self.n // 1000}k" if self.n % 1000 == 0 else str(self.n)
        base, slash, label = name.partition("/")
        split = [] if self.reference == "train" else [self.reference]
        truncated = [] if self.truncation == 1 else [f"truncation{self.truncation:g}"]
        return "_".join([base, self.features, count, *split, *truncated]) + slash + label


_BUNDLED = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
_REGISTRY = {name: Description(name, **fields) for name, fields in _BUNDLED.items()}


def described(*names: str) -> tuple[Description, ...]:
    """Return the descriptions of values that stand in ``values.yaml``."""
    return tuple(_REGISTRY[name] for name in names)


def register_value(description: Description) -> None:
    """Add a description to the registry; one of the same name is replaced."""
    _REGISTRY[description.name] = description


def describe(name: str) -> Description:
    """Return the description of a value; of an unknown one, a description that has its name only."""
    return _REGISTRY.get(name) or Description(name, name)


def short(value: float, digits: int = 3) -> str:
    """Write a number with some significant digits, and all those before the point."""
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e9 else f"{value:.{digits}g}"


def beside_real(name: str, value: float, real: float | None) -> str:
    """Write a value for a line of text: its title, and that of real images where there is one."""
    known = "" if real is None else f" (real images {short(real)})"
    return f"{describe(name).title} {short(value)}{known}"
