// Makes the technician's pages live: pieces of a page that changed come as events.
"use strict";

const live = document.querySelector("[data-events]");

function listen() {
  const events = new EventSource(live.dataset.events);
  const gone = document.getElementById("gone");
  events.onopen = () => { gone.hidden = true; };
  for (const id of ["live", "outline"]) {
    events.addEventListener(id, (event) => { document.getElementById(id).innerHTML = event.data; });
  }
  events.addEventListener("picture", (event) => {
    const picture = document.getElementById("picture");
    const number = event.data.trim();
    // One that is still on its way would be given up for the next, and that again: none would ever be there.
    if (number && picture.complete) {
      picture.src = "/admin/camera.jpg?" + number;
    }
    picture.hidden = !number;
  });
  // The session is over: the form to log in is shown in the page's place.
  events.addEventListener("end", () => { events.close(); location.reload(); });
  events.onerror = () => {
    gone.hidden = false;
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(listen, 2000);
    }
  };
}

if (live) {
  listen();
}

// What takes a while says so, and is asked for once.
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.disabled = true;
    button.textContent = form.dataset.busy;
  });
}

// A page that was left while something was done is whole again when it is come back to.
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});
