import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from PIL import Image
from processes import ROOT
from safetensors.torch import save_file

from cgan.data.sources import Mnist5k
from cgan.errors import CganError
from cgan.metrics import digits
from cgan.metrics.auto import _of_unlabelled
from cgan.metrics.classifier import accuracy, jitter
from cgan.metrics.digits import DigitExtractor, DigitNet, fused
from cgan.metrics.distances import FrechetDistance, frechet_distance
from cgan.metrics.features import Features, extract, labels_like
from cgan.metrics.inception import InceptionExtractor, clean_resize
from cgan.metrics.labels import LabelAgreement
from cgan.metrics.metric import RealImages
from cgan.metrics.pixels import PixelExtractor
from cgan.metrics.suite import Suite
from cgan.metrics.timm_model import DINO
from cgan.metrics.values import Protocol
from cgan.spec import DataSpec

SPEC = Mnist5k().spec


@pytest.fixture(scope="module")
def extractor() -> DigitExtractor:
    return DigitExtractor()


@pytest.fixture(scope="module")
def seen(extractor) -> Features:
    """1,000 real digits."""
    return extract(extractor, *Mnist5k(100).load("test"))


def test_the_extractor_reads_real_digits(seen):
    assert LabelAgreement().compute(seen, seen)["label_agreement"] >= 0.995


def test_the_extractor_stays_frozen_and_in_eval_mode(extractor):
    extractor.train()
    assert not any(module.training for module in extractor.modules())
    assert not any(weight.requires_grad for weight in extractor.parameters())


def test_folding_batch_norm_changes_no_number():
    torch.manual_seed(0)
    net = DigitNet()
    for _ in range(3):
        net(torch.randn(8, 1, 28, 28))
    net.eval()
    images = torch.randn(4, 1, 28, 28)
    expected = net(images)
    torch.testing.assert_close(fused(net)(images), expected, rtol=1e-4, atol=1e-5)


def test_other_weights_are_refused(tmp_path):
    changed = bytearray(digits.WEIGHTS.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(changed)
    with pytest.raises(CganError, match="SHA-256"):
        DigitExtractor(tmp_path / "digits.safetensors")
    with pytest.raises(CganError, match="cannot read"):
        DigitExtractor(tmp_path / "none.safetensors")


def gaussian(n: int, mean: float, scale: float) -> Features:
    """Features whose sample mean and covariance are exactly `mean` and `scale` squared times the identity."""
    torch.manual_seed(n)
    x = torch.randn(n, 3, dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1)).T)
    return Features(torch.zeros(n, dtype=torch.long), (x * scale + mean), torch.zeros(n, 10), torch.zeros(n, 1, 1, 1))


def test_frechet_distance_of_known_gaussians():
    """|m1 - m2|^2 + d (s1 - s2)^2 for isotropic Gaussians."""
    distance = frechet_distance(gaussian(300, 1.0, 3.0), gaussian(500, -1.0, 1.0))
    assert distance == pytest.approx(3 * 2**2 + 3 * (3 - 1) ** 2, rel=1e-4)
    assert frechet_distance(gaussian(300, 1.0, 3.0), gaussian(300, 1.0, 3.0)) == pytest.approx(0, abs=1e-4)


def test_label_agreement_counts_matches():
    logits = F.one_hot(torch.tensor([2, 2, 5, 1]), 10).float()
    samples = Features(torch.tensor([2, 3, 5, 0]), torch.zeros(4, 1), logits, torch.zeros(4, 1, 1, 1))
    assert LabelAgreement().compute(samples, samples) == {"label_agreement": 0.5}


def test_requested_labels_follow_the_reference_histogram():
    reference = torch.tensor([0] * 60 + [1] * 30 + [3] * 10)
    assert labels_like(reference, 10).bincount().tolist() == [6, 3, 0, 1]
    assert labels_like(reference, 7).bincount().tolist() == [4, 2, 0, 1]
    assert len(labels_like(reference, 333)) == 333


def test_blurred_digits_are_further_than_real_ones(extractor, seen):
    images, labels = Mnist5k(100).load("test")
    blurred = F.avg_pool2d(images.float(), 5, 1, 2).byte()
    far = frechet_distance(extract(extractor, blurred, labels), seen)
    other = extract(extractor, *(part[:1000] for part in Mnist5k(100).load("train")))
    assert far > 5
    assert far > frechet_distance(seen.spread(500), seen)
    assert frechet_distance(other, seen) > 5  # the first 1,000 training digits are zeros, ones and twos


def test_measuring_refuses_what_it_cannot_measure(extractor, seen):
    suite = Suite(extractor, {"fid": FrechetDistance()}, RealImages(seen, seen, 10))
    with pytest.raises(CganError, match="expected 10 samples, found 9"):
        suite.measure(seen.spread(9))
    spoilt = seen.spread(10)._replace(features=torch.full((10, 64), float("nan")))
    with pytest.raises(CganError, match="not finite"):
        suite.measure(spoilt)
    with pytest.raises(CganError, match="2 or more held-out images, found 1"):
        Suite(extractor, {"fid": FrechetDistance()}, RealImages(seen, seen, 1))
    extractor.check(SPEC)
    with pytest.raises(CganError, match=r"features=digits: .*3x64x64.*leave features= out"):
        extractor.check(DataSpec("faces", (3, 64, 64), ("a", "b")))


def test_jitter_moves_images_and_keeps_their_range():
    images = torch.full((6, 1, 28, 28), -1.0)
    images[:, :, 10:18, 10:18] = 1.0
    moved = jitter(images, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert moved.aminmax().min.item() == pytest.approx(-1)
    assert moved.amax().item() <= 1 + 1e-6
    assert not torch.equal(moved[0], moved[1])
    assert (moved[:, :, 13:15, 13:15] > 0.9).all()  # the middle stays ink


def test_accuracy_counts():
    def reads_mean(images):
        return F.one_hot((images.mean((1, 2, 3)) > 0).long(), 2).float()

    class Reader(torch.nn.Module):
        def forward(self, images):
            return reads_mean(images)

    images = torch.tensor([0, 255, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    assert accuracy(Reader(), images, torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)


def test_inception_weights_out_of_reach_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(CganError, match=r"weights-inception-2015-12-05-6726825d\.pth.*by hand") as caught:
        InceptionExtractor()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("size", [(32, 48), (400, 320)])
def test_the_clean_resize_is_that_of_pillow(size):
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    channels = [Image.fromarray(channel.numpy()).convert("F") for channel in images[1]]
    expected = [np.asarray(channel.resize((299, 299), Image.Resampling.BICUBIC)) for channel in channels]
    found = clean_resize(images)
    assert (found.shape, found.dtype) == ((2, 3, 299, 299), torch.uint8)
    assert np.abs(found[1].numpy() - np.stack(expected).clip(0, 255)).max() <= 0.51


def test_an_unknown_resize_is_refused_before_any_download():
    with pytest.raises(CganError, match=r"features\.resize=nearest: expected one of tf1, clean"):
        InceptionExtractor("nearest")


class _InceptionShaped(torch.nn.Module):
    """In place of the network, whose weights need a download: of its shapes, and it tells what it was given."""

    def __init__(self, name: str, features: list[str]) -> None:
        super().__init__()
        assert features == ["2048", "logits_unbiased"]
        self.given: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.given.append(tuple(images.shape))
        return torch.zeros(len(images), 2048), torch.zeros(len(images), 1008)


@pytest.mark.parametrize(("resize", "side"), [("tf1", 32), ("clean", 299)])
def test_both_resize_rules_of_published_values_stand_in_the_tag(monkeypatch, resize, side):
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3", _InceptionShaped)
    extractor = InceptionExtractor(resize)
    features, logits = extractor(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    assert (features.shape, logits.shape) == ((2, 2048), (2, 1008))
    assert extractor.net.given == [(2, 3, side, side)], "the graph itself resizes for tf1"
    tags = [
        Protocol("cifar10", extractor.name, "", extractor.resize, n, 0, split).tag("fid")
        for n, split in ((50_000, "train"), (10_000, "test"))
    ]
    assert tags == [f"fid_inception_{resize}_50k", f"fid_inception_{resize}_10k_test"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_data_without_classes_are_read_by_inception_where_it_is_at_hand(monkeypatch, tmp_path, caplog, there, device):
    weights = tmp_path / "weights.pth"
    if there:
        weights.touch()
    monkeypatch.setattr("cgan.metrics.auto.inception_file", lambda: weights)
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3", _InceptionShaped)
    with caplog.at_level("INFO", "cgan"):
        found = _of_unlabelled(device)
    assert isinstance(found, InceptionExtractor if there and device == "cuda" else PixelExtractor)
    said = "inception, as" if device == "cuda" else "features=inception, whose weights are here"
    assert (said in caplog.text) == there


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_data_without_classes_are_read_by_dinov2_where_it_alone_is_at_hand(monkeypatch, tmp_path, caplog, device):
    timm = pytest.importorskip("timm")
    constants = pytest.importorskip("huggingface_hub.constants")
    assert OmegaConf.load(ROOT / "conf/features/timm.yaml").name == DINO
    monkeypatch.setattr("cgan.metrics.auto.inception_file", lambda: tmp_path / "none.pth")
    monkeypatch.setattr("cgan.metrics.auto.DINO", "test_vit")  # a small model in its place
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert isinstance(_of_unlabelled(device), PixelExtractor)
    place = tmp_path / f"models--{timm.get_pretrained_cfg('test_vit').hf_hub_id.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots" / ("0" * 40)).mkdir(parents=True)
    stored = timm.create_model("test_vit").state_dict()
    save_file(stored, place / "snapshots" / ("0" * 40) / "model.safetensors")
    with caplog.at_level("INFO", "cgan"):
        found = _of_unlabelled(device)
    if device == "cpu":
        assert isinstance(found, PixelExtractor)
        assert "features=timm, whose weights are here, sees more, but on a CPU takes longer" in caplog.text
    else:
        assert found.name == "test_vit"
        assert torch.equal(found.net.state_dict()["cls_token"], stored["cls_token"]), "the weights of the cache"
