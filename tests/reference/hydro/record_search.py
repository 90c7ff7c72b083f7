"""The 600 trials of `dds_serial_trace_600` with all the random numbers they took: python record_search.py DATA_DIR

Writes `hbv_bow_search.json`: of each trial the numbers that choose coordinates (6 digits; draws: 17), the coordinate that
moves when none was chosen, the normal numbers of those that moved, and the score.
"""
import csv, json, math, os, sys
import numpy as np
import hydro_oracle as H

rows = list(csv.DictReader(open(os.path.join(sys.argv[1], "bow", "bow_daily_lumped.csv"))))
p, t, e, o = (np.array([float(r[k]) if r[k] != "" else np.nan for r in rows])
              for k in ("precip_mm", "temp_c", "pet_mm", "q_mm"))
cal = [i for i, r in enumerate(rows) if "2004-01-01" <= r["date"] <= "2007-12-31"]
BOUNDS = dict(tt=(-3, 3), cfmax=(1, 10), sfcf=(0.5, 1.5), cfr=(0, 0.1), cwh=(0, 0.2), fc=(50, 700), lp=(0.3, 1), beta=(1, 6),
              k0=(0.05, 0.5), k1=(0.01, 0.3), k2=(0.0001, 0.1), uzl=(0, 100), perc=(0, 20), maxbas=(1, 7))
names = list(BOUNDS)
lo, hi = (np.array([BOUNDS[n][k] for n in names], float) for k in (0, 1))
rng, d, m = np.random.default_rng(42), len(names), 600
trials, best, fb, trace = [], None, -math.inf, []
n0 = max(5, int(round(0.005 * m)))
for i in range(m):
    if i < n0:
        u = rng.random(d)
        x = lo + u * (hi - lo)
        one = dict(u=[float(v) for v in u])
    else:
        u = rng.random(d)
        sel = u < H.dds_probability(i - n0 + 1, m - n0)
        one = dict(u=[round(float(v), 6) for v in u])
        if not sel.any():
            one["pick"] = int(rng.integers(d))
            sel[one["pick"]] = True
        x, one["z"] = best.copy(), []
        for j in range(d):
            if sel[j]:
                z = float(rng.standard_normal())
                one["z"].append(z)
                x[j] = H.dds_perturb(best[j], z, lo[j], hi[j])
    q, _, _ = H.hbv(p, t, e, dict(zip(names, x)))
    f = float(H.kge(o[cal], q[cal]))
    if f >= fb:
        best, fb = x, f
    one["score"] = f
    trials.append(one)
    trace.append(fb)
known = json.load(open("hbv_bow.json"))["dds_serial_trace_600"]
assert np.allclose(trace[::50] + [trace[-1]], known, rtol=0, atol=1e-12), "not the search of the fixture"
with open("hbv_bow_search.json", "w") as f:
    f.write('{"parameters": %s, "initial": %d, "trials": [\n' % (json.dumps(names), n0))
    f.write(",\n".join(json.dumps(one, separators=(",", ":")) for one in trials) + "\n]}\n")
