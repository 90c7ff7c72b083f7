#!/usr/bin/env python3
"""Tiles put together: assemble.py [--out picture] FOLDER:FOLDER... or files, in the order of the tiles.

A folder has one tile, tile.npy. The picture has the bytes of the one that was made in one piece.
"""

import array
import os
import sys

from gaussian2d import facts, load, save


def main():
    names = sys.argv[1:]
    out = "picture"
    if names[:1] == ["--out"]:
        out, names = names[1], names[2:]
    files = [os.path.join(n, "tile.npy") if os.path.isdir(n) else n for n in ":".join(names).split(":")]
    z, nx, ny = array.array("d"), 0, 0
    for name in files:
        part, (rows, ny) = load(name)
        nx += rows
        z.extend(part)
    digest = save(out, z, nx, ny)
    facts(tiles=len(files), points=len(z), peak=max(z), digest=digest)
    print(f"{len(files)} tiles: {nx} x {ny} points, sha256 {digest[:16]}")


if __name__ == "__main__":
    main()
