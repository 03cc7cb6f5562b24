#!/usr/bin/env bash
# Run `ucoder gate` with the inputs of the action (see action.yml) and pass its verdict on.
set -euo pipefail
IFS=$'\n'
shopt -s nullglob globstar

arguments=(--base "$BASE" --repo "$REPOSITORY" --out "$REPORT" --intent "$INTENT" --timeout "$TIMEOUT")
if [ -n "$PYTHON" ]; then arguments+=(--python "$PYTHON"); fi

# One value per line. Each becomes one argument, whatever it contains, and is never read as an option.
add() {
  local value
  while read -r value; do
    if [ -n "$value" ]; then arguments+=("$1=$value"); fi
  done <<<"$2"
}
add --tests "$TESTS"
add --reproduce "$REPRODUCE"
add --protect "$PROTECT"
for pattern in $PATCHES; do # unquoted on purpose: globs are expanded here, one per line
  arguments+=("--patch=$pattern")
done

# Delete earlier reports, so that they are not mistaken for this verdict if the command fails early.
rm -f "$REPORT"/{accepted.patch,result.json,junit.xml,summary.md}
code=0
"$UCODER" gate "${arguments[@]}" || code=$?

names=(accepted rejected usage abstained unavailable tampering)
{
  echo "exit-code=$code"
  echo "verdict=${names[$code]:-unavailable}"
  if [ "$code" = 0 ]; then echo "accepted-patch=$REPORT/accepted.patch"; fi
} >>"$GITHUB_OUTPUT"
if [ -f "$REPORT/summary.md" ]; then cat "$REPORT/summary.md" >>"$GITHUB_STEP_SUMMARY"; fi
exit "$code"
