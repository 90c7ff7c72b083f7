#!/usr/bin/env python3
"""A Gaussian in two dimensions on a grid of points, or one tile of it.

    gaussian2d.py [--step 0.01] [--sigma 1] [--extent=-2,2,-2,2] [--tile 1 --tiles 4] [--out picture]

Points are xmin, xmin + step, ... below xmax, and the same in y. A tile is a strip of the rows of x: a point has the same
bits in whichever tile it is, so tiles side by side are the picture. Writes OUT.npy (doubles, x by y), OUT.pgm to look at,
and model_output.toml. One point after the other in plain Python, as a loop over a slow model would be.
"""

import argparse
import array
import hashlib
import math
import time


def gaussian2d(x, y, sigma):
    """Density at (x, y), the centre in the origin."""
    return 1 / (2 * math.pi * sigma**2) * math.exp(-1 * (x**2 + y**2) / (2 * sigma**2))


def count(low, high, step):
    """Points from low, step apart, below high."""
    return max(0, math.ceil((high - low) / step - 1e-9))


def rows_of(tile, tiles, nx):
    """Rows of x that a tile has, from 1: no two share one, none is left out."""
    return range(nx * (tile - 1) // tiles, nx * tile // tiles)


def points(extent, step, sigma, rows):
    """Density on some rows of x, row after row."""
    xmin, _, ymin, ymax = extent
    ys = [ymin + j * step for j in range(count(ymin, ymax, step))]
    return array.array("d", (gaussian2d(xmin + i * step, y, sigma) for i in rows for y in ys))


def save(name, z, nx, ny):
    """NAME.npy, and NAME.pgm as it is looked at: x to the right, y upwards."""
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d), }" % (nx, ny)
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(name + ".npy", "wb") as out:
        out.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + z.tobytes())
    top = max(z, default=1.0)
    with open(name + ".pgm", "wb") as out:
        out.write(b"P5\n%d %d\n255\n" % (nx, ny))
        for j in reversed(range(ny)):
            out.write(bytes(int(255 * v / top) for v in z[j::ny]))
    return hashlib.sha256(z.tobytes()).hexdigest()


def load(name):
    """Numbers and shape of a file of `save`."""
    with open(name, "rb") as file:
        file.seek(8)
        head = file.read(int.from_bytes(file.read(2), "little")).decode()
        shape = eval(head)["shape"]  # a dictionary that `save` wrote
        z = array.array("d")
        z.frombytes(file.read())
    return z, shape


def facts(**values):
    """model_output.toml: what goes into the table of a grid."""
    with open("model_output.toml", "w") as out:
        for name, value in values.items():
            out.write(f"{name} = " + (f'"{value}"' if isinstance(value, str) else repr(value)) + "\n")


def options(text=__doc__):
    """Options that all programs of this example share."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--step", type=float, default=0.01)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--extent", default="-2,2,-2,2", help="xmin,xmax,ymin,ymax")
    parser.add_argument("--tiles", type=int, default=1)
    parser.add_argument("--out", default="picture")
    return parser


def extent_of(text):
    """Four numbers."""
    return tuple(float(x) for x in text.split(","))


def main():
    parser = options()
    parser.add_argument("--tile", type=int, default=1, help="which, from 1")
    asked = parser.parse_args()
    extent = extent_of(asked.extent)
    start = time.perf_counter()
    nx, ny = count(extent[0], extent[1], asked.step), count(extent[2], extent[3], asked.step)
    rows = rows_of(asked.tile, asked.tiles, nx)
    z = points(extent, asked.step, asked.sigma, rows)
    seconds = time.perf_counter() - start
    digest = save(asked.out, z, len(rows), ny)
    facts(points=len(z), digest=digest)
    print(f"tile {asked.tile} of {asked.tiles}: {len(z)} points in {seconds:.3f} s")


if __name__ == "__main__":
    main()
