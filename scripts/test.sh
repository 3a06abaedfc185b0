#!/usr/bin/env bash
# Every check and test, then one line with how many there were. Stops at the first part that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

log=.cache/test.log
: >"$log"

part() {
    echo "== $1" >&2
    shift
    "$@" 2>&1 | tee -a "$log"
}

# `make models` installs PyTorch; where that was done, training's own tests run too.
python=$PWD/.cache/python/bin/python
[ -e .cache/training/ready ] && python=$PWD/.cache/training/bin/python

python_tests() {
    cd models/training
    OMP_NUM_THREADS=2 "$python" -m pytest tests
}

# They, and those below, run the program as Cargo leaves it for its own tests.
errors_tests() {
    .cache/http/bin/python -m pytest tests/errors
}

http_tests() {
    .cache/http/bin/python -m pytest tests/http
}

# What documents and clients are to a worker behind a queue must be what they are to the server itself.
queue_tests() {
    .cache/http/bin/python -m pytest tests/http/test_{contract_examples,clients,errors}.py --queue \
        -k "not code or code_1 or code_3"
}

# They mount file systems, which takes root, or what looks like it in a namespace of its own.
daemon_tests() {
    local root=()
    [ "$(id -u)" = 0 ] || root=(unshare --map-root-user --mount)
    exec "${root[@]}" .cache/http/bin/python -m pytest tests/daemon
}

fleet_tests() {
    .cache/http/bin/python -m pytest tests/fleet
}

# They boot the units, which takes root; without it those tests are skipped, and say so.
appliance_tests() {
    .cache/http/bin/python -m pytest -rs tests/appliance
}

screen_tests() {
    .cache/http/bin/python -m pytest -rs tests/screen
}

# What the programs of the Rust tests logged; the Python tests search theirs themselves.
logs=target/tmp/logs
rm -rf "$logs"

part "format" cargo fmt --all --check
part "clippy" cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
part "clippy, of a board's program" cargo clippy --locked -- -D warnings
part "generator and training" python_tests
# The program's own tests wait for timers, sockets and processes: many of them at once take no longer.
part "program" env RUST_TEST_THREADS=6 cargo test --locked --workspace --all-features --bins
part "engine, and program from outside" cargo test --locked --workspace --all-features --lib --test '*'
part "examples in the documentation" cargo test --locked --workspace --all-features --doc
part "where values are lost" errors_tests
# The daemon's tests wait for most of their time, so the others run beside them.
daemon_log=.cache/daemon.log
daemon_tests >"$daemon_log" 2>&1 &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true' EXIT
part "HTTP API, from outside" http_tests
part "HTTP API, with a queue behind it" queue_tests
part "fleet, from outside" fleet_tests
part "appliance, booted" appliance_tests
part "screen, in a browser" screen_tests
passed=0
wait "$daemon" || passed=$?
part "daemon, from outside" cat "$daemon_log"
[ "$passed" = 0 ]
part "no value of a paper in a log" python3 tests/secrecy.py "$logs"

# pytest ends with "=== N passed in S s ===", cargo prints "test result: ok. N passed; ..." for each binary.
awk '
    /^test result: ok\./ { rust += $4 }
    /^=+ .*[0-9]+ passed.* in / { sub(/^=+ /, ""); python += $1 }
    END { printf "test result: ok. %d passed (%d Rust, %d Python)\n", rust + python, rust, python }
' "$log"
