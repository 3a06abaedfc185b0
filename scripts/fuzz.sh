#!/usr/bin/env bash
# Fuzzes one target after the other and says in a line each what came of it.
#
# fuzz.sh SECONDS [TARGET...]
#
# Without targets it takes all there are. The exit status is 1 when something was found; the input that shows it is
# named, and `fuzz/target/x86_64-unknown-linux-gnu/release/TARGET FILE` runs it again. The corpus stays, so that the next
# run goes on where this one ended.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
'' | *[!0-9]*)
    sed -n 's/^# \(fuzz.sh .*\)/usage: scripts\/\1/p' "$0" >&2
    exit 64
    ;;
esac
seconds=$1
shift

# Sanitizers are nightly's only by name: the stable compiler has them, too, and this lets it say so.
export RUSTC_BOOTSTRAP=1
# Freed memory that is kept to catch its use would count as the case's.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=16}

# Tracing comparisons takes two thirds of the time, and the seeds and dictionaries know the magic words. Packages are
# compiled in parts, on all cores: in one, which is the default, the last of them takes a third of the build.
build=(--release --no-trace-compares --codegen-units=16)

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)

# fuzz TARGET: prints the summary; fails where there was a finding.
fuzz() {
    local target=$1 corpus=fuzz/corpus/$1 log=fuzz/artifacts/$1.log status=0 options=() folders
    mkdir -p "$corpus" fuzz/artifacts
    folders=("$corpus")
    [ ! -d "fuzz/seeds/$target" ] || folders+=("fuzz/seeds/$target")
    [ ! -e "fuzz/dictionaries/$target.dict" ] || options+=("-dict=fuzz/dictionaries/$target.dict")
    FUZZ_SEEDS=$corpus cargo fuzz run "${build[@]}" "$target" >"$log" 2>&1 || {
        cat "$log" >&2
        return 1
    }
    cargo fuzz run "${build[@]}" "$target" "${folders[@]}" -- "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 "${options[@]}" >"$log" 2>&1 || status=$?
    awk -v target="$target" '
        /^#[0-9]+.* cov: / { runs = substr($1, 2); for (i = 2; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        /^stat::number_of_executed_units:/ { runs = $2 }
        /Test unit written to / { found = $NF; sub(/.*\/fuzz\/artifacts/, "fuzz/artifacts", found) }
        END { printf "%-10s %8d runs, %6d edges, %s\n", target, runs, edges, found ? "FOUND: " found : "nothing found" }
    ' "$log"
    if [ $status != 0 ]; then
        echo "           what happened: $log" >&2
        # The machine may be gone when somebody looks: what went wrong, and the input where it is small.
        grep -A2 -E 'panicked at|ERROR: |SUMMARY: ' "$log" | head -30 >&2 || true
        sed -n 's/.*Test unit written to //p' "$log" | xargs -r -I{} find {} -size -8k -exec base64 {} \; >&2
    fi
    return $status
}

cargo fuzz build "${build[@]}"
failed=0
for target in "${targets[@]}"; do
    fuzz "$target" || failed=1
done
exit $failed
