// The page of sot_tracker: shows frames that come through a WebSocket, and sends what the user draws and chooses.
// The messages are described in view/wire.py.
"use strict";

const COLORS = { TRACKING: "#3ddc84", UNCERTAIN: "#ffb020", LOST: "#ff5a5f" };
const MINUTE = 60000; // milliseconds that the plots show
const CLICK = 8; // a movement below so many screen pixels is a click, not a box
const GAP = 1500; // milliseconds without a frame that interrupt a plot's line
const SILENCE = 2000; // milliseconds after which the picture is old
const RECORD_LIMIT = 10 * MINUTE; // a recording is kept in memory until it ends
const FORMATS = ["video/mp4;codecs=avc1.42E01E", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const WRONG_TOKEN = 4401, TOO_MANY = 4503; // as in view/pages.py

const element = (id) => document.getElementById(id);
const canvas = element("picture"), pen = canvas.getContext("2d");

let socket = null;
let delay = 500; // milliseconds until the next attempt to connect
let shown = null; // the newest frame: {facts, bitmap}
let shownAt = 0; // when it came
let drawing = null; // the box under the pointer: {frame, from, to, moved}
let recorder = null;
const samples = []; // {time, score, latency, state}

// ---- connection

function connect() {
  const token = location.hash.slice(1);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws?token=${encodeURIComponent(token)}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = tellWhetherWatching;
  socket.onmessage = (event) => (typeof event.data === "string" ? onText(JSON.parse(event.data)) : onFrame(event.data));
  socket.onclose = onClose;
}

function onClose(event) {
  showState("OFFLINE", "offline", "");
  element("stop").disabled = true;
  if (event.code === WRONG_TOKEN) {
    showBanner("The token is missing or wrong. Open the address that the server printed when it started.");
    return;
  }
  showBanner(event.code === TOO_MANY ? "Too many browsers are connected. Trying again ..." : "Connection lost. Trying again ...");
  setTimeout(connect, delay);
  delay = Math.min(2 * delay, 5000);
}

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function tellWhetherWatching() {
  shownAt = performance.now(); // while nobody looked, no pictures came
  send({ do: "watch", on: document.visibilityState === "visible" });
}

function onText(message) {
  if (message.hello) {
    delay = 500;
    showBanner("");
    showFacts(message.hello);
  }
  if (message.model) element("model").value = message.model;
  if (message.note) showNote(message.note);
}

async function onFrame(data) {
  const length = new DataView(data).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  try {
    const jpeg = new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(jpeg, { imageOrientation: "none" }); // the tracker ignores EXIF as well
    show({ facts, bitmap });
  } catch {
    showNote("a picture could not be decoded");
  }
  send({ do: "seen" });
}

// ---- the picture

function show(frame) {
  const old = shown;
  shown = frame;
  if (old && !(drawing && drawing.frame === old)) old.bitmap.close();
  const { facts } = frame;
  shownAt = performance.now();
  samples.push({ time: shownAt, score: facts.score, latency: facts.latency, state: facts.state });
  showState(facts.state, facts.state === "SILENT" ? "no tracker" : facts.state, facts.reason);
  element("stop").disabled = !(facts.state in COLORS);
  element("record").disabled = !canvas.captureStream || !window.MediaRecorder;
  showNumbers(frame);
  paint();
}

// Frame pixels per canvas pixel: wide frames are shrunk before they are sent.
function scaleOf(frame) {
  return frame.facts.size ? frame.facts.size[0] / frame.bitmap.width : 1;
}

function paint() {
  const frame = drawing ? drawing.frame : shown;
  if (!frame) return;
  if (canvas.width !== frame.bitmap.width || canvas.height !== frame.bitmap.height) {
    canvas.width = frame.bitmap.width;
    canvas.height = frame.bitmap.height;
  }
  pen.drawImage(frame.bitmap, 0, 0);
  if (drawing) paintSelection();
  else paintBox(frame);
}

function paintBox({ facts, bitmap }) {
  const color = COLORS[facts.state];
  if (!facts.box || !color) return;
  const scale = bitmap.width / (facts.size ? facts.size[0] : bitmap.width);
  const [x, y, w, h] = facts.box.map((value) => value * scale);
  const unit = Math.max(1, canvas.width / 640);
  pen.lineWidth = 2.5 * unit;
  pen.strokeStyle = color;
  pen.setLineDash(facts.state === "TRACKING" ? [] : [9 * unit, 6 * unit]);
  pen.strokeRect(x, y, w, h);
  pen.setLineDash([]);
  const text = facts.state === "TRACKING" ? facts.score.toFixed(2) : `${facts.state} ${facts.score.toFixed(2)}`;
  pen.font = `600 ${14 * unit}px system-ui, "DejaVu Sans", sans-serif`;
  const width = pen.measureText(text).width + 12 * unit, height = 20 * unit;
  const left = Math.min(Math.max(x - 1.25 * unit, 0), canvas.width - width);
  const top = y >= height ? y - height - 1.25 * unit : Math.min(y + h + 1.25 * unit, canvas.height - height);
  pen.fillStyle = color;
  pen.fillRect(left, top, width, height);
  pen.fillStyle = "#0b0e11";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 6 * unit, top + height / 2 + unit);
}

function paintSelection() {
  const [x, y, w, h] = selection();
  pen.fillStyle = "rgba(8, 10, 13, .55)";
  pen.fillRect(0, 0, canvas.width, y);
  pen.fillRect(0, y + h, canvas.width, canvas.height - y - h);
  pen.fillRect(0, y, x, h);
  pen.fillRect(x + w, y, canvas.width - x - w, h);
  pen.lineWidth = Math.max(1.5, canvas.width / 400);
  pen.strokeStyle = "#ffffff";
  pen.strokeRect(x, y, w, h);
}

// ---- drawing a box; while it is drawn, the picture stands still

// Canvas pixels of a pointer, which may be outside of the picture; the picture lies in the middle of the element.
function place(event) {
  const area = canvas.getBoundingClientRect();
  const zoom = Math.min(area.width / canvas.width, area.height / canvas.height);
  const left = area.left + (area.width - zoom * canvas.width) / 2, top = area.top + (area.height - zoom * canvas.height) / 2;
  return [(event.clientX - left) / zoom, (event.clientY - top) / zoom];
}

function inside([x, y]) {
  return [Math.min(Math.max(x, 0), canvas.width), Math.min(Math.max(y, 0), canvas.height)];
}

function selection() {
  const [a, b] = inside(drawing.from), [c, d] = inside(drawing.to);
  return [Math.min(a, c), Math.min(b, d), Math.abs(a - c), Math.abs(b - d)];
}

canvas.addEventListener("pointerdown", (event) => {
  if (!shown || drawing || !event.isPrimary || event.button !== 0) return;
  const from = place(event);
  if (from[0] < 0 || from[1] < 0 || from[0] > canvas.width || from[1] > canvas.height) return;
  canvas.setPointerCapture(event.pointerId);
  drawing = { frame: shown, from, to: from, at: [event.clientX, event.clientY], moved: false };
});

canvas.addEventListener("pointermove", (event) => {
  if (!drawing || !event.isPrimary) return;
  drawing.to = place(event);
  drawing.moved ||= Math.hypot(event.clientX - drawing.at[0], event.clientY - drawing.at[1]) >= CLICK;
  paint();
});

canvas.addEventListener("pointerup", (event) => {
  if (!drawing || !event.isPrimary) return;
  drawing.to = place(event);
  const scale = scaleOf(drawing.frame), { stamp } = drawing.frame.facts;
  const [x, y, w, h] = selection().map((value) => value * scale);
  if (!drawing.moved) send({ do: "point", at: [x, y], stamp });
  else if (w >= 2 && h >= 2) send({ do: "start", box: [x, y, w, h], stamp });
  endDrawing();
});

canvas.addEventListener("pointercancel", endDrawing);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") endDrawing(); });

function endDrawing() {
  if (drawing && drawing.frame !== shown) drawing.frame.bitmap.close();
  drawing = null;
  paint();
}

// ---- words and numbers

function showState(state, text, reason) {
  const output = element("state");
  if (output.dataset.state !== state) output.dataset.state = state;
  if (output.textContent !== text) output.textContent = text;
  element("reason").textContent = reason;
  element("hint").hidden = state !== "IDLE";
}

function showBanner(text) {
  element("banner").textContent = text;
  element("banner").hidden = !text;
}

let noteTimer = 0;
function showNote(text) {
  element("note").textContent = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => { element("note").textContent = ""; }, 8000);
}

function showFacts({ name, model, models }) {
  element("source").textContent = name;
  document.title = `${name} - sot_tracker`;
  const select = element("model");
  select.replaceChildren(...models.map((item) => new Option(item, item)));
  select.value = model;
  element("model-row").hidden = models.length === 0;
}

function showNumbers({ facts }) {
  const tracked = facts.state in COLORS;
  const recent = samples.filter((sample) => sample.time > performance.now() - 2000);
  const span = recent.length > 1 ? recent[recent.length - 1].time - recent[0].time : 0;
  const rate = span > 200 ? `, ${((1000 * (recent.length - 1)) / span).toFixed(0)} fps` : "";
  element("score").textContent = tracked && facts.score !== null ? facts.score.toFixed(2) : "\u2013";
  element("latency").textContent = facts.latency !== null ? `${facts.latency.toFixed(facts.latency < 10 ? 1 : 0)} ms` : "\u2013";
  element("target").textContent = tracked ? facts.target || "\u2013" : "\u2013";
  element("box").textContent = facts.box ? facts.box.map((value) => value.toFixed(0)).join(", ") : "\u2013";
  if (facts.probability !== null) element("probability-row").hidden = false; // not every model knows it
  element("probability").textContent = facts.probability !== null ? facts.probability.toFixed(2) : "\u2013";
  element("from").textContent = facts.source || "\u2013";
  element("size").textContent = facts.size ? `${facts.size[0]} \u00d7 ${facts.size[1]}${rate}` : "\u2013";
}

// An old picture must not look like a live one.
function noticeSilence() {
  if (socket.readyState !== WebSocket.OPEN || performance.now() - shownAt < SILENCE) return;
  showState("SILENT", "no pictures", "");
  element("stop").disabled = true;
}

// ---- plots of the last minute

function plot(id, value, top, colorOf) {
  const area = element(id), ratio = window.devicePixelRatio || 1, now = performance.now();
  const width = Math.round(area.clientWidth * ratio), height = Math.round(area.clientHeight * ratio);
  if (area.width !== width || area.height !== height) { area.width = width; area.height = height; }
  const brush = area.getContext("2d"), pad = 6 * ratio;
  const yOf = (number) => height - pad - (Math.min(number, top) / top) * (height - 2 * pad);
  brush.clearRect(0, 0, width, height);
  brush.strokeStyle = "#222a32";
  brush.lineWidth = ratio;
  for (const share of [0, 0.5, 1]) {
    const y = Math.round(yOf(share * top)) + 0.5;
    brush.beginPath(); brush.moveTo(0, y); brush.lineTo(width, y); brush.stroke();
  }
  brush.lineWidth = 1.5 * ratio;
  let last = null;
  for (const sample of samples) {
    const number = value(sample);
    if (number === null) { last = null; continue; }
    const x = width * (1 - (now - sample.time) / MINUTE), y = yOf(number);
    if (last && sample.time - last.time < GAP) {
      brush.strokeStyle = colorOf(sample);
      brush.beginPath(); brush.moveTo(last.x, last.y); brush.lineTo(x, y); brush.stroke();
    }
    last = { x, y, time: sample.time };
  }
  brush.fillStyle = "#93a1af";
  brush.font = `${10 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
  brush.textBaseline = "top";
  brush.fillText(String(top), 4 * ratio, yOf(top) + 2 * ratio);
}

// 1, 2 or 5 times a power of ten: the least that is not below the number.
function rounded(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(number, 1)));
  return power * ([1, 2, 5].find((factor) => factor * power >= number) || 10);
}

setInterval(() => {
  while (samples.length && samples[0].time < performance.now() - MINUTE) samples.shift();
  if (document.visibilityState !== "visible") return;
  noticeSilence();
  plot("score-plot", (s) => (s.state in COLORS ? s.score : null), 1, (s) => COLORS[s.state]);
  const latencies = samples.map((s) => s.latency || 0).sort((a, b) => a - b);
  const most = latencies.length ? latencies[Math.floor(0.99 * (latencies.length - 1))] : 0; // one slow frame hides nothing
  plot("latency-plot", (s) => s.latency, rounded(Math.max(most, 10)), () => "#5aa9ff");
}, 250);

// ---- buttons

element("stop").addEventListener("click", () => send({ do: "stop" }));
element("model").addEventListener("change", (event) => send({ do: "model", name: event.target.value }));
document.addEventListener("visibilitychange", tellWhetherWatching);

// The clip is recorded in the browser, from what is seen, and ends up where the user is: in its downloads.
element("record").addEventListener("click", () => {
  if (recorder) { recorder.stop(); return; }
  const type = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
  const parts = [];
  recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 4e6 });
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => saveClip(parts, type);
  recorder.start(1000);
  showRecording(true);
  setTimeout((mine) => { if (recorder === mine) mine.stop(); }, RECORD_LIMIT, recorder);
});

function saveClip(parts, type) {
  recorder = null;
  showRecording(false);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: type.split(";")[0] }));
  const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "_");
  link.download = `sot_tracker_${time}.${type.startsWith("video/mp4") ? "mp4" : "webm"}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), MINUTE);
}

function showRecording(on) {
  element("record").classList.toggle("on", on);
  element("record-text").textContent = on ? "Save clip" : "Record";
}

connect();
