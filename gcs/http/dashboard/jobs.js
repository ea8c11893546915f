// Jobs: the list, and one job with its log.

import { get } from "./api.js";
import { Table, badge, choice, el, facts, fill, searchBox } from "./dom.js";
import { moment, short, took } from "./format.js";
import { Log } from "./log.js";

const PAGE = 200;
const STATES = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"];

const nameOf = (job) => job.submission_id ?? job.job_id;

export const jobColumns = [
  { name: "Job", of: (job) => el("a", { href: `#/jobs/${encodeURIComponent(nameOf(job))}` }, nameOf(job)) },
  { name: "State", of: (job) => badge(job.status) },
  { name: "Command", of: (job) => job.entrypoint, wide: true },
  { name: "User", of: (job) => job.user },
  { name: "Started", of: (job) => moment(job.start_time) },
  { name: "Took", of: (job) => (job.status === "PENDING" ? null : took(job.start_time, job.end_time)), number: true },
  { name: "Exit", of: (job) => job.driver_exit_code, number: true },
];

export function jobsView(root, _closing, look) {
  let [jobs, words, state, limit] = [[], "", "", PAGE];
  const table = new Table("Jobs", jobColumns, nameOf);
  const count = el("span", { class: "quiet", role: "status" });
  const more = el("button", { hidden: true, click: () => ((limit += PAGE), look()) }, "Show older jobs");
  const states = [["", "All states"], ...STATES.map((name) => [name, name.toLowerCase()])];
  fill(root, el("h1", {}, "Jobs ", count),
    el("div", { class: "tools" },
      searchBox("Search by name, command or user", (text) => ((words = text), show())),
      choice("State", states, (value) => ((state = value), look()))),
    table.root, more);

  function show() {
    const has = (job) => [nameOf(job), job.entrypoint, job.user, job.message].some((text) => text?.toLowerCase().includes(words));
    const found = words ? jobs.filter(has) : jobs;
    fill(count, found.length === jobs.length ? jobs.length : `${found.length} of ${jobs.length}`);
    table.show(found, words || state ? "No job matches." : "No job has been submitted yet: iosdk job submit -- COMMAND");
    more.hidden = jobs.length < limit;
  }

  async function poll(signal) {
    jobs = (await get(`/api/jobs/?limit=${limit}${state && `&status=${state}`}`, signal)).reverse();
    show();
  }
  return { poll };
}

const asJson = (value) => el("pre", { class: "json" }, JSON.stringify(value, null, 2));
const filled = (value) => value && Object.keys(value).length > 0;

export function jobView(root, id, closing) {
  const about = el("section", { class: "card", "aria-label": "About this job" });
  const state = el("span");
  const more = el("details", { class: "card", hidden: true }, el("summary", {}, "Environment and metadata"));
  const inside = el("div");
  more.append(inside);
  const log = new Log(id, closing);
  fill(root, el("p", { class: "back" }, el("a", { href: "#/jobs" }, "← Jobs")),
    el("div", { class: "title" }, el("h1", {}, id), state), about, more, log.root);
  let shown = null;

  async function poll(signal) {
    const job = await get(`/api/jobs/${encodeURIComponent(id)}`, signal);
    log.begin();
    fill(state, badge(job.status));
    fill(about, facts([
      ["Command", el("code", {}, job.entrypoint)],
      ["Message", job.message],
      ["User", job.user],
      [job.status === "PENDING" ? "Submitted" : "Started", moment(job.start_time)],
      ["Ended", moment(job.end_time)],
      [job.end_time ? "Took" : job.status === "PENDING" ? "Waits for" : "Runs for", took(job.start_time, job.end_time)],
      ["Exit code", job.driver_exit_code],
      ["Process", job.driver_info?.pid],
      ["Node", short(job.driver_node_id)],
    ], "columns"));
    const parts = [["Runtime environment", job.runtime_env], ["Metadata", job.metadata], ["Secrets", job.secret_env]];
    const there = parts.filter(([, value]) => filled(value));
    const text = JSON.stringify(there);
    if (text === shown) return;
    shown = text;
    more.hidden = there.length === 0;
    fill(inside, there.map(([name, value]) => [el("h3", {}, name), asJson(value)]));
  }
  return { poll };
}
