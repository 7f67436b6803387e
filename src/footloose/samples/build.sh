#!/bin/sh
# Builds the WebAssembly modules of the folders given (default: every sample here).
#
#   NAME_handler.c  ->  NAME_handler.wasm   freestanding, with include/footloose.h
#   NAME_command.c  ->  NAME_command.wasm   a WASI command, with wasi-libc
#
# A page or other text file beside them (NAME.html, .css, .js, .svg, .json, .txt) can be put into a module:
# #include "NAME.html.h" defines the bytes as  static const char NAME_html[].
#
# Needs Debian's clang, lld, wasi-libc and libclang-rt-14-dev-wasm32 (or their like elsewhere).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT

common="-std=gnu17 -Wall -Wextra -Werror -Oz -mbulk-memory"

# Compiled and linked in two steps: clang would otherwise run whatever wasm-opt is installed on the result.
link() { # source target options...
    source=$1 target=$2
    shift 2
    clang --target="$target" -Wl,--strip-all -Wl,--gc-sections -Wl,--stack-first -Wl,-z,stack-size=16384 "$@" \
        "$generated/module.o" -o "${source%.c}.wasm"
    chmod 644 "${source%.c}.wasm"
    echo "${source%.c}.wasm: $(wc -c <"${source%.c}.wasm") bytes"
}

embed() { # file: writes FILE.h, which defines its bytes
    name=$(basename "$1")
    variable=$(printf '%s' "$name" | tr -c 'A-Za-z0-9_' '_')
    {
        echo "static const char $variable[] = {"
        od -An -v -t d1 "$1" | sed 's/  */,/g; s/^,//; s/$/,/'
        echo "};"
    } >"$generated/$name.h"
}

build() { # folder
    for file in "$1"/*.html "$1"/*.css "$1"/*.js "$1"/*.svg "$1"/*.json "$1"/*.txt; do
        if [ -f "$file" ]; then embed "$file"; fi
    done
    for source in "$1"/*_handler.c; do
        [ -f "$source" ] || continue
        # shellcheck disable=SC2086
        clang --target=wasm32 -ffreestanding $common -Wno-unused-function -I "$here/include" -I "$generated" \
            -c "$source" -o "$generated/module.o"
        link "$source" wasm32 -nostdlib -Wl,--no-entry
    done
    for source in "$1"/*_command.c; do
        [ -f "$source" ] || continue
        # shellcheck disable=SC2086
        clang --target=wasm32-wasi $common -I "$generated" -c "$source" -o "$generated/module.o"
        link "$source" wasm32-wasi
    done
}

if [ $# -eq 0 ]; then set -- "$here"/*/; fi
for folder in "$@"; do build "${folder%/}"; done
