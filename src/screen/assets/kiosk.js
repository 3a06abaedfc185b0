// Makes the customer's page live: shows another one when the visit has moved on, what the camera sees, and whether
// somebody is there. Nothing is kept in the browser.
"use strict";

const main = () => document.querySelector("main");
const lost = document.getElementById("lost");

// Takes over a page that was fetched; the heading says to a screen reader that it is another one.
function turn(html) {
  const other = new DOMParser().parseFromString(html, "text/html");
  const step = main().dataset.step;
  const focused = document.activeElement?.id;
  for (const part of ["main", "#idle"]) {
    document.querySelector(part).replaceWith(other.querySelector(part));
  }
  document.title = other.title;
  if (main().dataset.step !== step) {
    window.scrollTo(0, 0);
    main().querySelector("h1").focus();
  } else if (focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
}

async function fetched(request, options) {
  try {
    const answer = await fetch(request, options);
    if (!answer.ok) throw new Error(answer.status);
    turn(await answer.text());
    return true;
  } catch {
    return false;
  }
}

const renew = () => fetched("/kiosk");

// Buttons: as the form says, without leaving the page.
document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const button = event.submitter;
  if (button) button.disabled = true;
  const body = new URLSearchParams(new FormData(form));
  fetched(form.action, { method: "POST", body }).then((done) => {
    if (button && !done) button.disabled = false;
  });
});

// A tap on a box leads to its value, without a trace in the address.
document.addEventListener("click", (event) => {
  const link = event.target.closest("svg a");
  if (!link) return;
  event.preventDefault();
  const at = link.querySelector(".box").dataset.value;
  const value = document.getElementById(`value-${at}`);
  if (!value) return;
  for (const chosen of document.querySelectorAll(".chosen")) chosen.classList.remove("chosen");
  value.classList.add("chosen");
  link.classList.add("chosen");
  value.focus({ preventScroll: true });
  value.scrollIntoView({ block: "center" });
});

// And from a value back to its box.
document.addEventListener("focusin", (event) => {
  const value = event.target.closest("li.value");
  if (!value) return;
  const at = value.id.replace("value-", "");
  for (const chosen of document.querySelectorAll("svg a.chosen")) chosen.classList.remove("chosen");
  document.querySelector(`.box[data-value="${at}"]`)?.parentElement.classList.add("chosen");
});

// A tick that somebody has left behind is not the next one's consent.
let leaving;
function attend() {
  clearTimeout(leaving);
  const cloud = document.getElementById("cloud");
  if (cloud?.checked) leaving = setTimeout(() => { cloud.checked = false; }, 1000 * cloud.dataset.forget);
}
for (const deed of ["pointerdown", "keydown", "change"]) document.addEventListener(deed, attend);

function sight({ vi, en, outline, picture }) {
  const words = document.getElementById("words");
  if (!words) return;
  // A page that is to be laid down again is asked for until it is there.
  if (!document.querySelector("main .wrong")) {
    const [first, second] = [words.querySelector(".vi"), words.querySelector(".en")];
    if (first.textContent !== vi) first.textContent = vi;
    if (second.textContent !== en) second.textContent = en;
  }
  const live = document.getElementById("live");
  if (live) {
    // A camera that is away shows nothing, rather than what it saw last. A picture that is still on its way is not
    // given up for the next: where looks come quickly, none would ever be there.
    if (picture && live.complete) live.src = picture;
    live.hidden = !picture;
  }
  const points = (outline || []).map(([x, y]) => `${100 * x},${100 * y}`).join(" ");
  document.querySelector("#outline polygon")?.setAttribute("points", points);
}

let events;
let patience;

// Without a word for so long the program is not there, whatever the connection says.
function alive() {
  lost.hidden = true;
  clearTimeout(patience);
  patience = setTimeout(gone, 12000);
}

function gone() {
  lost.hidden = false;
  events?.close();
  clearTimeout(patience);
  patience = setTimeout(listen, 1000);
}

function listen() {
  events?.close();
  events = new EventSource("/kiosk/events");
  events.onopen = alive;
  events.onerror = gone;
  events.addEventListener("page", ({ data }) => {
    alive();
    if (data !== main().dataset.key) renew();
  });
  events.addEventListener("sight", ({ data }) => {
    alive();
    sight(JSON.parse(data));
  });
  events.addEventListener("alive", alive);
  events.addEventListener("idle", () => {
    alive();
    const dialog = document.getElementById("idle");
    if (!dialog.open) dialog.showModal();
  });
}

// What a browser shows of a page that it had kept is old.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) renew().then(listen);
});
window.addEventListener("pagehide", () => events?.close());

listen();
