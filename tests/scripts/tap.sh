# What the shell tests of scripts/ share: checks printed as TAP (Test Anything Protocol), one line each. Source it.
checks=0 not_ok=0

check() { # check 'what should hold' COMMAND...
  local what=$1 output
  shift
  checks=$((checks + 1))
  if output=$("$@" 2>&1); then
    echo "ok $checks - $what"
  else
    not_ok=$((not_ok + 1))
    echo "not ok $checks - $what"
    printf '%s\n' "$*" "$output" | sed 's/^/# /'
  fi
}
skip() { # skip 'what' 'why'
  checks=$((checks + 1))
  echo "ok $checks - $1 # SKIP $2"
}
equal() { [[ $1 == "$2" ]] || { printf 'got:      %s\nexpected: %s\n' "$1" "$2"; false; }; }
contains() { [[ $1 == *"$2"* ]] || { printf 'no "%s" in:\n%s\n' "$2" "$1"; false; }; }
finish() {
  echo "1..$checks"
  exit $((not_ok != 0))
}
