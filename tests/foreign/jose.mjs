// jose against /v1/jwks: what any service can do offline with a token of ours.
//   node jose.mjs STACK.JSON
import { createRemoteJWKSet, jwtVerify, decodeProtectedHeader, errors } from 'jose';
import { stack, adminKey, wanted, check } from './stack.mjs';

const edge = stack.edge_http;
const answer = await fetch(new URL('/v1/tokens/issue', edge), {
  method: 'POST',
  headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
  body: JSON.stringify({ ...wanted, ttl_sec: 300 }),
});
const issued = await answer.json();
check(answer.status === 200, `jose: a token is issued over HTTP (${answer.status} ${issued.error ?? ''})`);
const keys = createRemoteJWKSet(new URL('/v1/jwks', edge));
const { payload } = await jwtVerify(issued.token, keys, { audience: wanted.aud, algorithms: ['EdDSA'], typ: 'JWT' });
check(payload.sub === wanted.sub && payload.mission_id === wanted.mission_id && payload.exp - payload.iat === 300, 'jose: it verifies against /v1/jwks');
check(decodeProtectedHeader(issued.token).kid === issued.kid, 'jose: the header names the key');
const tampered = issued.token.replace(/.(?=[^.]*$)/, (c) => (c === 'A' ? 'B' : 'A'));
const refused = await jwtVerify(tampered, keys).catch((e) => e);
check(refused instanceof errors.JWSSignatureVerificationFailed || refused instanceof errors.JWSInvalid, 'jose: a changed signature does not');
