#!/usr/bin/env bash
# The runbook's revocation checklist, all four steps, with curl over HTTP.
#   runbook.sh STACK.JSON
set -euo pipefail
stack=$1
value() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
named() { tr ',' '\n' <"$stack" | value "$1"; }
edge=$(named edge_http)
key=$(cat "$(named admin_key_file)")
failed=0
check() { # what, condition as a command
  local what=$1
  shift
  if "$@"; then echo "ok   curl: $what"; else echo "FAIL curl: $what"; failed=1; fi
}
post() { # path, body
  curl -sS --max-time 10 -H 'content-type: application/json' -H @<(printf 'authorization: Bearer %s' "$key") --data-binary "$2" "${edge%/}$1"
}
get() { curl -sS --max-time 10 -H @<(printf 'authorization: Bearer %s' "$key") "${edge%/}$1"; }

issued=$(post /v1/tokens/issue '{"sub":"did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC","aud":"clawproxy.example","scope":["clawproxy:call"],"mission_id":"agent:main:dm:whatsapp:+15551234567"}')
token=$(printf '%s' "$issued" | value token)
hash=$(printf '%s' "$issued" | value token_hash)
check 'a token to revoke is issued' test ${#hash} -eq 64

revoked=$(post /v1/tokens/revoke "{\"token_hash\":\"$hash\",\"reason\":\"runbook\"}")
check '1. revoke the token hash' test "$(printf '%s' "$revoked" | value status)" = revoked
streamed=$(get '/v1/revocations/stream?limit=5')
check '2. the stream has the entry' grep -q "$hash" <<<"$streamed"
introspected=$(post /v1/tokens/introspect "{\"token\":\"$token\"}")
check '3. introspection says active:false, revoked:true' grep -Eqz '"active": *false.*"revoked": *true' <<<"$introspected"
verified=$(post /v1/verify/token-control "{\"token\":\"$token\"}")
check '4. the verifier answers REVOKED' grep -Eq '"code": *"REVOKED"' <<<"$verified"
exit $failed
