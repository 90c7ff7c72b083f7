#!/bin/sh
# Runs the stand-in for HYPE in this folder and writes the efficiency of its flow (Nash & Sutcliffe 1970).
#   scored.sh DATA
# The observed flow is that of observation.toml. A run that stopped half-way has too few days, and no score.
set -eu
./hype.sh ./
awk -v data="$1" '
  FILENAME == "observation.toml" {
    if ($0 ~ /^y /) on = 1
    if (on && $0 ~ /^ *[0-9]/) { split($0, w, /[ ,]+/); for (k = 1; k <= length(w); k++) if (w[k] != "") y[++n] = w[k] }
    if ($0 ~ /^\]/) on = 0
    next
  }
  FNR > 2 { q[++m] = $2 }
  END {
    if (m != n) { printf "%d of %d days\n", m, n; exit 1 }
    for (k = 1; k <= n; k++) mean += y[k] / n
    for (k = 1; k <= n; k++) { off += (q[k] - y[k]) ^ 2; all += (y[k] - mean) ^ 2 }
    printf "score = %.12g\n", 1 - off / all > data
  }' observation.toml timeCOUT.txt
