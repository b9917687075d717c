// Asks the service. Writes of a session carry its token in a header, which no other site can set.

let token = "";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, body, method = body === undefined ? "GET" : "POST") {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token && method !== "GET") headers["X-CSRF-Token"] = token;
  let reply;
  try {
    reply = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw new Refused(0, "The service does not answer. Try again.");
  }
  const answer = reply.status === 204 ? null : await reply.json().catch(() => null);
  if (!reply.ok) throw new Refused(reply.status, told(answer) ?? `The service answered ${reply.status}.`);
  return answer;
}

function told(answer) {
  const why = answer?.detail;
  return typeof why === "string" && why ? `${why[0].toUpperCase()}${why.slice(1)}.` : undefined;
}

// Who is signed in, or null.
export async function whoami() {
  try {
    return remember(await ask("session"));
  } catch (problem) {
    if (problem.status === 401 || problem.status === 403) return remember(null);
    throw problem;
  }
}

export async function signIn(key) {
  return remember(await ask("session", { key }));
}

export async function signOut() {
  await ask("session", undefined, "DELETE");
  return remember(null);
}

function remember(session) {
  token = session?.token ?? "";
  return session;
}
