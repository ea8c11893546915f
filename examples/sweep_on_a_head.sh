#!/usr/bin/env bash
# The model sweep as a job: starts a head of its own, submits the sweep, follows its output, shows what it used, stops the head.
#
#     PATH=.venv/bin:$PATH examples/sweep_on_a_head.sh [options of sweep.py]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# A directory of its own: a head that already runs here is left alone, and nothing stays behind.
folder=$(mktemp -d)
export IOSDK_DATA_DIR=$folder/head IOSDK_ADDRESS=$folder/head XDG_STATE_HOME=$folder/state
trap 'iosdk stop --force >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT

iosdk start --head --port 0
status=0
iosdk job submit --submission-id sweep --working-dir "$here" -- python sweep.py "$@" || status=$?
iosdk job list
iosdk usage sweep
iosdk stop
exit "$status"
