#!/usr/bin/env python3
"""Units of a made-up mountain basin of 2200 km2 at three levels, and its river: the same files again from a seed.

12 elevation bands in one basin; 385 response units and 2331 cells in 52 basins along a river. Heights are 1400 to
3500 m with few units at either end. Nothing in it stands for a real place.
"""
import random

AREA, BASINS = 2200.0, 52


def units(count, basins, seed):
    draw = random.Random(seed)
    heights = [1400.0 + 2100.0 * (draw.random() + draw.random()) / 2 for _ in range(count)]
    if basins == 1:
        heights.sort()
    areas = [AREA / count * (0.5 + draw.random()) for _ in range(count)]
    with open(f"units_{count}.csv", "w") as out:
        out.write("basin,elevation_m,area_km2\n" if basins > 1 else "elevation_m,area_km2\n")
        for k, (height, area) in enumerate(zip(heights, areas)):
            basin = f"{k % basins + 1}," if basins > 1 else ""
            out.write(f"{basin}{height:.0f},{area:.4f}\n")


def river(seed):
    draw = random.Random(seed)
    with open(f"river_{BASINS}.csv", "w") as out:
        out.write("id,down,length_m,elevation_m\n")
        for basin in range(1, BASINS + 1):
            # Each reach joins one nearer to the outlet, which is 1
            down = 0 if basin == 1 else draw.randrange(max(1, basin - 12), basin)
            out.write(f"{basin},{down},{300 + 23700 * draw.random() ** 2:.0f},{1400 + 20 * basin}\n")


units(12, 1, 12)
units(385, BASINS, 385)
units(2331, BASINS, 2331)
river(52)
