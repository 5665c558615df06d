/* Latents that follow from seed and class, the same as cgan/sampling/noise.py draws with NumPy.
 *
 * SeedSequence (O'Neill's seed_seq_fe) -> Philox4x64-10 (Salmon et al. 2011) -> ziggurat in float32 (Marsaglia and
 * Tsang 2000, Doornik 2005). A test compares it with NumPy value by value.
 */

const xorshift = (value) => (value ^ (value >>> 16)) >>> 0;

/** The 32-bit words of a non-negative integer, lowest first. */
function words(integer) {
  const low = integer % 2 ** 32;
  return integer < 2 ** 32 ? [low] : [low, ...words(Math.floor(integer / 2 ** 32))];
}

/** A function that hashes one word after another; `multiplier` moves its state on. */
function hasher(state, multiplier) {
  return (value) => {
    value ^= state;
    state = Math.imul(state, multiplier);
    return xorshift(Math.imul(value, state));
  };
}

/** Spread the integers of a key over a pool of four words, then draw the two 64-bit words of a Philox key. */
function philoxKey(key) {
  const entropy = key.flatMap(words);
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const mix = (x, y) => xorshift(Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y));
  const pool = [0, 1, 2, 3].map((index) => hash(entropy[index] ?? 0));
  for (let source = 0; source < 4; source++)
    for (let target = 0; target < 4; target++)
      if (source !== target) pool[target] = mix(pool[target], hash(pool[source]));
  for (const word of entropy.slice(4))
    for (let target = 0; target < 4; target++) pool[target] = mix(pool[target], hash(word));
  const draw = hasher(0x8b51f9dd, 0x58f38ded);
  const [a, b, c, d] = pool.map((word) => BigInt(draw(word)));
  return [a | (b << 32n), c | (d << 32n)];
}

const u64 = (value) => BigInt.asUintN(64, value);

/** Ten rounds of Philox: four 64-bit words from a counter and a key. */
function philox(counter, key) {
  let [a, b, c, d] = [counter, 0n, 0n, 0n];
  let [k, l] = key;
  for (let round = 0; round < 10; round++) {
    const first = 0xd2e7470ee14c6c93n * a;
    const second = 0xca5a826395121157n * c;
    [a, b, c, d] = [(second >> 64n) ^ b ^ k, u64(second), (first >> 64n) ^ d ^ l, u64(first)];
    k = u64(k + 0x9e3779b97f4a7c15n);
    l = u64(l + 0xbb67ae8584caa73bn);
  }
  return [a, b, c, d];
}

/** A function that returns the next 32 random bits: each 64-bit word gives its low half first. */
function bits(key) {
  let counter = 0n;
  let waiting = [];
  return () => {
    if (!waiting.length)
      waiting = philox(++counter, key).flatMap((word) => [Number(word & 0xffffffffn), Number(word >> 32n)]);
    return waiting.shift();
  };
}

/** Right end R of the ziggurat's 255 layers and the area of each; layer 0 is the tail's. */
const R = 3.6541528853610088;
const AREA = 0.004928673233974658;
const density = (x) => Math.exp(-0.5 * x * x);

/** Per layer: its width, the density at its right end, and the 23-bit numbers that surely lie below the curve. */
function ziggurat() {
  const right = new Array(256);
  right[0] = AREA / density(R);
  right[255] = R;
  for (let i = 254; i > 0; i--) right[i] = Math.sqrt(-2 * Math.log(AREA / right[i + 1] + density(right[i + 1])));
  const inner = (i) => [R, 0][i] ?? right[i - 1];
  return {
    width: Float32Array.from(right, (x) => x / 2 ** 23),
    height: Float32Array.from(right, (x, i) => (i ? density(x) : 1)),
    below: Uint32Array.from(right, (x, i) => (inner(i) / x) * 2 ** 23),
  };
}

const { width, height, below } = ziggurat();

/** One number beyond R (Marsaglia 1964). */
function tail(uniform, negative) {
  for (;;) {
    const x = -Math.log1p(-uniform()) / R;
    const y = -Math.log1p(-uniform());
    if (y + y > x * x) return negative ? -(R + x) : R + x;
  }
}

/** One number from N(0, 1). */
function normal(next) {
  const uniform = () => (next() >>> 8) / 2 ** 24;
  for (;;) {
    const random = next();
    const layer = random & 0xff;
    const size = random >>> 9;
    const x = Math.fround(size * width[layer]) * (random & 0x100 ? -1 : 1);
    if (size < below[layer]) return x;
    if (!layer) return tail(uniform, size & 0x100);
    if ((height[layer - 1] - height[layer]) * uniform() + height[layer] < density(x)) return x;
  }
}

/**
 * The numbers from N(0, 1) of the stream that a key of non-negative integers names, such as [seed, label].
 *
 * @param {number[]} key Each below 2 ** 53.
 * @param {number} count
 * @returns {Float32Array}
 */
export function standardNormal(key, count) {
  const next = bits(philoxKey(key));
  return Float32Array.from({ length: count }, () => normal(next));
}
