"""Train: start a real training, watch it, stop it."""

from pathlib import Path

import pandas as pd
import streamlit as st

from cgan.serving.training import MAX_EPOCHS, Trainings, Watched
from cgan.serving.ui.parts import fragment, set_default, trainings

TITLES = {
    "running": "Training",
    "stopping": "Writing a checkpoint, then it ends",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "elsewhere": "Started in a terminal",
}
EVERY_S = 2
RUN = "keep.train.run"
COLORS = ["#2f55c8", "#e8871e", "#8a8f9e"]


@fragment
def show() -> None:
    """Show the tab."""
    here = trainings()
    overrides = _choose(here)
    st.code(" ".join(["python train.py", *overrides]), language="bash", wrap_lines=True)
    busy = here.running()
    beside = bool(busy) and st.checkbox(f"Start beside {busy[0].name}, which is still training; both get slower")
    if st.button("Start training", type="primary", disabled=bool(busy) and not beside):
        st.session_state[RUN] = here.start(overrides, beside=beside)
        st.rerun(scope="fragment")
    runs = here.all()
    if not runs:
        st.info("No training yet. The choices above train readable digits in a few minutes, without a network.")
        return
    st.divider()
    set_default(RUN, runs[0], runs)
    folder = st.selectbox("Run", runs, format_func=lambda path: path.name, key=RUN)
    _watch(here, folder)


def _choose(here: Trainings) -> list[str]:
    left, right = st.columns(2)
    with left:
        model = _choice(here, "model", "Backbone", "light")
        data = _choice(here, "data", "Data", "mnist5k")
    with right:
        loss = _choice(here, "loss", "Loss", "relativistic")
        key = f"keep.train.epochs.{data}"  # an epoch of 4,000 images is not one of 60,000
        set_default(key, 60 if data == "mnist5k" else 10)
        epochs = st.number_input("Epochs", 1, MAX_EPOCHS, key=key)
    return here.overrides(model=model, loss=loss, data=data, epochs=int(epochs))


def _choice(here: Trainings, group: str, label: str, default: str) -> str:
    known = here.choices(group)
    set_default(f"keep.train.{group}", default, known)
    chosen = st.selectbox(label, list(known), key=f"keep.train.{group}")
    st.caption(known[chosen].split(";")[0])
    return chosen


def _watch(here: Trainings, folder: Path) -> None:
    """Show a run; while it goes on, repeat every few seconds."""
    going = here.watch(folder).state in ("running", "stopping")

    def live() -> None:
        seen = here.watch(folder)
        if going and seen.state not in ("running", "stopping"):
            st.rerun()  # it has ended: the whole tab changes, and this clock stops
        _headline(seen)
        if seen.state == "running" and st.button("Stop and keep a checkpoint"):
            here.stop(folder)
            st.rerun(scope="fragment")
        _values(seen)
        _images(seen)

    fragment(live, EVERY_S if going else None)()


def _headline(seen: Watched) -> None:
    title = TITLES[seen.state]
    if seen.state == "failed":
        st.error(f"Failed: {seen.message or 'the process ended without a message'}")
        return
    if seen.state in ("finished", "stopped"):
        if seen.has_checkpoint:
            st.success(f"{title}. Choose {seen.folder.name} as the model above to draw with it.")
        else:
            st.warning(f"{title} before the first checkpoint.")
        return
    if seen.state == "elsewhere":
        st.info(f"{title}; it can be watched here, but only be stopped there.")
        return
    left = f", {seen.time_left} left" if seen.time_left else ""
    share = f" {seen.done:.0%}" if seen.done is not None else ": getting ready"
    st.progress(seen.done or 0.0, text=f"{title}{share}{left}")


def _values(seen: Watched) -> None:
    quality, reference = seen.latest("quality/"), seen.latest("real/")
    loss, speed = seen.latest("loss/"), seen.latest("speed/")
    with st.container(horizontal=True):
        for tag, value in quality.items():
            name = tag.removeprefix("quality/")
            real = reference.get(f"real/{name}")
            st.metric(name, f"{value:.3g}", help=f"Real test images: {real:.3g}" if real is not None else None)
        if loss:
            st.metric("D loss", f"{loss['loss/d']:.3f}")
            st.metric("G loss", f"{loss.get('loss/g', float('nan')):.3f}")
        if speed:
            st.metric("images per second", f"{speed['speed/images_per_s']:,.0f}")


def _images(seen: Watched) -> None:
    _chart(seen, "loss", {"loss/d": "discriminator", "loss/g": "generator", "loss/penalty": "penalty"})
    distance = next((tag for tag in seen.latest("quality/fid")), "")
    _chart(seen, "Fréchet distance", {distance: "generated", distance.replace("quality", "real"): "real test images"})
    if seen.grid:
        st.image(seen.grid.read_bytes(), caption=f"The same ten latents after epoch {int(seen.grid.stem[6:])}")


def _chart(seen: Watched, label: str, lines: dict[str, str]) -> None:
    """Draw the tags that ``lines`` names, over images seen, where the run has logged them."""
    points = [
        {"images seen": row["images_seen"]} | {name: row[tag] for tag, name in lines.items() if tag in row}
        for row in seen.rows
    ]
    table = pd.DataFrame([point for point in points if len(point) > 1])
    if len(table):
        st.line_chart(table, x="images seen", y_label=label, height=230, color=[*COLORS[: table.shape[1] - 1]])
