#!/bin/sh
# Starts `carbonflow` with the kernels that were compiled into the image. They are copied because numba
# reads no folder that it may not write, and the image is read-only; each container has a copy of its own.
set -eu
mkdir -p "$NUMBA_CACHE_DIR"
cp -R "$SHIPPED_KERNELS/." "$NUMBA_CACHE_DIR/"
exec carbonflow "$@"
