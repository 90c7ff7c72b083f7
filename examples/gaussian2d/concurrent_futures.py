#!/usr/bin/env python3
"""The same by a pool of processes inside one script: concurrent_futures.py --workers 4 [--tiles 8] [options of gaussian2d.py]

What the worker pool of the toolkit is compared with: a process for each worker, tiles come back by pipe, one figure.
"""

import array
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from gaussian2d import count, extent_of, options, points, rows_of, save


def main():
    parser = options(__doc__)
    parser.add_argument("--workers", type=int, default=4)
    asked = parser.parse_args()
    extent = extent_of(asked.extent)
    start = time.perf_counter()
    nx, ny = count(extent[0], extent[1], asked.step), count(extent[2], extent[3], asked.step)
    parts = {}
    with ProcessPoolExecutor(max_workers=asked.workers) as pool:
        of = lambda k: pool.submit(points, extent, asked.step, asked.sigma, rows_of(k, asked.tiles, nx))
        waiting = {of(k): k for k in range(1, asked.tiles + 1)}
        for done in as_completed(waiting):
            parts[waiting[done]] = done.result()
    z = array.array("d")
    for k in sorted(parts):
        z.extend(parts[k])
    digest = save(asked.out, z, nx, ny)
    print(f"{asked.workers} workers: {len(z)} points in {time.perf_counter() - start:.3f} s, sha256 {digest[:16]}")


if __name__ == "__main__":
    main()
