// A job's output as it comes: the last lines of it, however much there is, and no stream while nobody looks.

import { open } from "./api.js";
import { el, fill } from "./dom.js";
import { bytes } from "./format.js";

const LINES_MAX = 2_000;
const LINE_MAX = 8_192;
/** Of what is there already. */
const FIRST_BYTES = 256 * 1024;
const DRAW_EVERY_MS = 100;
const AGAIN_MS = 2_000;

/** Colours and cursor movements of terminals. */
const ESCAPES = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;

/** A line as a terminal would leave it: what came after the last return of the carriage. */
export function plain(line) {
  const text = line.replace(ESCAPES, "").replace(/\r+$/, "");
  return text.slice(text.lastIndexOf("\r") + 1);
}

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
});

const visible = (signal) => new Promise((resolve) => {
  if (document.visibilityState === "visible" || signal.aborted) return resolve();
  const waiting = new AbortController();
  const done = () => (document.visibilityState === "visible" || signal.aborted) && (waiting.abort(), resolve());
  document.addEventListener("visibilitychange", done, { signal: waiting.signal });
  signal.addEventListener("abort", done, { signal: waiting.signal });
});

export class Log {
  #id;
  #closing;
  #begun = false;
  /** Bytes of the log that have been read or left out. */
  #at = 0;
  #rest = "";
  #fresh = [];
  #drawing = null;
  #last = null;
  #note = el("span", { class: "quiet small" });
  #state = el("span", { class: "quiet small", role: "status" });
  #lines = el("div", { class: "lines", role: "log", tabindex: "0", "aria-label": "Output", "aria-live": "off" });
  #end = el("button", { class: "plain end", hidden: true, click: () => this.#toEnd() }, "↓ Latest output");
  root = el("section", { class: "log" },
    el("div", { class: "between" }, el("h2", {}, "Output"), el("span", {}, this.#note, " ", this.#state)), this.#lines, this.#end);

  constructor(id, closing) {
    this.#id = id;
    this.#closing = closing;
    this.#lines.addEventListener("scroll", () => (this.#end.hidden = this.#follows()));
  }

  begin() {
    if (this.#begun) return;
    this.#begun = true;
    this.#run();
  }

  async #run() {
    let first = true;
    while (!this.#closing.aborted) {
      await visible(this.#closing);
      const hiding = new AbortController();
      const hide = () => document.visibilityState === "hidden" && hiding.abort();
      document.addEventListener("visibilitychange", hide, { signal: this.#closing });
      try {
        if (first) await this.#start();
        first = false;
        if (await this.#follow(AbortSignal.any([this.#closing, hiding.signal]))) return;
      } catch (error) {
        if (this.#closing.aborted) return;
        if (!hiding.signal.aborted) {
          fill(this.#state, `interrupted: ${error.message}`);
          await pause(AGAIN_MS, this.#closing);
        }
      } finally {
        document.removeEventListener("visibilitychange", hide);
      }
    }
  }

  get #path() {
    return `/api/jobs/${encodeURIComponent(this.#id)}/logs/raw`;
  }

  /** Where to begin: the end of what is there, from the start of a line on. */
  async #start() {
    const answer = await open(this.#path, this.#closing, { Range: "bytes=-1" });
    await answer.body?.cancel();
    // 416: there is nothing yet.
    if (answer.status === 416) return;
    if (!answer.ok) throw new Error(`the head answered ${answer.status}`);
    const length = Number(answer.headers.get("Content-Range").split("/")[1]);
    if (length > FIRST_BYTES) {
      this.#at = length - FIRST_BYTES;
      fill(this.#note, `the first ${bytes(this.#at)} are left out;`);
    }
  }

  /** True when the job is over and all of it has been read. */
  async #follow(signal) {
    const answer = await open(`${this.#path}?follow=1&offset=${this.#at}`, signal);
    if (!answer.ok) throw new Error(await answer.text());
    fill(this.#state, "live");
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      this.#at += value.length;
      this.#take(decoder.decode(value, { stream: true }));
    }
    if (this.#rest) this.#push(this.#rest);
    this.#rest = "";
    this.#draw();
    fill(this.#state, "complete");
    if (!this.#lines.hasChildNodes()) fill(this.#state, "nothing was printed");
    return true;
  }

  #take(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines.slice(-LINES_MAX)) this.#push(line);
    if (this.#rest.length > LINE_MAX) {
      this.#push(this.#rest);
      this.#rest = "";
    }
    this.#fresh = this.#fresh.slice(-LINES_MAX);
    this.#drawing ??= setTimeout(() => this.#draw(), DRAW_EVERY_MS);
  }

  #push(line) {
    const text = plain(line);
    this.#fresh.push(text.length > LINE_MAX ? `${text.slice(0, LINE_MAX)} …` : text);
  }

  #draw() {
    clearTimeout(this.#drawing);
    this.#drawing = null;
    const follows = this.#follows();
    this.#last?.remove();
    const line = (text) => el("div", {}, text || " ");
    this.#lines.append(...this.#fresh.map(line));
    this.#fresh = [];
    this.#last = this.#rest ? line(plain(this.#rest)) : null;
    if (this.#last) this.#lines.append(this.#last);
    while (this.#lines.childElementCount > LINES_MAX) this.#lines.firstElementChild.remove();
    if (follows) this.#toEnd();
  }

  #follows() {
    return this.#lines.scrollHeight - this.#lines.scrollTop - this.#lines.clientHeight < 40;
  }

  #toEnd() {
    this.#lines.scrollTop = this.#lines.scrollHeight;
  }
}
