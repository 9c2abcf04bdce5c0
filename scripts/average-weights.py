"""The mean of two models of one shape in bf16: average-weights.py A.safetensors B.safetensors RESULT.safetensors.

A model trained further on other rows and the one that it began from are often worth less than their mean (Wortsman et al.
2022, "Robust fine-tuning of zero-shot models"). Needs Python alone.
"""

import json
import sys
from array import array
from pathlib import Path


def read(path):
    data = Path(path).read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header.pop("__metadata__", None)
    return header, memoryview(data)[end:]


def wide(values):
    """bf16 as floats."""
    bits = array("H", values.tobytes())
    if sys.byteorder == "big":
        bits.byteswap()
    return array("f", array("I", [bit << 16 for bit in bits]).tobytes())


def narrow(values):
    """Floats as bf16, to the nearest, ties to even."""
    bits = array("I", values.tobytes())
    halves = array("H", [(bit + 0x7FFF + (bit >> 16 & 1)) >> 16 for bit in bits])
    if sys.byteorder == "big":
        halves.byteswap()
    return halves.tobytes()


def main(first, second, result):
    (header, a), (other, b) = read(first), read(second)
    shapes = lambda header: {name: (about["dtype"], about["shape"]) for name, about in header.items()}
    if shapes(header) != shapes(other) or any(about["dtype"] != "BF16" for about in header.values()):
        sys.exit(f"{first} and {second} are not two models of one shape in bf16")
    new, parts, at = {}, [], 0
    for name, about in header.items():
        (begin, end), (start, stop) = about["data_offsets"], other[name]["data_offsets"]
        mean = array("f", [(x + y) / 2 for x, y in zip(wide(a[begin:end]), wide(b[start:stop]))])
        parts.append(narrow(mean))
        new[name] = {**about, "data_offsets": [at, at + len(parts[-1])]}
        at += len(parts[-1])
    head = json.dumps({"__metadata__": {"format": "pt"}, **new}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    Path(result).write_bytes(len(head).to_bytes(8, "little") + head + b"".join(parts))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
