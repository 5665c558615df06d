"""Draw digits with onnxruntime and NumPy alone: no torch, no cgan.

python export.py format=onnx out=generator.onnx
python examples/draw_with_onnxruntime.py generator.onnx 7 0 seven.pgm
"""

import json
import sys

import numpy as np
import onnxruntime

model, wanted, seed, out = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
described = session.get_modelmeta().custom_metadata_map
label = json.loads(described["class_names"]).index(wanted)
z = np.random.default_rng(int(seed)).standard_normal((1, int(described["z_dim"])), dtype=np.float32)
(images,) = session.run(["images"], {"z": z, "labels": np.array([label])})
pixels = np.round((images[0, 0] + 1) * 127.5).clip(0, 255).astype(np.uint8)
with open(out, "wb") as file:  # PGM, the simplest grey picture: a header, then the pixels
    file.write(b"P5 %d %d 255\n" % pixels.shape[::-1] + pixels.tobytes())
for row in pixels[::2]:
    print("".join(" .:*#"[level // 52] for level in row))
