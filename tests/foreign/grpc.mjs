// @grpc/grpc-js from our .proto files alone: issue, introspect, watch, revoke, see it on the stream, see it introspected.
//   node grpc.mjs STACK.JSON
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { stack, ca, adminKey, wanted, check, within } from './stack.mjs';

const protos = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../protos');
const load = (area) => grpc.loadPackageDefinition(loader.loadSync(`clawbureau/${area}/v1/${area}.proto`, {
  includeDirs: [protos, path.join(protos, 'third_party')], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
})).clawbureau[area].v1;
const credentials = grpc.credentials.createSsl(ca);
// By name, not by address: TLS has no server name for an address.
const host = (url) => new URL(url).host.replace('127.0.0.1', 'localhost');
const metadata = () => { const m = new grpc.Metadata(); m.set('authorization', `Bearer ${adminKey}`); return m; };
const deadline = () => ({ deadline: Date.now() + 10_000 });
const call = (client, method, request) => new Promise((resolve, reject) =>
  client[method](request, metadata(), deadline(), (error, answer) => (error ? reject(error) : resolve(answer))));

const issuance = new (load('issuance').IssuanceService)(host(stack.issuer), credentials);
const revocation = new (load('revocation').RevocationService)(host(stack.issuer), credentials);
const introspection = new (load('introspection').IntrospectionService)(host(stack.introspector), credentials);
const feed = new (load('feed').FeedService)(host(stack.introspector), credentials);

const issued = await call(issuance, 'IssueToken', { ...wanted, aud: { values: [wanted.aud] } });
check(issued.token.split('.').length === 3 && /^[0-9a-f]{64}$/.test(issued.token_hash), 'grpc-js: a token is issued');
const active = await call(introspection, 'IntrospectToken', { token: issued.token });
check(active.active && active.claims.mission_id === wanted.mission_id, 'grpc-js: it introspects active');

const watch = feed.WatchRevocations(metadata());
const streamed = new Promise((resolve, reject) => {
  watch.on('error', reject);
  watch.on('data', (frame) => {
    for (const entry of frame.events?.revocations ?? []) if (entry.token?.token_hash.toString('hex') === issued.token_hash) resolve(entry);
  });
});
const following = new Promise((resolve) => watch.on('data', (frame) => frame.caught_up && resolve()));
watch.write({ start: {} });
await within(following, 10_000, 'the stream catches up');
const revoked = await call(revocation, 'RevokeTokens', { targets: [{ token: issued.token }], reason: 'foreign client' });
check(revoked.results[0].revocation.status === 'REVOCATION_STATUS_REVOKED', 'grpc-js: it is revoked');
const entry = await within(streamed, 10_000, 'the revocation arrives on the stream');
check(entry.revocation_seq === revoked.results[0].revocation.revocation_seq, 'grpc-js: the revocation arrives on the stream');
watch.removeAllListeners('error');
watch.on('error', () => {});
watch.cancel();
const dead = await call(introspection, 'IntrospectToken', { token: issued.token });
check(!dead.active && dead.revoked, 'grpc-js: it introspects revoked');

const refused = await call(issuance, 'IssueToken', { ...wanted, aud: { values: [wanted.aud] }, scope: ['admin:everything'] }).catch((e) => e);
check(refused.code === grpc.status.PERMISSION_DENIED && refused.metadata.get('grpc-status-details-bin').length === 1, 'grpc-js: a refusal carries its details');
for (const client of [issuance, revocation, introspection, feed]) client.close();
