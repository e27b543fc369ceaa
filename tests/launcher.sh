#!/usr/bin/env bash
# Tests of ./claw itself, on a small tree and with a stand-in for dotnet that records what it was asked to do.
# One line per check, then `N passed, N failed`.
set -uo pipefail
unset CI CLAW_DOTNET CLAW_OFFICIAL_GRPC CDPATH

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repository=$(dirname "$here")
scratch=$(cd "$(mktemp -d "${TMPDIR:-/tmp}/claw-launcher.XXXXXX")" && pwd -P)
trap 'rm -rf "$scratch"' EXIT

tree=$scratch/tree
calls=$scratch/calls        # one line per call of dotnet
output=$scratch/output
errors=$scratch/errors
export CALLS=$calls TREE=$tree HOME=$scratch/home
export PATH=$scratch/bin:$PATH
unset STUB_BUILD STUB_RESTORE STUB_FORMAT STUB_SDK STUB_TEST STUB_SLOW 2>/dev/null
mkdir -p "$scratch/bin" "$HOME"

cat >"$scratch/bin/dotnet" <<'STUB'
#!/usr/bin/env bash
# STUB_* choose what goes wrong; outputs are made where the real one puts them.
printf '%s\n' "$*" >>"$CALLS"
bin=bin/Release/net10.0
case $1 in
  --version)
    [ "${STUB_SDK:-}" != missing ] || exit 145
    echo 10.0.100
    ;;
  --list-sdks)
    [ -z "${STUB_SDKS:-}" ] || printf '9.0.300 [%s]\n10.0.100 [%s]\n' "$STUB_SDKS" "$STUB_SDKS"
    ;;
  restore)
    if [ "${STUB_RESTORE:-}" = fails ]; then
      echo "$TREE/cli/Cli.csproj : error NU1301: Unable to load the service index for source https://packages.example.test/v3/index.json."
      exit 1
    fi
    find "$TREE" -name '*.csproj' | while read -r project; do
      mkdir -p "$(dirname "$project")/obj"
      echo '{}' >"$(dirname "$project")/obj/project.assets.json"
    done
    ;;
  build)
    [ -z "${STUB_SLOW:-}" ] || { : >"$STUB_SLOW.begun"; until [ -e "$STUB_SLOW.go" ]; do sleep 0.05; done; }
    if [ "${STUB_BUILD:-}" = fails ]; then
      echo "$TREE/libs/Tokens/Did.cs(3,5): error CS1002: ; expected [$TREE/libs/Tokens/Tokens.csproj]"
      exit 1
    fi
    mkdir -p "$TREE/cli/$bin" "$TREE/tests/Tokens.Tests/$bin"
    : >"$TREE/cli/$bin/ClawBureau.Cli.dll"
    [ "$2" != ClawBureau.sln ] || : >"$TREE/tests/Tokens.Tests/$bin/ClawBureau.Tokens.Tests.dll"
    ;;
  format)
    [ "${STUB_FORMAT:-}" != fails ] || { echo "$TREE/libs/Tokens/Did.cs(1,1): error WHITESPACE: Fix whitespace formatting."; exit 2; }
    ;;
  test)
    while [ $# -gt 0 ]; do
      case $1 in
        trx\;LogFileName=*) trx=${1#*=} ;;
        --results-directory) results=$2 ;;
      esac
      shift
    done
    counters() { printf '<Counters total="%s" executed="%s" passed="%s" failed="%s" error="0" notExecuted="0" />\n' "$@" >"$results/$trx"; }
    case ${STUB_TEST:-good} in
      good) counters 3 3 3 0 ;;
      bad) counters 3 3 2 1; echo "  Failed ClawBureau.Tokens.Tests.DidTests.Empty_did_is_refused"; exit 1 ;;
      skipped) counters 3 2 2 0 ;;
      crashed) echo "The active test run was aborted."; exit 1 ;;
      empty) ;;
    esac
    ;;
  *ClawBureau.Cli.dll)
    shift
    printf 'cli in %s:' "$PWD"
    printf ' [%s]' "$@"
    printf '\n'
    [ "${1:-}" != refuse ] || exit 1
    [ "${1:-}" != pid ] || echo "$$"
    [ "${1:-}" != read ] || cat
    ;;
esac
STUB
chmod +x "$scratch/bin/dotnet"

mkdir -p "$tree/cli" "$tree/libs/Tokens" "$tree/services/Issuer" "$tree/tests/Tokens.Tests" "$tree/docs"
cp "$repository/claw" "$tree/claw"
cp "$repository/global.json" "$tree/global.json"
touch "$tree/ClawBureau.sln" "$tree/Directory.Build.props" "$tree/.editorconfig" "$tree/docs/page.md"
for project in cli/Cli libs/Tokens/Tokens services/Issuer/Issuer tests/Tokens.Tests/Tokens.Tests; do
  echo '<Project />' >"$tree/$project.csproj"
done
echo 'class Did;' >"$tree/libs/Tokens/Did.cs"
echo 'class Doomed;' >"$tree/libs/Tokens/Doomed.cs"
echo 'SELECT 1;' >"$tree/libs/Tokens/0001_first.sql"
echo 'class DidTests;' >"$tree/tests/Tokens.Tests/DidTests.cs"
printf '#!/bin/sh\necho "4 passed, 0 failed"\n' >"$tree/tests/launcher.sh"

passed=0 failed=0 code=0
check() { # sentence, condition...
  local sentence=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    printf 'ok      %s\n' "$sentence"
  else
    failed=$((failed + 1))
    printf 'FAILED  %s\n' "$sentence"
    printf '        exit code %s, dotnet calls:\n' "$code"
    sed 's/^/          /' "$calls"
    printf '        stdout and stderr:\n'
    sed 's/^/          /' "$output" "$errors"
  fi
}

claw() {
  : >"$calls"
  code=0
  "$tree/claw" "$@" >"$output" 2>"$errors" </dev/null || code=$?
}

exits() { [ "$code" -eq "$1" ]; }
called() { grep -qE -- "^$1" "$calls"; }
not_called() { ! called "$1"; }
prints() { grep -qF -- "$1" "$output"; }
complains() { grep -qF -- "$1" "$errors"; }
last_line_is() { [ "$(tail -n 1 "$output")" = "$1" ]; }
ran() { exits 0 && prints '[demo]'; }
built() { ran && called 'build cli/Cli.csproj --no-restore -c Release'; }
built_anew() { built && called 'build .*--no-incremental'; }
built_in_part() { built && not_called 'build .*--no-incremental'; }
only_ran() { ran && not_called '(build|restore|--version)'; }

# ---- what is out of date

claw demo
check "a fresh tree is restored, built and run" built
check "a fresh tree is restored first" called 'restore cli/Cli.csproj'
check "a build leaves no build server behind" called 'build .*-nodeReuse:false.*UseSharedCompilation=false'
check "an SDK whose compiler is elsewhere is asked for no server" not_called '.*VBCSCompiler'
claw demo
check "nothing changed: nothing is built" only_ran
check "nothing changed: nothing is printed beside the CLI's own" test ! -s "$errors"

echo 'class Did { }' >"$tree/libs/Tokens/Did.cs"
claw demo
check "a changed source is built" built_in_part
check "a changed source is not restored" not_called restore
claw demo
check "and built once" only_ran

# Where the SDK has its compiler, a build shares one of its own, and ends it.
export STUB_SDKS="$scratch/dotnet folder/sdk"
mkdir -p "$STUB_SDKS/10.0.100/Roslyn/bincore"
: >"$STUB_SDKS/10.0.100/Roslyn/bincore/VBCSCompiler.dll"
shares_a_compiler() {
  local id
  id=$(sed -n 's/^build .*UseSharedCompilation=true -p:SharedCompilationId=\([^ ]*\) .*/\1/p' "$calls")
  [ -n "$id" ] && [ "$(grep -cFx -- "$STUB_SDKS/10.0.100/Roslyn/bincore/VBCSCompiler.dll -shutdown -pipename:$id" "$calls")" -eq 1 ]
}
echo 'class Did { int shared; }' >"$tree/libs/Tokens/Did.cs"
claw demo
check "a build shares a compiler and ends it" eval 'built_in_part && shares_a_compiler'
echo 'class Did { int fails; }' >"$tree/libs/Tokens/Did.cs"
STUB_BUILD=fails claw demo
check "also one that fails" eval 'exits 1 && shares_a_compiler'
unset STUB_SDKS
echo 'class Did { }' >"$tree/libs/Tokens/Did.cs"
claw demo

touch "$tree/libs/Tokens/Did.cs"
claw demo
check "a source with a new time and the same text is not built" only_ran

rm "$tree/libs/Tokens/Doomed.cs"
claw demo
check "a deleted source is built" built
claw demo
check "and a deleted one once" only_ran

rm "$tree/libs/Tokens/0001_first.sql"
claw demo
check "a deleted resource is compiled from scratch, since MSBuild does not see it" built_anew

echo 'class New;' >"$tree/services/Issuer/New File.cs"
claw demo
check "a new source, with a space in its name, is built" built_in_part

printf 'class Did { int old; }\n' >"$tree/libs/Tokens/Did.cs"
touch -t 202001010000 "$tree/libs/Tokens/Did.cs"
claw demo
check "a source put back with an old time is compiled from scratch" built_anew

echo '<Project><!-- another --></Project>' >"$tree/libs/Tokens/Tokens.csproj"
claw demo
check "a changed project is restored and built" built
check "a changed project is restored" called restore

echo changed >>"$tree/docs/page.md"
echo 'class DidTests { }' >"$tree/tests/Tokens.Tests/DidTests.cs"
mkdir -p "$tree/cli/obj/Release"
echo generated >"$tree/cli/obj/Release/Generated.cs"
echo output >"$tree/out.json"
claw demo
check "pages, tests, build outputs and strangers' files in the root build nothing" only_ran

export CLAW_OFFICIAL_GRPC=1
claw demo
check "the official gRPC packages are another build" built_anew
check "and another restore" called 'restore .*OfficialGrpc=true'
unset CLAW_OFFICIAL_GRPC
claw demo
check "and so is going back" built_anew

rm "$tree/cli/bin/Release/net10.0/ClawBureau.Cli.dll"
claw demo
check "a missing output is built" built
rm "$tree/cli/obj/project.assets.json"
echo 'class Did;' >"$tree/libs/Tokens/Did.cs"
claw demo
check "a missing restore is done again" called restore
touch -t 203001010000 "$tree/cli/bin/Release/net10.0/ClawBureau.Cli.dll"
claw demo
check "an output that somebody else built is built again" built

# ---- failing

echo 'class Did' >"$tree/libs/Tokens/Did.cs"
STUB_BUILD=fails claw demo
check "a failing build exits with 1" exits 1
check "a failing build shows the compiler's error with a path of the tree" complains 'libs/Tokens/Did.cs(3,5): error CS1002'
check "a failing build names its log" complains "$tree/.claw/build.log"
check "a failing build runs nothing" not_called '.*ClawBureau.Cli.dll'
claw demo
check "a failed build is tried again" built
echo '<Project />' >"$tree/libs/Tokens/Tokens.csproj"
STUB_RESTORE=fails claw demo
check "a failing restore exits with 1" exits 1
check "a failing restore shows the error without the registry's address" eval 'complains "error NU1301" && ! complains example.test'
claw demo
check "a failed restore is tried again" called restore

STUB_SDK=missing claw demo
check "what is built runs without asking for the SDK" only_ran
STUB_SDK=missing CLAW_DOTNET=$scratch/bin/dotnet claw demo
check "and so with a dotnet that was named" only_ran
echo 'class Did { int two; }' >"$tree/libs/Tokens/Did.cs"
STUB_SDK=missing CLAW_DOTNET=$scratch/bin/dotnet claw demo
check "no SDK that matches global.json: exit 3, with the version to install" eval 'exits 3 && complains "$(sed -n "s/.*\"version\": \"\(.*\)\".*/\1/p" "$tree/global.json")"'
CLAW_DOTNET=$scratch/nowhere/dotnet claw demo
check "no dotnet: exit 3, with what to install" eval 'exits 3 && complains "Install the .NET 10 SDK"'
check "no dotnet: one line" test "$(wc -l <"$errors")" -eq 1
CLAW_DOTNET=$scratch/nowhere/dotnet claw test
check "no dotnet: claw test exits with 3 too" exits 3
claw demo

# ---- running

claw refuse
check "the CLI's exit code is claw's" exits 1
claw token issue --sub "did:key:z6Mk a" '*'
check "arguments reach the CLI as they were written" prints '[token] [issue] [--sub] [did:key:z6Mk a] [*]'
claw
check "no arguments: the CLI's help" prints '[--help]'
claw help token
check "help of a verb: the CLI's" prints '[token] [--help]'
mkdir -p "$scratch/else where"
ln -s "$tree/claw" "$scratch/link"
ln -s ../link "$scratch/else where/claw-link"
: >"$calls"
(cd "$scratch/else where" && ./claw-link demo ./file) >"$output" 2>"$errors" </dev/null
check "through symlinks and from elsewhere, the caller's folder stays current" prints "cli in $scratch/else where: [demo] [./file]"
echo "from stdin" | "$tree/claw" read >"$output" 2>"$errors"
check "stdin is the CLI's" prints "from stdin"
"$tree/claw" pid >"$output" 2>"$errors" </dev/null &
pid=$!
wait "$pid"
check "the CLI takes over the process, so signals reach it" eval '[ "$(tail -n 1 "$output")" = "$pid" ]'

# ---- one build at a time

echo 'class Did { int three; }' >"$tree/libs/Tokens/Did.cs"
: >"$calls"
STUB_SLOW=$scratch/slow "$tree/claw" demo >"$scratch/first" 2>&1 </dev/null &
first=$!
until [ -e "$scratch/slow.begun" ]; do sleep 0.05; done
"$tree/claw" demo >"$output" 2>"$errors" </dev/null &
second=$!
until [ -s "$errors" ]; do sleep 0.05; done # says that it waits
: >"$scratch/slow.go"
wait "$first" "$second"
check "a second claw waits and says for whom" complains "waiting for another claw (process $first)"
check "two claws at once build once" eval '[ "$(grep -c "^build" "$calls")" -eq 1 ] && [ "$(grep -c "Cli.dll" "$calls")" -eq 2 ]'

echo 'class Did { int four; }' >"$tree/libs/Tokens/Did.cs"
mkdir "$tree/.claw/build.lock"
echo "$first 12345" >"$tree/.claw/build.lock/owner"
claw demo
check "the lock of a claw that was killed is taken over" built
check "and nothing of it stays" eval '[ -z "$(find "$tree/.claw" -name "build.lock*")" ]'

# ---- claw test

claw test --help
check "claw test --help explains itself without building" eval 'exits 0 && prints "Usage: claw test" && not_called .'
claw test --wrong
check "an unknown option of claw test is a usage error" exits 2

claw test
check "claw test ends with its closing line, the launcher's checks included" last_line_is "7 passed, 0 failed"
check "claw test exits with 0" exits 0
check "claw test builds the solution" called 'build ClawBureau.sln --no-restore -c Release'
check "claw test checks the layout of files" called 'format whitespace . --folder --verify-no-changes'
check "claw test checks the order of usings" called 'format style ClawBureau.sln --diagnostics IMPORTS --verify-no-changes --no-restore'
claw demo
check "what claw test built is not built again" only_ran
claw test
check "claw test builds nothing when nothing changed" not_called '(restore|build)'
echo 'class DidTests { int two; }' >"$tree/tests/Tokens.Tests/DidTests.cs"
claw test
check "claw test builds a changed test" called 'build ClawBureau.sln'
echo 'class Did { int five; }' >"$tree/libs/Tokens/Did.cs"
claw demo
echo 'class Did { int four; }' >"$tree/libs/Tokens/Did.cs"
claw test
check "claw test builds after the command was built from something else" called 'build ClawBureau.sln'

STUB_TEST=bad claw test
check "a failed test is counted and shown" eval 'exits 1 && last_line_is "6 passed, 1 failed" && prints Empty_did_is_refused'
STUB_TEST=skipped claw test
check "a skipped test is counted" eval 'exits 0 && last_line_is "6 passed, 0 failed, 1 skipped"'
CI=true STUB_TEST=skipped claw test
check "with CI=true a skipped test is a failure" eval 'exits 1 && last_line_is "6 passed, 1 failed"'
STUB_TEST=crashed claw test
check "a test host that crashes is a failure" eval 'exits 1 && last_line_is "4 passed, 1 failed"'
STUB_TEST=empty claw test
check "a project in which no test ran is a failure" eval 'exits 1 && last_line_is "4 passed, 1 failed"'
STUB_FORMAT=fails claw test
check "a wrong format is a failure, and the tests run" eval 'exits 1 && last_line_is "7 passed, 1 failed" && prints "error WHITESPACE"'
echo broken >"$tree/libs/Tokens/Did.cs"
STUB_BUILD=fails claw test
check "a build that fails ends the run" eval 'exits 1 && last_line_is "0 passed, 1 failed" && prints "error CS1002" && not_called test'
claw test tokens
check "a filter names a project" eval 'exits 0 && last_line_is "3 passed, 0 failed" && called "test .*Tokens.Tests.dll" && not_called ".*--filter"'
claw test Empty_did
check "else a filter names tests" eval 'exits 0 && called "test .*--filter FullyQualifiedName~Empty_did"'
claw test 'Name~did'
check "or is an expression" called 'test .*--filter Name~did'
claw test Tokens Empty_did 'Name~did'
check "of several, projects and names each add up" eval 'exits 0 && called "test .*Tokens.Tests.dll .*--filter .FullyQualifiedName~Empty_did.[|].Name~did." && last_line_is "3 passed, 0 failed"'
STUB_TEST=empty claw test No_such_test
check "a filter that matches nothing is a failure" eval 'exits 1 && last_line_is "0 passed, 1 failed"'
printf '#!/bin/sh\necho "3 passed, 1 failed"\nexit 1\n' >"$tree/tests/launcher.sh"
claw test
check "a failed check of the launcher is a failure" eval 'exits 1 && last_line_is "6 passed, 1 failed"'
mkdir -p "$tree/tests/Lost.Tests"
echo '<Project />' >"$tree/tests/Lost.Tests/Lost.Tests.csproj"
claw test Lost
check "a test project that the solution does not build is a failure" eval 'exits 1 && prints "is it in ClawBureau.sln?"'

# ---- this tree

# shellcheck disable=SC2015
strangers=$(cd "$repository" && find . -name bin -prune -o -name obj -prune -o -name '*.csproj' -print |
  grep -vE "^\./($(sed -n 's/^[a-z]*_folders="\([^"]*\)".*/\1/p' claw | tr ' \n' '||')none)/" || true)
check "every project lies in a folder that claw watches${strangers:+: $strangers}" test -z "$strangers"
code=0
bash -n "$repository/claw" && bash -n "$repository/.ci/run" || code=1
check "the scripts parse" exits 0

printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
