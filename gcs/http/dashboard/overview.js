// The cluster at a glance, and its nodes.

import { get } from "./api.js";
import { Table, badge, el, facts, fill } from "./dom.js";
import { jobColumns } from "./jobs.js";
import { amount, duration, moment, resourceName, resourceNames, short } from "./format.js";

const LATEST = 100;
const SHOWN = 6;

/** How much of something is given out. */
function bar(name, used, total) {
  const share = total > 0 ? Math.min(1, used / total) : 0;
  const text = `${amount(name, used)} of ${amount(name, total)}`;
  const inner = el("div", { class: share > 0.9 ? "full" : null });
  inner.style.width = `${share * 100}%`;
  const label = resourceName(name);
  const meter = { class: "bar", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" };
  return el("div", { class: "resource" },
    el("div", { class: "between" }, el("span", {}, label), el("span", { class: "quiet" }, text)),
    el("div", { ...meter, "aria-valuenow": Math.round(share * 100), "aria-valuetext": text }, inner));
}

function bars(nodes) {
  const sum = (field) => {
    const all = {};
    for (const node of nodes) for (const [name, value] of Object.entries(node[field])) all[name] = (all[name] ?? 0) + value;
    return all;
  };
  const [total, available] = [sum("resources_total"), sum("resources_available")];
  return resourceNames(total).map((name) => bar(name, total[name] - (available[name] ?? 0), total[name]));
}

function card(title, figure, note, link) {
  const inside = [el("span", { class: "quiet" }, title), el("strong", {}, figure), el("span", { class: "quiet small" }, note)];
  return link ? el("a", { class: "card figure", href: link }, inside) : el("div", { class: "card figure" }, inside);
}

export function overviewView(root) {
  const cards = el("div", { class: "cards" });
  const resources = el("section", { class: "card", "aria-label": "Resources" });
  const about = el("section", { class: "card", "aria-label": "About this head" });
  const latest = new Table("Latest jobs", jobColumns, (job) => job.submission_id ?? job.job_id);
  fill(root, el("h1", {}, "Overview"), cards, el("div", { class: "two" }, resources, about),
    el("h2", {}, "Latest jobs"), latest.root);

  async function poll(signal) {
    const version = await get("/api/version", signal);
    const cluster = await get("/api/cluster", signal);
    const jobs = (await get(`/api/jobs/?limit=${LATEST}`, signal)).reverse();
    const alive = cluster.nodes.filter((node) => node.alive);
    const lost = cluster.nodes.length - alive.length;
    const ended = (state) => jobs.filter((job) => job.status === state).length;
    const of = `latest ${jobs.length}`;
    fill(cards,
      card("Nodes", alive.length, lost ? `${lost} lost` : "all alive", "#/nodes"),
      card("Running", cluster.jobs_running, "jobs", "#/jobs"),
      card("Queued", cluster.jobs_queued, "jobs", "#/jobs"),
      card("Succeeded", ended("SUCCEEDED"), of),
      card("Failed", ended("FAILED"), of),
      card("Stopped", ended("STOPPED"), of));
    fill(resources, el("h2", {}, "Resources"), bars(alive));
    // The session's name begins with when the process that serves this page began.
    const began = Number(version.session_name.match(/^session_(\d{12,})_/)?.[1]) || null;
    fill(about, el("h2", {}, "This head"), facts([
      ["Version", version.iosdk_version],
      ["Job API", `${version.version} of Ray ${version.ray_version}`],
      ["Up", began && duration(Math.floor((Date.now() - began) / 1000) * 1000)],
      ["Since", moment(began)],
      ["Address", location.host],
    ]));
    latest.show(jobs.slice(0, SHOWN), "No job has been submitted yet.");
  }
  return { poll };
}

export function nodesView(root) {
  const list = el("div", { class: "nodes" });
  const count = el("span", { class: "quiet" });
  fill(root, el("h1", {}, "Nodes ", count), list);

  async function poll(signal) {
    const { nodes } = await get("/api/cluster", signal);
    fill(count, nodes.length);
    fill(list, nodes.map((node) => el("section", { class: "card", "aria-label": `Node ${short(node.node_id)}` },
      el("div", { class: "between" }, el("h2", { title: node.node_id }, short(node.node_id)), badge(node.alive ? "ALIVE" : "LOST")),
      el("p", { class: "quiet" }, node.address, node.is_head ? ", head" : null),
      bars([node]))));
  }
  return { poll };
}
