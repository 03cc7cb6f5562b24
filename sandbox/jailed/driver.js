// The JavaScript side of the jail: load a program, answer its probes in the canonical encoding, exit.
// It sends the frames of `child.py`, and nothing that it sends is trusted. Run as: node driver.js JOB_FD ANSWER_FD
'use strict';
const fs = require('fs');
const vm = require('vm');
const [jobFd, answerFd] = process.argv.slice(2).map(Number);
const job = JSON.parse(fs.readFileSync(jobFd, 'utf8'));
const MAX_DEPTH = 100, MAX_GENERATED = 1000;
const write = fs.writeSync.bind(fs), exit = process.reallyExit.bind(process);

const TABLE = Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});
function crc32(data, seed) {
  let crc = ~seed >>> 0;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function number(x) {
  if (Number.isNaN(x)) return 'fnan;';
  if (Number.isSafeInteger(x)) return `i${x === 0 ? '0' : x.toString(16)};`;
  if (Math.abs(x) < 1e-12) return 'f0;';
  if (!Number.isFinite(x)) return x > 0 ? 'finf;' : 'f-inf;';
  return `f${x.toExponential(8).replace(/e([+-])(\d)$/, 'e$10$2')};`;
}
const sized = (tag, data) => Buffer.concat([Buffer.from(`${tag}${data.length}:`), data]);
const opaque = (v) => sized('o', Buffer.from(String(Object.prototype.toString.call(v)).slice(8, -1).slice(0, 60)));

function encode(v, path = []) {
  if (v === null || v === undefined) return Buffer.from('N');
  if (typeof v === 'boolean') return Buffer.from(v ? 'T' : 'F');
  if (typeof v === 'number') return Buffer.from(number(v));
  if (typeof v === 'bigint') return Buffer.from(`i${v.toString(16)};`);
  if (typeof v === 'string') return sized('s', Buffer.from(v, 'utf8'));
  if (typeof v !== 'object') return opaque(v);
  const at = path.indexOf(v);
  if (at >= 0) return Buffer.from(`y${(path.length - at).toString(16)};`);
  if (path.length >= MAX_DEPTH) return opaque(v);
  const inner = [...path, v], proto = Object.getPrototypeOf(v);
  const all = (items) => Array.from(items, (item) => encode(item, inner));
  if (Array.isArray(v) && proto === Array.prototype) return Buffer.concat([Buffer.from(`l${v.length}:`), ...all(v)]);
  if (proto === Uint8Array.prototype || proto === Buffer.prototype) return sized('b', Buffer.from(v));
  if (proto === Set.prototype)
    return Buffer.concat([Buffer.from(`S${v.size}:`), ...all(v).sort(Buffer.compare)]);
  if (proto === Map.prototype || proto === Object.prototype || proto === null) {
    const pairs = (proto === Map.prototype ? [...v] : Object.entries(v))
      .map(([k, x]) => [encode(k, inner), encode(x, inner)])
      .sort((a, b) => Buffer.compare(a[0], b[0]));
    return Buffer.concat([Buffer.from(`d${pairs.length}:`), ...pairs.flat()]);
  }
  return opaque(v);
}

async function take(iterator) {
  const items = [];
  for await (const item of iterator) {
    if (items.length === MAX_GENERATED) return Buffer.concat([Buffer.from('G'), encode(items)]);
    items.push(item);
  }
  return Buffer.concat([Buffer.from('g'), encode(items)]);
}
const isGenerator = (v) => v !== null && typeof v === 'object' &&
  (/Generator/.test(Object.prototype.toString.call(v))) && typeof v.next === 'function';

let printed = '';
class OutputLimit extends Error {}
function print(text) {
  printed += text;
  if (printed.length > job.stdout_bytes) throw new OutputLimit();
  return true;
}
console.log = (...words) => void print(require('util').format(...words) + '\n');
console.error = console.warn = console.info = console.debug = () => undefined;
process.stdout.write = (text) => print(String(text));

const find = (dotted) => vm.runInThisContext(dotted);

async function call(name, args) {
  const given = JSON.parse(JSON.stringify(args));
  const parts = name.split('.');
  const self = parts.length > 1 ? find(parts.slice(0, -1).join('.')) : undefined;
  const result = await find(name).apply(self, given);
  const written = isGenerator(result) ? await take(result) : encode(result);
  const after = encode(given);
  if (after.equals(encode(args))) return written;
  return Buffer.concat([Buffer.from('M'), written, Buffer.from('t'), after.subarray(1), Buffer.from('d0:')]);
}

async function sequence(construct, steps) {
  const object = new (find(construct[0]))(...construct[1]);
  const parts = [];
  for (const [name, args] of steps) {
    const result = await object[name](...args);
    parts.push(result === object ? Buffer.from('Ds4:selfd0:') : encode(result));
  }
  const name = Buffer.from(object.constructor.name);
  parts.push(Buffer.concat([Buffer.from('D'), sized('s', name), encode({ ...object })]));
  return Buffer.concat([Buffer.from(`l${parts.length}:`), ...parts]);
}

async function probe([kind, ...rest]) {
  if (kind === 'call') return call(...rest);
  if (kind === 'sequence') return sequence(...rest);
  const result = await vm.runInThisContext(rest[0], { filename: '<probe>' });
  return kind === 'check' ? Buffer.from('N') : isGenerator(result) ? take(result) : encode(result);
}

function send(kind, index, status, value, exception, message, stdout) {
  const parts = [value, ...[exception, message, stdout].map((text) => Buffer.from(text, 'utf8'))];
  const head = Buffer.alloc(30);
  head.write(kind, 0, 'latin1');
  head.writeUInt32LE(index, 1);
  head.writeUInt8(status, 5);
  parts.forEach((part, i) => head.writeUInt32LE(part.length, 14 + 4 * i));
  const body = Buffer.concat([head, ...parts]), frame = Buffer.alloc(8);
  frame.writeUInt32LE(body.length, 0);
  frame.writeUInt32LE(crc32(body, job.seed), 4);
  let rest = Buffer.concat([frame, body]);
  while (rest.length) rest = rest.subarray(write(answerFd, rest));
}

async function answer(kind, index, run) {
  printed = '';
  let value = Buffer.alloc(0), status = 0, exception = '', message = '';
  try {
    const result = await run();
    if (kind === 'P') value = result;
    if (value.length > job.result_bytes) status = 3;
  } catch (error) {
    status = error instanceof OutputLimit ? 3 : 1;
    if (status === 1) {
      exception = String((error && error.constructor && error.constructor.name) || typeof error).slice(0, 100);
      message = String((error && error.message) || error).slice(0, 500);
    }
  }
  if (printed.length > job.stdout_bytes) { status = 3; printed = ''; }
  if (status !== 0) value = Buffer.alloc(0);
  send(kind, index, status, value, exception, message, printed);
  return status === 0;
}

async function main() {
  send('C', 0, 0, Buffer.alloc(0), '', '', '');  // each answer is sent at once, never in batches
  globalThis.require = require;
  if (job.script) {
    if (await answer('L', 0, () => new vm.Script(job.source, { filename: '<candidate>' }))) {
      await answer('P', job.first, async () => {
        vm.runInThisContext(job.source, { filename: '<candidate>' });
        await new Promise((done) => { setImmediate(done); });
        return encode(printed);
      });
    }
  } else if (await answer('L', 0, () => vm.runInThisContext(job.source, { filename: '<candidate>' }))) {
    for (let i = job.first; i < job.probes.length; i++) await answer('P', i, () => probe(job.probes[i]));
  }
  send('E', 0, 0, Buffer.alloc(0), '', '', '');
  exit(0);
}
main();
