#!/usr/bin/env bash
# bash scripts/run_test.sh CONFIG [KEY VALUE ...]
exec "${PYTHON:-python}" "$(dirname "$0")/../tools/run_actionclip.py" --test --config "$@"
