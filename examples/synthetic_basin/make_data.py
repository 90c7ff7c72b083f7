#!/usr/bin/env python3
"""Makes forcing.csv and observed.csv: four years of made-up weather, and the flow of a known HBV with noise.

    ./make_data.py

The weather: wet and dry spells (a chain of two states) with exponential depths, temperature as a yearly wave with an
autoregressive rest, potential evapotranspiration in proportion to it. The model below is a second coding of the HBV of
the toolkit; the noise is normal with standard deviation 0.02 mm/d + 5 % of the flow. Nothing here stands for a real place.
"""
import datetime
import math
import random

SEED = 20
DAYS = 4 * 365 + 1  # 2001 to 2004
TRUTH = dict(tt=0.4, cfmax=3.1, fc=280.0, lp=0.75, beta=2.2, k1=0.11, k2=0.012, perc=1.6, maxbas=3.4)
FIXED = dict(sfcf=0.9, cfr=0.05, cwh=0.1, k0=0.3, uzl=30.0)


def weather(rng):
    wet, rest, rows = False, 0.0, []
    for day in range(DAYS):
        season = math.sin(2 * math.pi * (day - 105) / 365.25)
        wet = rng.random() < (0.65 if wet else 0.25)
        depth = -math.log(1.0 - rng.random()) * (6.0 + 2.0 * season)
        rest = 0.8 * rest + rng.gauss(0.0, 2.4)
        t = round(4.0 + 11.0 * season + rest, 3)
        pet = round(max(0.0, 0.12 * (t + 5.0)), 3)
        rows.append((round(depth, 3) if wet else 0.0, t, pet))
    return rows


def triangle(base):
    """Shares of a triangle of this base, day by day."""
    def below(u):
        u = min(u, base)
        return 2 * (u / base) ** 2 if u < base / 2 else 1 - 2 * ((base - u) / base) ** 2
    return [below(i + 1) - below(i) for i in range(math.ceil(base))]


def hbv(rows, g):
    snow, water, sm, suz, slz = 0.0, 0.0, 150.0, 10.0, 10.0
    shares = triangle(g["maxbas"])
    later = [0.0] * len(shares)
    flow = []
    for p, t, pet in rows:
        rain = p if t > g["tt"] else 0.0
        snow += 0.0 if t > g["tt"] else p * g["sfcf"]
        melt = min(g["cfmax"] * max(t - g["tt"], 0.0), snow)
        snow -= melt
        water += melt + rain
        frozen = min(g["cfr"] * g["cfmax"] * max(g["tt"] - t, 0.0), water)
        snow, water = snow + frozen, water - frozen
        inflow = max(water - g["cwh"] * snow, 0.0)
        water -= inflow
        recharge = inflow * min(sm / g["fc"], 1.0) ** g["beta"]
        sm += inflow - recharge
        limit = g["lp"] * g["fc"]
        sm -= min(pet * min(sm, limit) / limit, sm)
        suz += recharge
        down = min(g["perc"], suz)
        suz, slz = suz - down, slz + down
        q0, q1, q2 = g["k0"] * max(suz - g["uzl"], 0.0), g["k1"] * suz, g["k2"] * slz
        suz, slz = max(suz - q0 - q1, 0.0), max(slz - q2, 0.0)
        later = [a + (q0 + q1 + q2) * s for a, s in zip(later, shares)]
        flow.append(later[0])
        later = later[1:] + [0.0]
    return flow


def main():
    rng = random.Random(SEED)
    rows = weather(rng)
    flow = hbv(rows, {**TRUTH, **FIXED})
    noisy = [max(0.001, q + rng.gauss(0.0, 0.02 + 0.05 * q)) for q in flow]
    first = datetime.date(2001, 1, 1)
    with open("forcing.csv", "w") as f:
        f.write("# Made by make_data.py: no real place.\ndate,precip_mm,temp_c,pet_mm,q_mm\n")
        for day, ((p, t, pet), q) in enumerate(zip(rows, noisy)):
            f.write(f"{first + datetime.timedelta(day)},{p},{t},{pet},{q:.4f}\n")
    with open("observed.csv", "w") as f:
        # From 2002 on: the first year is spin-up. The variance is that of the noise, from the flow as observed
        f.write("date,q_mm,variance\n")
        for day in range(365, DAYS):
            q = float(f"{noisy[day]:.4f}")
            f.write(f"{first + datetime.timedelta(day)},{q},{(0.02 + 0.05 * q) ** 2:.6g}\n")


if __name__ == "__main__":
    main()
