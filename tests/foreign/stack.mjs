// How a script finds the stack: the file `claw up` writes.
import { readFileSync } from 'node:fs';

export const stack = JSON.parse(readFileSync(process.argv[2], 'utf8'));
export const ca = readFileSync(stack.ca_file);
export const adminKey = readFileSync(stack.admin_key_file, 'utf8').trim();

export const wanted = {
  sub: 'did:key:z6MkexUHYgwzaCh2sFFQtiZW9TenLJ34wmk5CqDUSX9HPEcC',
  aud: 'clawproxy.example',
  scope: ['clawproxy:call'],
  mission_id: 'agent:main:dm:whatsapp:+15551234567',
};

export function check(holds, what) {
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}`);
  if (!holds) process.exitCode = 1;
}

export function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
