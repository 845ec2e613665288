"use strict";
// Draws /openapi.json. Everything is set as text, never as markup.

const METHODS = ["get", "post", "patch", "delete"];
const DEPTH_MAX = 8; // of nested schemas
const BODY_SHOWN_MAX = 20000; // characters of an answer

const at = (id) => document.getElementById(id);
let schemas = {};

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function resolve(schema) {
  if (!schema || !schema.$ref) return schema || {};
  return schemas[schema.$ref.split("/").pop()] || {};
}

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const choices = schema.anyOf || schema.oneOf;
  if (choices) return choices.map(kind).join(" | ");
  if (schema.type === "array") {
    if (schema.prefixItems) return `[${schema.prefixItems.map(kind).join(", ")}]`;
    return `list of ${kind(schema.items || {})}`;
  }
  if (schema.type === "object" && schema.additionalProperties) {
    return `name → ${kind(schema.additionalProperties)}`;
  }
  return schema.format || schema.type || "anything";
}

const BOUNDS = [
  ["minimum", "at least"], ["maximum", "at most"], ["minLength", "length from"],
  ["maxLength", "length up to"], ["minItems", "items from"], ["maxItems", "items up to"],
  ["pattern", "pattern"],
];

function bounds(schema) {
  const all = (schema.anyOf || [schema]).flatMap((choice) =>
    BOUNDS.filter(([name]) => choice[name] !== undefined)
      .map(([name, words]) => `${words} ${choice[name]}`));
  if (schema.default !== undefined) all.push(`default ${JSON.stringify(schema.default)}`);
  return all.join(", ");
}

function example(schema, depth = 0) {
  if (depth > DEPTH_MAX) return null;
  const found = resolve(schema);
  if (found.default !== undefined && found.default !== null) return found.default;
  if (found.enum) return found.enum[0];
  if (found.const !== undefined) return found.const;
  const choices = found.anyOf || found.oneOf;
  if (choices) return example(choices.find((choice) => choice.type !== "null") || {}, depth + 1);
  switch (found.type) {
    case "object": {
      const value = {};
      for (const [name, property] of Object.entries(found.properties || {})) {
        if ((found.required || []).includes(name)) value[name] = example(property, depth + 1);
      }
      return value;
    }
    case "array": return [example(found.items || {}, depth + 1)];
    case "integer": case "number": return found.minimum || 0;
    case "boolean": return false;
    case "string": return found.pattern && found.pattern.includes("@") ? "you@example.org" : "";
    default: return null;
  }
}

function table(heads, rows) {
  return make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))))));
}

function fields(schema) {
  const found = resolve(schema);
  if (!found.properties) return make("p", { class: "note" }, kind(found));
  const rows = Object.entries(found.properties).map(([name, property]) => [
    make("span", { class: "field" }, (found.required || []).includes(name) ? name : `${name}?`),
    reference(property),
    [property.description, bounds(property)].filter(Boolean).join("; "),
  ]);
  return table(["Field", "Type", "Notes"], rows);
}

function reference(schema) {
  const text = kind(schema);
  const name = (text.match(/[A-Z][A-Za-z]+/) || [])[0];
  if (name && schemas[name]) return make("a", { href: `#schema-${name}` }, text);
  return make("code", {}, text);
}

function parameters(operation) {
  if (!operation.parameters.length) return null;
  const rows = operation.parameters.map((parameter) => [
    make("span", { class: "field" }, parameter.required ? parameter.name : `${parameter.name}?`),
    parameter.in,
    [parameter.description, bounds(parameter.schema)].filter(Boolean).join(" "),
  ]);
  return make("div", {}, make("h4", {}, "Parameters"), table(["Name", "In", "Notes"], rows));
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const content = Object.values(answer.content || {})[0];
    return [
      make("span", { class: Number(status) < 400 ? "field good" : "field bad" }, status),
      content && content.schema && content.schema.$ref ? reference(content.schema) : "",
      answer.description.replaceAll("`", ""),
    ];
  });
  return make("details", {}, make("summary", {}, "Answers"), table(["Status", "Body", "When"], rows));
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(method, path, form, operation, output) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const parameter of operation.parameters) {
    const value = form.elements.namedItem(parameter.name).value;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.set(parameter.name, value);
    else if (value !== "") headers[parameter.name] = value;
  }
  if (operation.security && at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  const request = { method: method.toUpperCase(), headers };
  const body = form.elements.namedItem("body");
  if (body) {
    headers["Content-Type"] = "application/json";
    request.body = body.value;
  }
  const began = performance.now();
  const answer = await fetch(target + (query.size ? `?${query}` : ""), request);
  let text = await answer.text();
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it is */ }
  if (text.length > BODY_SHOWN_MAX) text = `${text.slice(0, BODY_SHOWN_MAX)}\n… and more`;
  const line = `${answer.status} in ${Math.round(performance.now() - began)} ms, request ` +
    `${answer.headers.get("X-Request-Id")}`;
  output.replaceChildren(
    make("p", { class: answer.ok ? "good" : "bad" }, line),
    make("pre", { tabindex: "0" }, text || "(no body)"));
}

function trial(method, path, operation) {
  if (operation.responses["101"]) return null;
  const output = make("div", { role: "status" });
  const body = operation.requestBody && operation.requestBody.content["application/json"].schema;
  const button = make("button", { type: "submit" }, "Send");
  const form = make("form", {},
    ...operation.parameters.map((parameter) => make("label", {}, parameter.name,
      make("input", {
        name: parameter.name, autocomplete: "off", required: parameter.required && parameter.in === "path",
        value: parameter.name === "Idempotency-Key" && parameter.required ? randomKey() : undefined,
      }))),
    body ? make("label", {}, "Body", make("textarea", { name: "body", spellcheck: "false" },
      JSON.stringify(example(body), null, 2))) : null,
    make("div", {}, button));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await send(method, path, form, operation, output);
    } catch (error) {
      output.replaceChildren(make("p", { class: "bad" }, `No answer: ${error.message}`));
    }
    button.disabled = false;
  });
  return make("details", {}, make("summary", {}, "Try it"), form, output);
}

function article(method, path, operation) {
  const body = operation.requestBody && operation.requestBody.content["application/json"].schema;
  return make("article", { id: operation.operationId },
    make("h3", { class: operation.security ? "locked" : undefined },
      make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("span", { class: "path" }, path)),
    make("p", { class: "summary" }, operation.summary),
    operation.description ? make("p", {}, operation.description.replaceAll("`", "")) : null,
    parameters(operation),
    body ? make("div", {}, make("h4", {}, "Body: ", reference(body)), fields(body)) : null,
    responses(operation),
    trial(method, path, operation));
}

function problems(examples) {
  const rows = Object.values(examples).map((example) => example.value)
    .sort((one, other) => one.status - other.status || one.code.localeCompare(other.code))
    .map((problem) => [
      make("code", { id: problem.code, tabindex: "-1" }, problem.code), String(problem.status), problem.title,
    ]);
  return make("section", {}, make("h2", { id: "problems" }, "Problems"),
    make("p", { class: "note" }, "The code of a problem document never changes its meaning."),
    table(["Code", "Status", "Meaning"], rows));
}

function models() {
  return make("section", {}, make("h2", { id: "schemas" }, "Schemas"),
    ...Object.entries(schemas).map(([name, schema]) => make("article", { id: `schema-${name}` },
      make("h3", {}, name),
      schema.description ? make("p", {}, schema.description.replaceAll("`", "")) : null,
      fields(schema))));
}

function index(groups) {
  const lists = [...groups].map(([tag, operations]) => make("section", {},
    make("h2", {}, tag),
    make("ul", {}, ...operations.map(({ operation }) =>
      make("li", {}, make("a", { href: `#${operation.operationId}` }, operation.summary))))));
  lists.push(make("section", {}, make("h2", {}, "Reference"), make("ul", {},
    make("li", {}, make("a", { href: "#problems" }, "Problems")),
    make("li", {}, make("a", { href: "#schemas" }, "Schemas")))));
  at("index").replaceChildren(...lists);
}

function draw(description) {
  schemas = description.components.schemas;
  const operations = Object.entries(description.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method])
      .map((method) => ({ method, path, operation: item[method] })));
  const groups = new Map();
  for (const entry of operations) {
    const tag = entry.operation.tags[0];
    groups.set(tag, [...(groups.get(tag) || []), entry]);
  }
  index(groups);
  const paragraphs = description.info.description.trim().split("\n\n");
  at("main").replaceChildren(
    ...paragraphs.map((text) => make("p", {}, text.replaceAll("`", ""))),
    make("p", { class: "note" }, "The document itself: ",
      make("a", { href: "/openapi.json" }, "/openapi.json")),
    ...[...groups].map(([tag, entries]) => make("section", {}, make("h2", {}, tag),
      ...entries.map(({ method, path, operation }) => article(method, path, operation)))),
    problems(description.components.examples), models());
}

function filter() {
  const wanted = at("filter").value.trim().toLowerCase();
  for (const item of document.querySelectorAll("#index li, main section > article")) {
    item.hidden = wanted !== "" && !item.textContent.toLowerCase().includes(wanted);
  }
}

async function newGuest() {
  const answer = await fetch("/v1/guests", { method: "POST" });
  const body = await answer.json();
  at("token").value = answer.ok ? body.token : body.detail;
}

at("filter").addEventListener("input", filter);
at("guest").addEventListener("click", () => newGuest().catch((error) => { at("token").value = error.message; }));
fetch("/openapi.json").then((answer) => answer.json()).then((description) => {
  draw(description);
  if (location.hash) {
    const target = at(decodeURIComponent(location.hash.slice(1)));
    if (target) target.scrollIntoView();
  }
}).catch((error) => { at("state").textContent = `The document cannot be shown: ${error.message}`; });
