// service.js MODE RATE_KIB_S SPAN_S SEED: as service.py. The collector runs when it wants to.
'use strict';
const [mode, rateKib, spanS, seedText] = process.argv.slice(2);
const rate = Number(rateKib) * 1024;
const span = Number(spanS);
let state = Number(seedText) >>> 0;
function dice() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 4294967296;
}
function between(low, high) { return low + dice() * (high - low); }

function request(fields) {
  const body = {};
  for (let i = 0; i < fields; i++) body[`field-${i}`] = { id: dice(), name: 'n'.repeat(50) + i };
  return JSON.parse(JSON.stringify(body));
}

const kept = [];
const sessions = new Map();
let owed = 0;
const begun = Date.now();
let t = 0;

function tick() {
  const now = (Date.now() - begun) / 1000;
  if (mode === 'promises') {
    request(50);
    owed += rate;
    while (owed > 0) {
      const text = Array.from({ length: 20 }, () => dice().toString(36)).join('-');
      kept.push(new Promise((done) => { kept.last = () => done(text.length); }).then((n) => n + text.length));
      kept.push(text);
      owed -= 900;
    }
  } else if (mode === 'sessions') {
    for (let i = 0; i < 3; i++) request(60);
    owed += rate;
    while (owed > 0) {
      const user = { name: `user-${dice()}`, seen: [], cart: {} };
      for (let i = 0; i < 30; i++) { user.seen.push(dice()); user.cart[`item-${i}`] = i * dice(); }
      sessions.set(`${t}-${dice()}`, user);
      owed -= 2600;
    }
  } else if (mode === 'busy') {
    for (let i = 0; i < 20; i++) request(between(50, 400) | 0);
  } else if (mode === 'idle') {
    if (dice() < 0.3) request(30);
  } else if (mode === 'ttl') {
    for (let i = 0; i < rate / 20000; i++) {
      sessions.set(`${t}-${i}`, { until: now + span * 0.1, body: Buffer.alloc(between(10000, 30000) | 0, 1) });
    }
    for (const [key, one] of sessions) {
      if (one.until > now) break;
      sessions.delete(key);
    }
  } else if (mode === 'burst') {
    if (dice() < 0.02) for (let i = 0; i < 300; i++) request(400);
  }
  t++;
  setTimeout(tick, Math.max(0, begun + t * 1000 - Date.now()));
}
tick();
