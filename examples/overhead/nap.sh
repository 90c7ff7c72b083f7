#!/bin/sh
# nap.sh SECONDS DATA: sleeps, and writes a score: what any program costs before it has done anything.
sleep "$1"
echo "score = 0.0" >"$2"
