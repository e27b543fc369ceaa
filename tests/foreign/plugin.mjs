// The code of docs/openclaw-plugin.md, taken from the page and run against the stack.
//   node plugin.mjs STACK.JSON
import { readFileSync, writeFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stack, adminKey, wanted, check } from './stack.mjs';

const page = readFileSync(new URL('../../docs/openclaw-plugin.md', import.meta.url), 'utf8');
const [, code] = page.match(/```ts\n(import [\s\S]*?)```/);
// Beside this file, where jose is found; of this process alone.
const module = new URL(`./plugin-${process.pid}.tmp.mjs`, import.meta.url);
writeFileSync(module, code);
let plugin;
try {
  plugin = await import(module);
} finally {
  rmSync(fileURLToPath(module));
}
const { ScopedToken, TokenCheck, Refused, revoke } = plugin;

const edge = stack.edge_http;
const own = new ScopedToken({ edge, adminKey, grant: { ...wanted, ttl_sec: 600 } });
const tokens = await Promise.all(Array.from({ length: 20 }, () => own.get()));
check(new Set(tokens).size === 1, 'plugin: twenty calls at once share one token');
const [token] = tokens;

const verifier = new TokenCheck({ edge, audience: wanted.aud });
const claims = await verifier.claims(token);
check(claims.sub === wanted.sub && claims.mission_id === wanted.mission_id, 'plugin: its claims are read, signature and activity checked');

const refusedBy = (promise) => promise.then(() => 'nobody', (e) => (e instanceof Refused ? e.code : String(e)));
check(await refusedBy(new TokenCheck({ edge, audience: 'another' }).claims(token)) === 'TOKEN_INVALID', 'plugin: a token for another audience is refused');
check(await refusedBy(verifier.claims(token.replace(/.(?=[^.]*$)/, (c) => (c === 'A' ? 'B' : 'A')))) === 'TOKEN_INVALID', 'plugin: a changed signature is refused');
check(await refusedBy(verifier.control(token, {})) === 'TOKEN_CONTROL_CHAIN_MISSING', 'plugin: control of a legacy token is refused with the contract\'s code');

await revoke(edge, adminKey, token, 'plugin test');
check(await refusedBy(verifier.claims(token)) === 'TOKEN_REVOKED', 'plugin: after a revocation it is refused');
check(await refusedBy(verifier.control(token, {})) === 'REVOKED', 'plugin: and by the Verifier with REVOKED');
check((await own.replace(token)) !== token, 'plugin: a rejected token is replaced by another');
check(await refusedBy(new ScopedToken({ edge, adminKey: 'clawadm_wrong', grant: wanted }).get()) === 'UNAUTHORIZED', 'plugin: a wrong key is told as such');
