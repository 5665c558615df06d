/* Draws in the browser what `cgan sample` draws in a terminal: see cgan/sampling for the same steps in Python. */

import { standardNormal } from "./noise.js";

const COUNT = 8;
const STYLES = 4;
const MANY = 20; // classes; more are a list instead of buttons
const SAVED = 512; // pixels of a saved picture's longer side, at most
const element = (id) => document.getElementById(id);
const make = (tag, values, ...children) => {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children);
  return made;
};

let about; // generator.json
let ready; // a promise of the runtime and its session
let first; // pictures of the first view, until the generator can draw
const state = {};

/* --- Pictures ------------------------------------------------------------------------------------------------- */

/** The latent of image `row` of a stream, such as [seed, label]. */
const latent = (key, row = 0) => standardNormal(key, about.z_dim * (row + 1)).subarray(row * about.z_dim);

const oneClass = (label) => Float32Array.from(about.class_names, (_, index) => Number(index === label));

/** Draw N images: latents (N, Z) and shares of the classes (N, K) -> N ImageData. */
async function render(latents, shares) {
  const { ort, session } = await ready;
  const batch = (rows) => new ort.Tensor("float32", rows.flatMap((row) => [...row]), [rows.length, rows[0].length]);
  const truncation = batch(latents.map(() => [state.truncation]));
  const { images } = await session.run({ z: batch(latents), classes: batch(shares), truncation });
  const size = images.data.length / latents.length;
  return latents.map((_, index) => toImage(images.data.subarray(index * size, (index + 1) * size)));
}

/** (C, H, W) in [-1, 1] -> pixels 0..255, rounded; 1 to 4 channels are grey, grey + alpha, RGB, RGBA. */
function toImage(values) {
  const [channels, height, width] = about.img_shape;
  const image = new ImageData(width, height);
  image.data.fill(255);
  const planes = { 1: [0, 0, 0], 2: [0, 0, 0, 1], 3: [0, 1, 2], 4: [0, 1, 2, 3] }[channels];
  for (let pixel = 0; pixel < width * height; pixel++)
    planes.forEach((plane, channel) => {
      image.data[4 * pixel + channel] = values[plane * width * height + pixel] * 127.5 + 127.5;
    });
  return image;
}

/** Interpolate along a great circle; the norm changes linearly (cgan.sampling.interpolate.slerp). */
function slerp(start, end, share) {
  const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
  const [first, last] = [Math.sqrt(dot(start, start)), Math.sqrt(dot(end, end))];
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(start, end) / (first * last))));
  const sine = Math.sin(angle);
  if (!(sine >= 1e-4)) return start.map((value, index) => value + share * (end[index] - value));
  const length = first + share * (last - first);
  const [a, b] = [Math.sin((1 - share) * angle) / sine / first, Math.sin(share * angle) / sine / last];
  return start.map((value, index) => (a * value + b * end[index]) * length);
}

/* --- What is shown -------------------------------------------------------------------------------------------- */

/** Show strips of pictures in a list; each strip is a button that saves it. */
function show(list, strips) {
  while (list.children.length > strips.length) list.lastChild.remove();
  strips.forEach(({ images, name, caption }, index) => {
    const item = list.children[index] ?? list.appendChild(strip());
    const [button, text] = item.children;
    const canvas = button.firstChild;
    Object.assign(canvas, { width: images.length * images[0].width, height: images[0].height });
    images.forEach((image, place) => canvas.getContext("2d").putImageData(image, place * image.width, 0));
    button.setAttribute("aria-label", `${name}. Save it as PNG`);
    button.onclick = () => save(canvas, name);
    text.textContent = caption ?? "";
  });
}

const strip = () => make("li", {}, make("button", { type: "button" }, make("canvas")), make("small"));

/** Save a picture with square pixels, as large as fits into SAVED. */
function save(canvas, name) {
  const factor = Math.max(1, Math.floor(SAVED / Math.max(canvas.height, canvas.width)));
  const large = make("canvas", { width: canvas.width * factor, height: canvas.height * factor });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  const file = `${name.replace(/[^\p{L}\p{N}.%]+/gu, "_")}.png`;
  make("a", { href: large.toDataURL(), download: file }).click();
}

/** The command that draws the first picture: what is no plain word stands in quotes, where a comma parts no classes. */
function command() {
  const plain = /^[\p{L}\p{N}_ .+-]+$/u.test(state.class) && !/^ | $/.test(state.class);
  const escaped = state.class.replace(/(\\*)'/g, "$1$1\\'").replace(/\\+$/, "$&$&").replaceAll("${", "\\${");
  const chosen = `classes=${plain ? state.class : `'${escaped}'`}`;
  const quoted = /^[\w=.-]+$/.test(chosen) ? chosen : `'${chosen.replaceAll("'", "'\\''")}'`;
  const truncation = state.truncation === 1 ? [] : [`truncation=${state.truncation}`];
  return ["cgan sample", quoted, "n=1", `seed=${state.seed}`, ...truncation, `ckpt=${about.ckpt}`].join(" ");
}

const seedsFrom = (seed, count) => Array.from({ length: count }, (_, index) => seed + index);

/** Show one picture of the class for each of these seeds. */
function showPictures(images, seeds) {
  const strips = images.map((image, index) => ({
    images: [image], name: `${state.class}, seed ${seeds[index]}`, caption: `seed ${seeds[index]}`,
  }));
  show(element("pictures"), strips);
  element("command").textContent = command();
  element("status").textContent = `${COUNT} pictures of ${state.class}, seeds ${seeds[0]} to ${seeds.at(-1)}`;
}

/** Until the generator can draw: the first view as the export drew it, and no pictures for any other. */
function showFirst() {
  const same = Object.entries(about.first).every(([name, value]) => state[name] === value);
  if (same) showPictures(first, seedsFrom(state.seed, COUNT));
  else show(element("pictures"), []);
}

const parts = {
  async pictures() {
    const seeds = seedsFrom(state.seed, COUNT);
    const label = about.class_names.indexOf(state.class);
    showPictures(await render(seeds.map((seed) => latent([seed, label])), seeds.map(() => oneClass(label))), seeds);
  },

  async numbers() {
    const seeds = seedsFrom(state.seed, STYLES);
    const labels = [...state.number].map((digit) => about.class_names.indexOf(digit));
    const latents = seeds.flatMap((seed) => labels.map(() => latent([seed])));
    const images = await render(latents, seeds.flatMap(() => labels.map(oneClass)));
    const strips = seeds.map((seed, index) => ({
      images: images.slice(index * labels.length, (index + 1) * labels.length),
      name: `${state.number}, seed ${seed}`,
      caption: `seed ${seed}`,
    }));
    show(element("numbers"), strips);
    element("status").textContent = `${state.number} in ${STYLES} styles, seeds ${seeds[0]} to ${seeds.at(-1)}`;
  },

  async morph() {
    const [from, to] = [state.from, state.to].map((name) => about.class_names.indexOf(name));
    const ends = [latent([state.seed, from]), latent([state.seed, to], Number(from === to))];
    const places = [0, state.at, 1];
    const ofClasses = [from, to].map(oneClass);
  const blend = (at) => ofClasses[0].map((value, index) => (1 - at) * value + at * ofClasses[1][index]);
    const images = await render(places.map((at) => slerp(...ends, at)), places.map(blend));
    const percent = `${Math.round(state.at * 100)} %`;
    const names = [state.from, `${percent} from ${state.from} to ${state.to}`, state.to];
    const captions = [state.from, percent, state.to];
    const strips = images.map((image, index) => ({
      images: [image], name: `${names[index]}, seed ${state.seed}`, caption: captions[index],
    }));
    show(element("morph"), strips);
    element("status").textContent = names[1];
  },
};

const busy = (value) => document.querySelector("main").setAttribute("aria-busy", value);

function fail(error) {
  busy(false);
  element("failure").textContent = `The generator cannot ${first ? "be started" : "draw this"}: ${error.message}`;
}

const pending = new Set();
let drawing = false;

/** Draw parts of the page one after another; what is asked for again meanwhile is drawn once, with the last values. */
async function draw(...names) {
  names.forEach((name) => pending.add(name));
  remember();
  if (first) showFirst();
  if (drawing) return;
  drawing = true;
  try {
    await ready;
    first = null;
    for (const name of pending) {
      pending.delete(name);
      await parts[name]();
      element("failure").textContent = "";
      busy(pending.size > 0);
    }
  } catch (error) {
    fail(error);
  } finally {
    drawing = false;
  }
}

const drawAll = () => draw("pictures", "morph", ...(numeric() ? ["numbers"] : []));

/* --- Controls ------------------------------------------------------------------------------------------------- */

const numeric = () => about.class_names.every((name) => /^[0-9]$/.test(name));
const isClass = (text) => about.class_names.includes(text);
const between = (low, high) => (text) => text !== "" && Number(text) >= low && Number(text) <= high;

/** What the address may hold after its #: a test of the text, and how it becomes a value. */
const fields = {
  class: [isClass, String],
  seed: [(text) => /^[0-9]+$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER - COUNT, Number],
  truncation: [between(0.1, 1.5), Number],
  number: [(text) => /^[0-9]{1,12}$/.test(text) && [...text].every(isClass), String],
  from: [isClass, String],
  to: [isClass, String],
  at: [between(0, 1), Number],
};

function defaults() {
  const last = about.class_names.length - 1;
  const name = (label) => about.class_names[Math.min(label, last)];
  const number = [..."2026"].every(isClass) ? "2026" : name(0);
  return { ...about.first, number, from: name(last > 3 ? 3 : 0), to: name(8), at: 0.5 };
}

/** Take what the address says after its #, where that makes sense. */
function recall() {
  Object.assign(state, defaults());
  for (const [name, text] of new URLSearchParams(location.hash.slice(1)))
    if (Object.hasOwn(fields, name) && fields[name][0](text)) state[name] = fields[name][1](text);
}

let remembering;

/** Write the state into the address, a moment after its last change: Safari refuses a hundred times in half a minute. */
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => history.replaceState(null, "", `#${new URLSearchParams(state)}`), 500);
}

/** Bring the controls to what the state says. */
function fill() {
  for (const name of ["seed", "truncation", "number", "from", "to", "at"]) element(name).value = state[name];
  const chosen = document.querySelector(`#class [value="${CSS.escape(state.class)}"]`);
  Object.assign(chosen, chosen.localName === "option" ? { selected: true } : { checked: true });
  for (const name of ["seed", "number"]) report(name, "");
}

function report(name, message) {
  element(name).setAttribute("aria-invalid", message !== "");
  element(`${name}-error`).textContent = message;
}

/** Let a text field change the state where its text makes sense, and say beside it where not. */
function watch(name, message, redraw) {
  element(name).addEventListener("input", ({ target }) => {
    const [sound, convert] = fields[name];
    const text = target.value.trim();
    report(name, sound(text) ? "" : message);
    if (!sound(text)) return;
    state[name] = convert(text);
    redraw();
  });
}

function classPicker() {
  if (about.class_names.length > MANY) {
    const list = make("select", { ariaLabel: "Class" }, ...about.class_names.map((name) => new Option(name, name)));
    return make("label", { textContent: "Class " }, list);
  }
  const choices = about.class_names.map((name) =>
    make("label", {}, make("input", { type: "radio", name: "class", value: name }), make("span", { textContent: name })),
  );
  return make("fieldset", {}, make("legend", { textContent: "Class" }), ...choices);
}

function newPictures() {
  state.seed = (state.seed + COUNT) % (Number.MAX_SAFE_INTEGER - COUNT);
  fill();
  drawAll();
}

let playing;

/** Move from one end of the morph to the other and back, once; anew if it is moving. */
function play() {
  cancelAnimationFrame(playing);
  const started = performance.now();
  const step = (now) => {
    const share = Math.min((now - started) / 3000, 1);
    state.at = Number((share < 0.5 ? 2 * share : 2 - 2 * share).toFixed(2));
    element("at").value = state.at;
    draw("morph");
    if (share < 1) playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
}

function connect() {
  element("data").textContent = about.name;
  element("class").append(classPicker());
  element("class").hidden = about.class_names.length < 2;
  for (const name of ["from", "to"]) element(name).append(...about.class_names.map((text) => new Option(text, text)));
  element("same").hidden = !about.ckpt;
  if (about.home) element("home").replaceChildren(make("a", { href: about.home, textContent: "cgan" }));
  element("number-section").hidden = !numeric();
  element("morph-section").hidden = about.class_names.length < 2;
  element("class").addEventListener("change", ({ target }) => {
    state.class = target.value;
    draw("pictures");
  });
  watch("seed", "Expected a whole number from 0.", drawAll);
  watch("number", `Expected 1 to 12 of the digits ${about.class_names.join(" ")}.`, () => draw("numbers"));
  element("new").onclick = newPictures;
  element("play").onclick = play;
  for (const [name, redraw] of [["truncation", drawAll], ["from", () => draw("morph")], ["to", () => draw("morph")], ["at", () => draw("morph")]])
    element(name).addEventListener("input", ({ target }) => {
      state[name] = fields[name][1](target.value);
      redraw();
    });
  addEventListener("hashchange", () => {
    recall();
    fill();
    drawAll();
  });
}

/* --- Start ---------------------------------------------------------------------------------------------------- */

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: the server answered ${answer.status}`);
  return answer;
}

/** The runtime lies compressed, since many hosts send .wasm as it is. */
async function unpacked(name) {
  const { body } = await fetched(name);
  return new Response(body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** Start the runtime, in a thread of its own: it takes about a second. */
async function startRuntime() {
  const model = fetched("generator.onnx").then((answer) => answer.arrayBuffer());
  const [ort, wasmBinary] = await Promise.all([import("./onnxruntime.mjs"), unpacked("onnxruntime.bin")]);
  Object.assign(ort.env.wasm, { wasmBinary, proxy: true });
  ort.env.wasm.numThreads = 1; // more threads need headers that a plain host does not send
  return { ort, session: await ort.InferenceSession.create(await model, { executionProviders: ["wasm"] }) };
}

/** The first view's pictures, which lie side by side in a file: COUNT ImageData. */
async function firstPictures() {
  const strip = await createImageBitmap(await (await fetched("first.png")).blob());
  const [width, height] = [strip.width / COUNT, strip.height];
  const context = make("canvas", { width: strip.width, height }).getContext("2d");
  context.drawImage(strip, 0, 0);
  return seedsFrom(0, COUNT).map((place) => context.getImageData(place * width, 0, width, height));
}

async function start() {
  [about, first] = await Promise.all([fetched("generator.json").then((answer) => answer.json()), firstPictures()]);
  connect();
  recall();
  fill();
  ready = startRuntime();
  await drawAll();
}

start().catch(fail);
