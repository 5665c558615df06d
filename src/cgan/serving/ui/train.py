"""Train: start a real training, watch it, stop it, go on, draw with it."""

import io
from pathlib import Path

import pandas as pd
import streamlit as st
from PIL import Image

from cgan.commands import command
from cgan.data.pixels import open_picture
from cgan.errors import CganError
from cgan.metrics.values import short
from cgan.records.run import read_run
from cgan.serving.share import locked
from cgan.serving.training import MAX_EPOCHS, MAX_MINUTES, Trainings, Watched, state_of
from cgan.serving.ui.parts import MODEL, fragment, trainings

TITLES = {
    "running": "Training",
    "stopping": "Writing a checkpoint, then it ends",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "unknown": "This folder has no record of its run",
}
GOING = ("running", "stopping")
PRESET = "as in the preset"
UNKNOWN_LENGTH = "It has not run here yet: how long it takes is said after the first epoch, or enter minutes."
BUDGET = "It fills that time: a short training first measures how much this machine can do in it."
EVERY_S = 2
MAX_FRAMES = 250
"""Of a film of grids, which is held in memory as a whole."""
RUN = "train.run"
COLORS = ["#4d74e8", "#e8871e", "#8a8f9e"]


@fragment
def show() -> None:
    """Show the tab."""
    if locked():
        st.info("This page is shared, so training is locked. `cgan app` on your own computer trains.")
        return
    here = trainings()
    try:
        overrides = _choose(here)
        st.code(command("train", *overrides), language="bash", wrap_lines=True)
        st.caption(_length(here, overrides))
    except CganError as error:
        overrides = []
        st.error(str(error))
    busy = here.running()
    beside = bool(busy) and st.checkbox(f"Start beside {busy[0].name}, which is still training; both get slower")
    if st.button("Start training", type="primary", disabled=not overrides or (bool(busy) and not beside)):
        st.session_state[RUN] = here.start(overrides, beside=beside)
        st.rerun(scope="fragment")
    runs = here.all()
    if not runs:
        st.info("No training yet. The choices above train readable digits in a few minutes, without a network.")
        return
    st.divider()
    if st.session_state.get(RUN, runs[0]) not in runs:
        st.session_state[RUN] = runs[0]
    folder = st.selectbox("Run", runs, format_func=lambda path: path.name, key=RUN, persist_state="session")
    _watch(here, folder)


def _length(here: Trainings, overrides: list[str]) -> str:
    if any(override.startswith("budget=") for override in overrides):
        return BUDGET
    seconds = here.epoch_seconds(overrides)
    return f"An epoch of it took {seconds:.3g} seconds here." if seconds else UNKNOWN_LENGTH


def _choose(here: Trainings) -> list[str]:
    left, right = st.columns(2)
    with left:
        experiment = _choice(here, "experiment", "Preset", "quickstart")
        epochs = st.number_input("Epochs", 1, MAX_EPOCHS, None, 1, key="train.epochs", placeholder=PRESET)
        minutes = st.number_input("or minutes", 1, MAX_MINUTES, None, 1, key="train.minutes", placeholder=PRESET)
    with right:
        data = _choice(here, "data", "Data", PRESET)
        of_preset = here.data_of(experiment) if experiment else None
        needs = here.choices("data")[name].needs if (name := data or of_preset) else []
        needed = {need: st.text_input(need, key=f"train.{need}").strip() for need in needs}
    return here.overrides(experiment or "", data, epochs, minutes, needed)


def _choice(here: Trainings, group: str, label: str, default: str) -> str | None:
    """Show the choices of a config group; None where the visitor leaves a default that is none of them."""
    known = here.choices(group)
    names = list(dict.fromkeys([default, *known]))
    name = st.selectbox(label, names, key=f"train.{group}", persist_state="session")
    if name not in known:
        return None
    st.caption(known[name].sentence)
    return name


def _watch(here: Trainings, folder: Path) -> None:
    """Show a run; while it goes on, repeat every few seconds."""
    going = state_of(folder, read_run(folder))[0] in GOING

    def live() -> None:
        seen = here.watch(folder)
        if going and seen.state not in GOING:
            st.rerun()  # it has ended: the whole tab changes, and this clock stops
        _headline(seen)
        _buttons(here, seen)
        _values(seen)
        _charts(seen)
        _film(seen)

    fragment(live, EVERY_S if going else None)()


def _headline(seen: Watched) -> None:
    title, run = TITLES[seen.state], seen.run
    if seen.state == "failed":
        st.error(f"Failed: {seen.message}")
    elif seen.state == "unknown":
        st.info(title)
    elif seen.state not in GOING:
        st.success(f"{title}.") if seen.has_checkpoint else st.warning(f"{title} before the first checkpoint.")
    elif run is None or not run.epoch:
        st.progress(0.0, text=f"{title}: getting ready")
    else:
        share = min(run.images_seen / run.images_total, 1.0) if run.images_total else 0.0
        left = f", {run.seconds_left / 60:.0f} minutes left" if run.seconds_left else ""
        st.progress(share, text=f"{title} {share:.0%}, epoch {run.epoch} of {run.epochs or 'any number'}{left}")


def _buttons(here: Trainings, seen: Watched) -> None:
    with st.container(horizontal=True):
        if seen.state == "running" and st.button("Stop and keep a checkpoint"):
            here.stop(seen.folder)
            st.rerun(scope="fragment")
        if seen.state in ("stopped", "failed") and seen.has_checkpoint and st.button("Go on"):
            here.resume(seen.folder)
            st.rerun()
        if seen.has_checkpoint and st.button("Draw with this model", on_click=_select, args=(seen.folder,)):
            st.rerun()


def _select(folder: Path) -> None:
    st.session_state[MODEL] = f"train/runs/{folder.name}"
    st.session_state["tab"] = "Draw"


def _values(seen: Watched) -> None:
    with st.container(horizontal=True):
        if seen.evaluation:
            record, entry = seen.evaluation
            for name, value in entry.values.items():
                about, real = record.describe(name), record.real.values.get(name)
                beside = "" if real is None else f" Real images: {short(real)}."
                st.metric(about.title, short(value), help=f"{about.sentence} {about.advice.capitalize()}.{beside}")
        for tag, title in (("loss/d", "D loss"), ("loss/g", "G loss")):
            if (loss := seen.latest(tag)) is not None:
                st.metric(title, f"{loss:.3f}")
        if speed := seen.latest("speed/images_per_s"):
            st.metric("images per second", f"{speed:,.0f}")


def _charts(seen: Watched) -> None:
    losses = {"loss/d": "discriminator", "loss/g": "generator", "loss/penalty": "penalty"}
    points = [
        {"images seen": row["images_seen"]} | {name: row[tag] for tag, name in losses.items() if tag in row}
        for row in seen.rows
    ]
    _chart([point for point in points if len(point) > 1], "loss")
    if seen.evaluation:
        record, entry = seen.evaluation
        name = next(iter(entry.values), "")
        curve = [
            {
                "images seen": point.images_seen,
                "generated": point.values[name],
                "real images": record.real.values.get(name),
            }
            for point in entry.curve
            if name in point.values
        ]
        _chart(curve, record.describe(name).title)


def _chart(points: list[dict], label: str) -> None:
    if points:
        table = pd.DataFrame(points)
        st.line_chart(table, x="images seen", y_label=label, height=230, color=[*COLORS[: table.shape[1] - 1]])


def _film(seen: Watched) -> None:
    """Show the same latents after every epoch, with a slider and as an animation."""
    if not seen.grids:
        return
    epochs = list(seen.grids)
    epoch = st.select_slider("After epoch", epochs, epochs[-1]) if len(epochs) > 1 else epochs[0]
    if image := _opened(seen.grids[epoch]):
        st.image(image, caption=f"The same ten latents after epoch {epoch}")
    else:
        st.warning(f"{seen.grids[epoch].name} cannot be read as a picture.")
    if len(epochs) > 1:
        name = f"{seen.folder.name}.gif"
        st.download_button("Film (GIF)", lambda: _gif(list(seen.grids.values())), name, "image/gif", on_click="ignore")


def _opened(path: Path) -> Image.Image | None:
    """Read a grid; None where it is none, or is gone: the folder may be anyone's."""
    try:
        image = open_picture(path.read_bytes(), ("PNG",))
        image.load()
    except (OSError, SyntaxError, ValueError):
        return None
    return image


def _gif(paths: list[Path]) -> bytes:
    """Encode a film of grids, of every second or third epoch where there are very many."""
    images = [image for image in map(_opened, paths[:: -(-len(paths) // MAX_FRAMES)]) if image]
    content = io.BytesIO()
    if not images:
        return b""
    first, *others = images
    first.save(content, "GIF", save_all=True, append_images=others, duration=250, loop=0)
    return content.getvalue()
