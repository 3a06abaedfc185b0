#!/usr/bin/env bash
# Starts a broker on this machine and runs `cic-kiosk demo` on it, with what else stands on the command line.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mosquitto -p "$port" >/dev/null 2>&1 &
trap 'kill %1' EXIT
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 %1 2>/dev/null || { echo "demo: mosquitto does not start" >&2; exit 1; }
    sleep 0.05
done
target/release/cic-kiosk demo --models models --broker "mqtt://127.0.0.1:$port" "$@"
