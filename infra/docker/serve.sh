#!/bin/sh
# Runs services/$SERVICE/src/main.ts. A spool belongs to one process, and replicas share a volume: each
# takes the first folder of it that nobody holds, so that a new container sends what a dead one left.
# The lock is the kernel's and ends with the process, whatever ends it.
set -eu
for slot in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  exec 9>"$REMIT_SPOOL_DIR/$slot.lock"
  if flock --nonblock 9; then
    REMIT_SPOOL_DIR="$REMIT_SPOOL_DIR/$slot"
    export REMIT_SPOOL_DIR
    mkdir -p "$REMIT_SPOOL_DIR"
    exec node "/remit/services/$SERVICE/src/main.ts" "$@"
  fi
done
echo "$SERVICE: all 16 spools of this volume are in use. Give further replicas a volume of their own." >&2
exit 75
