#!/bin/sh
# Stands in for HYPE: the same files, the same way to be called, the same bad manners. One sub-basin, three stores.
#   hype.sh MODELDIR/      (with the slash at the end, or it finds nothing)
# It reads info.txt, par.txt, GeoData.txt, Pobs.txt, Tobs.txt there and writes timeCOUT.txt into its resultdir. When it
# fails it says so in hyss_000.log, leaves half of an output, and exits with 0.
set -eu
dir=${1:?usage: hype.sh MODELDIR/}
cd "${dir}."
awk -F '\t' '
  FILENAME == "info.txt"    { split($0, w, /[ \t]+/); info[w[1]] = w[2]; next }
  FILENAME == "par.txt"     { split($0, w, /[ \t]+/); par[w[1]] = w[2]; next }
  FILENAME == "GeoData.txt" { if (FNR == 2) { subid = $1; km2 = $3 / 1e6 } ; next }
  FILENAME == "Pobs.txt"    { if (FNR > 1) { day[FNR - 1] = $1; rain[FNR - 1] = $2; n = FNR - 1 } ; next }
  FILENAME == "Tobs.txt"    { if (FNR > 1) temp[FNR - 1] = $2 }
  END {
    out = info["resultdir"] "timeCOUT.txt"
    log_file = info["resultdir"] "hyss_000.log"
    printf "!! computed outflow, m3/s\n" > out
    printf "DATE\t%s\n", subid > out
    soil = 10; snow = 90
    for (i = 1; i <= n; i++) {
      t = temp[i] - par["ttmp"]
      if (t > 0) { melt = par["cmlt"] * t; if (melt > snow) melt = snow; water = rain[i] + melt; snow -= melt }
      else { water = 0; snow += rain[i] }
      loss = temp[i] > 0 ? par["cevp"] * temp[i] : 0
      if (loss > soil + water) loss = soil + water
      soil += water - loss
      fast = par["rrcs1"] * soil
      slow = par["rrcs2"] * ground
      soil -= fast
      ground += 0.4 * fast - slow
      if (fast > 10.5) { printf "ERROR: negative soil water in subid %s on %s\n", subid, day[i] > log_file; exit 0 }
      if (day[i] >= info["cdate"] && day[i] <= info["edate"])
        printf "%s\t%.4f\n", day[i], (0.6 * fast + slow) * km2 / 86.4 > out
    }
  }' info.txt par.txt GeoData.txt Pobs.txt Tobs.txt
