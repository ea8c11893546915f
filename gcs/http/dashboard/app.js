// The page: signing in, which section is shown, and asking the head again every two seconds while somebody looks.

import { Missing, SignedOut, signIn, signOut, signedIn } from "./api.js";
import { el, fill } from "./dom.js";
import { jobView, jobsView } from "./jobs.js";
import { nodesView, overviewView } from "./overview.js";
import { actorsView, tasksView } from "./states.js";
import { usageView } from "./usage.js";

const EVERY_MS = 2_000;
const SECTIONS = [
  ["", "Overview", overviewView],
  ["jobs", "Jobs", jobsView],
  ["tasks", "Tasks", tasksView],
  ["actors", "Actors", actorsView],
  ["nodes", "Nodes", nodesView],
  ["usage", "Usage", usageView],
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const status = document.getElementById("status");
const leaving = document.getElementById("leave");
const trouble = el("p", { class: "trouble", role: "alert", hidden: true });

let current = null;
/** Somebody wants to see news before the time has passed. */
let wanted = false;
let wake = () => {};

function look() {
  wanted = true;
  wake();
}

function say(kind, text) {
  if (status.textContent === text) return;
  status.className = kind;
  fill(status, text);
}

function complain(text) {
  trouble.hidden = text === null;
  fill(trouble, text);
}

/** The part of the address after `#/`. */
function place() {
  const [section = "", id = null] = location.hash.replace(/^#\/?/, "").split("/");
  return { section, id: id && decodeURIComponent(id) };
}

function show() {
  current?.closing.abort();
  const { section, id } = place();
  const [name, title, make] = SECTIONS.find(([known]) => known === section) ?? SECTIONS[0];
  nav.hidden = leaving.hidden = false;
  const links = SECTIONS.map(([to, text]) => el("a", { href: `#/${to}`, "aria-current": to === name ? "page" : null }, text));
  fill(nav, links);
  document.title = `${id ?? title} – iosdk`;
  const closing = new AbortController();
  const body = el("div");
  fill(main, trouble, body);
  complain(null);
  const view = name === "jobs" && id !== null ? jobView(body, id, closing.signal) : make(body, closing.signal, look);
  current = { view, closing };
  look();
}

function welcome(text) {
  current?.closing.abort();
  current = null;
  nav.hidden = leaving.hidden = true;
  say("", "");
  const input = el("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const why = el("p", { class: "why", role: "alert" }, text);
  const submit = async (event) => {
    event.preventDefault();
    await enter(input.value.trim(), "That is not the token of this head.");
  };
  fill(main, el("form", { class: "welcome", submit },
    el("h1", {}, "Sign in"),
    why,
    el("p", {}, "On the machine of the head, run ", el("code", {}, "iosdk dashboard"), " and open the address that it prints."),
    el("label", { for: "token" }, "Or paste the token. ", el("code", {}, "iosdk status"), " says which file holds it."),
    el("div", { class: "row" }, input, el("button", {}, "Sign in")),
    el("p", { class: "quiet" }, "This tab keeps a session that can only read, and forgets it when it is closed."),
  ));
  input.focus();
}

async function enter(word, refused) {
  try {
    await signIn(word);
    show();
  } catch (error) {
    welcome(error instanceof SignedOut ? refused : `The head does not answer: ${error.message}`);
  }
}

/** Ends when there is something to look at: time has passed, or the tab or the section is another. */
async function wait() {
  const timer = document.visibilityState === "visible" && setTimeout(() => wake(), EVERY_MS);
  if (!wanted) await new Promise((resolve) => (wake = resolve));
  clearTimeout(timer);
  wanted = false;
}

async function poll({ view, closing }) {
  try {
    await view.poll(closing.signal);
    if (!closing.signal.aborted) {
      complain(null);
      say("live", "live");
    }
  } catch (error) {
    if (closing.signal.aborted) return;
    if (error instanceof SignedOut) {
      welcome("The session has ended: they end after twelve hours, and with the head's process.");
    } else if (error instanceof Missing) {
      complain(error.message);
      say("live", "live");
    } else {
      say("lost", "no answer");
      complain(`The head does not answer, this page tries again: ${error.message}`);
    }
  }
}

async function run() {
  for (;;) {
    if (current !== null && document.visibilityState === "visible") await poll(current);
    await wait();
  }
}

addEventListener("hashchange", () => {
  const login = ticket();
  if (login) enter(login, "That address has been used, or is older than five minutes.");
  else if (signedIn() && location.hash !== "#main") show();
});
document.addEventListener("visibilitychange", look);
leaving.addEventListener("click", () => {
  signOut();
  welcome("");
});

/** The ticket in the address, which leaves it at once. */
function ticket() {
  const found = location.hash.match(/^#login=([0-9a-f]+)$/);
  if (found) history.replaceState(null, "", "/");
  return found?.[1];
}

const login = ticket();
if (login) await enter(login, "That address has been used, or is older than five minutes. Run `iosdk dashboard` for another.");
else if (signedIn()) show();
else welcome("");
await run();
