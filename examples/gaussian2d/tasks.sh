#!/bin/sh
# tasks.sh TASKS [options of gaussian2d.py]: so many independent tasks by `&`, a figure each, then the one picture.
# Nothing here is of the toolkit: what a shell does by itself. Each task has a folder of its own, tasks/K.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tasks=$1
shift
rm -rf tasks
waited=
for k in $(seq "$tasks"); do
  mkdir -p "tasks/$k"
  (cd "tasks/$k" && exec python3 "$here/gaussian2d.py" --tile "$k" --tiles "$tasks" --out tile "$@") &
  waited="$waited $!"
done
# One by one: a bare `wait` forgets which of them failed.
failed=0
for process in $waited; do
  wait "$process" || failed=$((failed + 1))
done
[ "$failed" -eq 0 ] || { echo "$failed of $tasks tasks failed" >&2; exit 1; }
cd tasks
# shellcheck disable=SC2046
python3 "$here/assemble.py" $(seq "$tasks")
