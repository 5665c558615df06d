"""A canvas to draw a digit on, with mouse, pen or finger."""

from typing import Any

import streamlit as st

HTML = """
<canvas width="280" height="280" tabindex="0" role="img"
  aria-label="Drawing area: draw one digit with the mouse or a finger, or upload a picture instead.">
</canvas>
<div class="tools">
  <button type="button" class="undo">Undo</button><button type="button" class="clear">Clear</button>
</div>
"""

CSS = """
canvas { display: block; width: min(280px, 100%); aspect-ratio: 1; background: #000; border-radius: 8px;
  cursor: crosshair; touch-action: none; }
canvas:focus-visible, button:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
.tools { display: flex; gap: 8px; margin-top: 8px; }
button { font: inherit; color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: 8px; padding: 6px 16px; cursor: pointer; }
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
"""

# The page calls this function at every run with the same parent: strokes live on the parent, handlers are set anew.
JS = """
export default function ({ parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const strokes = (parentElement.strokes ??= []);

  const draw = () => {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { strokeStyle: "#fff", lineWidth: 24, lineCap: "round", lineJoin: "round" });
    for (const stroke of strokes) {
      pen.beginPath();
      pen.moveTo(...stroke[0]);
      stroke.forEach((point) => pen.lineTo(...point));
      pen.stroke();
    }
  };
  const send = () => setStateValue("picture", strokes.length ? canvas.toDataURL("image/png") : null);
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };

  // Without it Chromium makes no click of the first tap after a stroke, such as one on Clear.
  canvas.ontouchstart = (event) => event.preventDefault();
  canvas.onpointerdown = (event) => {
    event.preventDefault();
    if (parentElement.pointer != null || event.button) return;  // a second finger, or the palm
    canvas.setPointerCapture(event.pointerId);
    strokes.push([place(event)]);
    parentElement.pointer = event.pointerId;
    draw();
  };
  canvas.onpointermove = (event) => {
    if (event.pointerId !== parentElement.pointer) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).push(...(passed.length ? passed : [event]).map(place));
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (event.pointerId !== parentElement.pointer) return;
    parentElement.pointer = null;
    send();
  };
  parentElement.querySelector(".undo").onclick = () => { strokes.pop(); draw(); send(); };
  parentElement.querySelector(".clear").onclick = () => { strokes.length = 0; draw(); send(); };
  draw();
}
"""

_mount: Any = st.components.v2.component("digit_canvas", html=HTML, css=CSS, js=JS)


def canvas(key: str) -> str | None:
    """Show the canvas; return what is drawn on it as a PNG ``data:`` URL, white on black, or None while it is blank."""
    return _mount(key=key, default={"picture": None}, on_picture_change=lambda: None).picture
