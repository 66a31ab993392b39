#!/usr/bin/env bash
# `npm test`: format, lint, types, then every test. The last line is `N passed, N failed`; exits 1 if anything failed.
# Format, lint and types count as one check each.
set -u
cd "$(dirname "$0")/.."
# So that this also runs outside npm, which puts the folder there itself.
PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"

passed=0
failed=0
check() {
  local name=$1
  shift
  echo "== $name"
  if "$@"; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "== $name failed" >&2
  fi
}

bash test/harness/install.sh || failed=$((failed + 1))
check format oxfmt --check .
check lint oxlint --type-aware --deny-warnings .
check types tsc

echo "== tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Real programs start and end in many tests, on machines that may be busy: five seconds are too few for them.
NO_COLOR=1 bun test --timeout 30000 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# Bun ends with ` 12 pass`, ` 1 fail` and, for a file that did not load, ` 1 error`.
count() {
  local number
  number=$(sed -nE "s/^ ([0-9]+) $1s?\$/\1/p" "$log" | tail -1)
  echo "${number:-0}"
}
tests_failed=$(($(count fail) + $(count error)))
# A run that ended badly without saying how many failed (a crash) is one failure.
if [ "$status" -ne 0 ] && [ "$tests_failed" -eq 0 ]; then tests_failed=1; fi
passed=$((passed + $(count pass)))
failed=$((failed + tests_failed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
