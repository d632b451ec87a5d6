// held.js MODE RATE_KIB_S SPAN_S SEED: as held.py.
'use strict';
const { createHash } = require('crypto');
const { EventEmitter } = require('events');
const [mode, rateKib, spanS, seedText] = process.argv.slice(2);
const rate = Number(rateKib) * 1024;
const span = Number(spanS);
let state = Number(seedText) >>> 0;
function dice() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 4294967296;
}
function between(low, high) { return low + dice() * (high - low); }
const MIB = 1 << 20;

function serve(requests) {
  for (let i = 0; i < requests; i++) {
    const scratch = Array.from({ length: 20 }, () => ({ id: dice(), text: 'x'.repeat(200) + dice() }));
    createHash('sha256').update(JSON.stringify(scratch)).digest();
  }
}

const kept = [];
const emitter = new EventEmitter();
emitter.setMaxListeners(0);
let owed = 0;
let garbage = [];
let garbageBytes = 0;
const full = between(10, 30) * MIB;
const cache = new Map();
let sessions = [];
const period = span / between(3.5, 6.5);
const begun = Date.now();
let t = 0;

function tick() {
  const now = (Date.now() - begun) / 1000;
  const part = now / span;
  if (mode === 'steady') {
    serve(4);
  } else if (mode === 'leak') {
    serve(2);
    owed += rate;
    while (owed > 0) {
      const fields = Math.floor(between(40, 400));
      kept.push(Array.from({ length: fields }, () => dice()));
      owed -= 8 * fields + 48;
    }
  } else if (mode === 'listeners') {
    serve(2);
    owed += part > 0.3 ? rate : 0;
    while (owed > 0) {
      const held = Buffer.alloc(Math.floor(between(2000, 20000)), 1);
      emitter.on('done', () => held.length);
      owed -= held.length + 300;
    }
  } else if (mode === 'gc') {
    for (let i = 0; i < 5; i++) {
      const one = Buffer.alloc(Math.floor(between(150000, 350000)), 1);
      garbage.push(one);
      garbageBytes += one.length;
    }
    if (garbageBytes > full) {
      garbage = [];
      garbageBytes = 0;
      if (global.gc) global.gc();
    }
  } else if (mode === 'lru') {
    const each = 30000;
    const add = Math.max(1, Math.round(rate / each));
    const room = Math.round(add * span * 0.35);
    for (let i = 0; i < add; i++) cache.set(`${t}-${i}`, Buffer.alloc(Math.floor(between(15000, 45000)), 1));
    while (cache.size > room) cache.delete(cache.keys().next().value);
  } else if (mode === 'memo') {
    for (let i = 0; i < 10; i++) {
      const key = Math.floor(2500 * dice() ** 3);
      if (!cache.has(key)) cache.set(key, Buffer.alloc(20000, 1));
    }
  } else if (mode === 'load') {
    const requests = Math.round(2 + 12 * (0.5 - 0.5 * Math.cos(2 * Math.PI * now / period)));
    serve(requests);
    while (sessions.length < requests * 3) sessions.push(Buffer.alloc(MIB, 1));
    sessions = sessions.slice(Math.max(0, sessions.length - requests * 3));
  }
  t++;
  setTimeout(tick, Math.max(0, begun + t * 1000 - Date.now()));
}
tick();
