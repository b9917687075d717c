// Clients of other services from the npm registry, and a replay of what Coral sends, against a running server.
// BASE: its address under the name localhost; KEY: an API key; SECRET: a signing secret of Coral that it knows.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import dns from "node:dns";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const { BASE, KEY, SECRET } = process.env;
const FINE = "The council should publish the figures before the vote.";
const INSULT = "You are a complete idiot and everybody knows it.";
const THREAT = "I will kill you and your family";
const ADVERT = "Buy cheap replica watches now, message me on WhatsApp +44 20 7946 0958";

// ------------------------------------------------------------------ Perspective

test("perspective-api-client: analyze", async (t) => {
  const axios = require("axios");
  axios.interceptors.request.use((config) => ({
    ...config,
    url: config.url.replace("https://commentanalyzer.googleapis.com", BASE),
  }));
  const Perspective = require("perspective-api-client");
  const client = new Perspective({ apiKey: KEY });

  await t.test("scores a comment that breaks the policy high and a fine one low", async () => {
    const attributes = ["toxicity", "INSULT", "THREAT", "SPAM"];
    const bad = (await client.analyze(INSULT, { attributes })).attributeScores;
    assert.deepEqual(Object.keys(bad).sort(), ["INSULT", "SPAM", "THREAT", "TOXICITY"]);
    assert.ok(bad.TOXICITY.summaryScore.value > 0.8 && bad.INSULT.summaryScore.value > 0.8);
    assert.ok(bad.THREAT.summaryScore.value < 0.8 && bad.SPAM.summaryScore.value < 0.8);
    assert.equal(bad.TOXICITY.summaryScore.type, "PROBABILITY");
    const fine = (await client.analyze(FINE, { attributes })).attributeScores;
    for (const name of attributes) assert.ok(fine[name.toUpperCase()].summaryScore.value < 0.8, name);
  });

  await t.test("offsets are those of JavaScript's strings", async () => {
    const text = "😀 👍🏽 Well: you are a moron";
    const found = await client.analyze(
      { comment: { text }, spanAnnotations: true, requestedAttributes: { INSULT: {} } },
      { stripHTML: false },
    );
    const spans = found.attributeScores.INSULT.spanScores;
    assert.ok(spans.map((span) => text.slice(span.begin, span.end)).includes("you are a moron"));
  });

  await t.test("an emoji cut in half is judged", async () => {
    const found = await client.analyze(`${INSULT} ${"😀".slice(0, 1)}`);
    assert.ok(found.attributeScores.TOXICITY.summaryScore.value > 0.8);
  });

  await t.test("errors reach the client's own error type", async () => {
    await assert.rejects(client.analyze(FINE, { attributes: ["TOXICTY"] }), {
      name: "ResponseError",
      message: "Unknown requested attribute: TOXICTY",
    });
    await assert.rejects(client.analyze("<b></b>", { validate: false }), { message: "Comment must be non-empty." });
    await assert.rejects(new Perspective({ apiKey: "wrong" }).analyze(FINE), {
      message: "API key not valid. Please pass a valid API key.",
    });
  });
});

// What Coral's toxic phase and its feedback listener send to the "Custom endpoint".
test("replay of Coral's calls to Perspective", async (t) => {
  const endpoint = `${BASE}/v1alpha1`;
  const post = async (method, body) =>
    fetch(`${endpoint}/${method}?key=${KEY}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });

  await t.test("comments:analyze", async () => {
    const model = "TOXICITY";
    for (const [text, toxic] of [[INSULT, true], [FINE, false], ["Bu haber için teşekkürler", false]]) {
      const answer = await post("comments:analyze", {
        comment: { text },
        languages: ["en"],
        doNotStore: true,
        requestedAttributes: { [model]: {} },
      });
      assert.equal(answer.status, 200);
      const data = await answer.json();
      assert.equal(data.attributeScores[model].summaryScore.value > 0.8, toxic, text);
      assert.deepEqual(data.languages, ["en"]);
    }
  });

  await t.test("comments:suggestscore", async () => {
    const answer = await post("comments:suggestscore", {
      comment: { text: INSULT },
      attributeScores: { TOXICITY: { summaryScore: { value: 1 } } },
      communityId: "Coral:https://news.example",
      clientToken: "comment:9f1c",
    });
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).clientToken, "comment:9f1c");
  });
});

// ------------------------------------------------------------------ Coral's external moderation phase

const Joi = require("joi");
const STATUSES = ["NONE", "APPROVED", "REJECTED", "PREMOD", "SYSTEM_WITHHELD"];
const CODES = [
  "OFFENSIVE", "ABUSIVE", "SPAM", "BANNED_WORD", "AD", "ILLEGAL_CONTENT", "HARASSMENT_BULLYING",
  "MISINFORMATION", "HATE_SPEECH", "IRRELEVANT_CONTENT", "OTHER",
];
// The rules that Coral's published source states for a reply; Joi refuses an empty string by itself.
const REPLY = Joi.object({
  status: Joi.string().valid(...STATUSES),
  moderationAction: Joi.object({
    status: Joi.string().valid("APPROVED", "REJECTED").required(),
    rejectionReason: Joi.object({
      code: Joi.string().valid(...CODES).required(),
      legalGrounds: Joi.string(),
      detailedExplanation: Joi.string(),
      customReason: Joi.string(),
    }),
  }),
  actions: Joi.array().items(
    Joi.object({
      actionType: Joi.string().valid("FLAG").required(),
      reason: Joi.string().valid("COMMENT_DETECTED_TOXIC", "COMMENT_DETECTED_SPAM").required(),
    }),
  ),
  tags: Joi.array().items(Joi.string().valid("FEATURED", "STAFF")),
});

function phase(body, { role = "COMMENTER", action = "NEW" } = {}) {
  return JSON.stringify(
    {
      action,
      comment: { body, parentID: null },
      author: { id: "baf4", role },
      story: { id: "245b", url: "http://localhost:1313/posts/a-story-url/" },
      site: { id: "a4be" },
      tenantID: "19ba",
      tenantDomain: "localhost",
    },
    null,
    2,
  );
}

const sign = (secret, body) => `sha256=${crypto.createHmac("sha256", secret).update(body).digest("hex")}`;

async function ask(body, signature, path = "/coral") {
  const headers = { "Content-Type": "application/json", "User-Agent": "Coral Moderation/9.6.1" };
  if (signature) headers["X-Coral-Signature"] = signature;
  return fetch(`${BASE}${path}`, { method: "POST", headers, body, redirect: "manual" });
}

test("Coral's external moderation phase", async (t) => {
  const cases = [
    [FINE, "NONE"],
    ["", "NONE"],
    ["<p>Thanks.</p><div>You moron</div>", "REJECTED", "HARASSMENT_BULLYING"],
    [THREAT, "REJECTED", "ABUSIVE"],
    [ADVERT, "REJECTED", "AD"],
    ["Go back to your own country, nobody wants you people here", "REJECTED", "HATE_SPEECH"],
    ["What the f<b>u</b>ck is this", "REJECTED", "BANNED_WORD"],
  ];
  for (const [text, status, code] of cases) {
    await t.test(`${status} ${code ?? ""}: ${text}`, async () => {
      const body = phase(text);
      const answer = await ask(body, sign(SECRET, body));
      assert.equal(answer.status, 200);
      const { value, error } = REPLY.validate(await answer.json(), { stripUnknown: true, presence: "optional" });
      assert.ifError(error);
      assert.equal(value.status, status);
      assert.equal(value.moderationAction?.rejectionReason.code, code);
      if (code) assert.ok(value.moderationAction.rejectionReason.detailedExplanation.length > 10);
    });
  }

  await t.test("a comment over the limit is kept back, not answered with an error that Coral would pass over", async () => {
    const body = phase("word ".repeat(20_000));
    const answer = await ask(body, sign(SECRET, body));
    assert.equal(answer.status, 200);
    assert.ifError(REPLY.validate(await answer.clone().json()).error);
    assert.equal((await answer.json()).status, "SYSTEM_WITHHELD");
  });

  await t.test("one good signature of several is enough while a secret is replaced", async () => {
    const body = phase(FINE);
    assert.equal((await ask(body, `${sign("another", body)},${sign(SECRET, body)}`)).status, 200);
  });

  await t.test("401 without, with a wrong one, and for a body that was changed", async () => {
    const body = phase(FINE);
    const signature = sign(SECRET, body);
    assert.equal((await ask(body)).status, 401);
    assert.equal((await ask(body, sign("another", body))).status, 401);
    assert.equal((await ask(JSON.stringify(JSON.parse(body)), signature)).status, 401);
    assert.equal((await ask(body, signature.replace("sha256=", "sha1="))).status, 401);
  });
});

// ------------------------------------------------------------------ OpenAI

test("openai: moderations.create", async (t) => {
  const { OpenAI } = require("openai");
  const client = new OpenAI({ apiKey: KEY, baseURL: `${BASE}/v1`, maxRetries: 0 });

  await t.test("one text", async () => {
    const found = await client.moderations.create({ input: THREAT, model: "omni-moderation-latest" });
    assert.match(found.id, /^modr-/);
    const [result] = found.results;
    assert.equal(result.flagged, true);
    assert.equal(result.categories.violence, true);
    assert.ok(result.category_scores["harassment/threatening"] >= 0.99);
    for (const part of ["categories", "category_scores", "category_applied_input_types"])
      assert.equal(Object.keys(result[part]).length, 13);
  });

  await t.test("a list: one result each, in order", async () => {
    const found = await client.moderations.create({ input: [FINE, INSULT] });
    assert.deepEqual(found.results.map((result) => result.flagged), [false, true]);
  });

  await t.test("text parts are one message; images are refused", async () => {
    const text = { type: "text", text: INSULT };
    assert.equal((await client.moderations.create({ input: [text] })).results[0].flagged, true);
    const image = { type: "image_url", image_url: { url: "https://news.example/a.png" } };
    await assert.rejects(client.moderations.create({ input: [text, image] }), {
      status: 400,
      type: "invalid_request_error",
      param: "input[1]",
    });
  });

  await t.test("a wrong key is an AuthenticationError", async () => {
    const stranger = new OpenAI({ apiKey: "sk-wrong", baseURL: `${BASE}/v1`, maxRetries: 0 });
    await assert.rejects(stranger.moderations.create({ input: FINE }), (error) => {
      assert.ok(error instanceof OpenAI.AuthenticationError);
      assert.equal(error.code, "invalid_api_key");
      return true;
    });
  });
});

// ------------------------------------------------------------------ Akismet

test("akismet-api: the key stands in the host name", async (t) => {
  const lookup = dns.lookup;
  // Not every system resolves names under localhost.
  dns.lookup = (name, ...rest) => lookup(name.endsWith(".localhost") ? "localhost" : name, ...rest);
  t.after(() => (dns.lookup = lookup));
  const { AkismetClient } = require("akismet-api");
  const options = { blog: "https://news.example", host: new URL(BASE).host, protocol: "http" };
  const client = new AkismetClient({ ...options, key: KEY });
  const comment = { ip: "192.0.2.7", useragent: "Mozilla/5.0", name: "Ann", content: INSULT };

  assert.equal(await client.verifyKey(), true);
  assert.equal(await new AkismetClient({ ...options, key: "wrong" }).verifyKey(), false);
  assert.equal(await client.checkSpam(comment), true);
  assert.equal(await client.checkSpam({ ...comment, content: FINE }), false);
  assert.equal(await client.checkSpam({ ...comment, content: FINE, name: "viagra-test-123" }), true);
  assert.equal(await client.checkSpam({ ...comment, role: "administrator" }), false);
  await client.submitSpam(comment);
  await client.submitHam({ ...comment, content: FINE });
  await assert.rejects(new AkismetClient({ ...options, key: "wrong" }).checkSpam(comment), /Invalid API key/);
  await assert.rejects(client.checkSpam({ content: FINE }), /Bad Request/);
});

test("@cedx/akismet: the key stands in a field", async () => {
  const { Author, Blog, CheckResult, Client, Comment } = await import("@cedx/akismet");
  const blog = new Blog({ url: "https://news.example", charset: "UTF-8", languages: ["en"] });
  const client = new Client(KEY, blog, { baseUrl: BASE });
  const author = new Author({ ipAddress: "192.0.2.7", name: "Ann", userAgent: "Mozilla/5.0" });
  const comment = (content) => new Comment({ author, content, permalink: "https://news.example/a" });

  assert.equal(await client.verifyKey(), true);
  assert.equal(await new Client("wrong", blog, { baseUrl: BASE }).verifyKey(), false);
  assert.equal(await client.checkComment(comment(INSULT)), CheckResult.spam);
  assert.equal(await client.checkComment(comment(FINE)), CheckResult.ham);
  await client.submitSpam(comment(INSULT));
  await client.submitHam(comment(FINE));
});
