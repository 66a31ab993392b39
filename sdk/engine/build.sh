#!/usr/bin/env bash
# Builds engine.wasm, which is committed so that who writes filters needs no compiler: QuickJS-ng and guest.c as a component
# of the filter world. Needs cargo (the source comes with a crate, by Cargo.lock's checksum), Python (the compiler comes as a
# wheel) and bun on PATH. `bash sdk/engine/build.sh` takes two minutes and gives the same bytes each time.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo vendor --quiet --locked "$work/vendor" >/dev/null
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet ziglang==0.17.1
source=$work/vendor/rquickjs-sys/quickjs
patch --quiet --strip 1 --directory "$source" <quickjs.patch

# EMSCRIPTEN has the interpreter switch over its operations: WebAssembly has no computed jumps.
"$work/python/bin/python" -m ziglang cc -target wasm32-wasi -mexec-model=reactor -O3 -msimd128 -w \
  -DNDEBUG -D_GNU_SOURCE -DEMSCRIPTEN=1 -DFE_DOWNWARD=0 -DFE_UPWARD=0 -I"$source" \
  guest.c system.c allocate.c "$source"/{libregexp,libunicode,dtoa}.c \
  -Wl,-z,stack-size=524288 -Wl,--strip-all -o "$work/core.wasm"
bun encode.ts "$work/core.wasm" engine.wasm
