// Requests to the head, and the session that they show. The session only reads, lives in this tab and ends with it.

const KEPT = "iosdk-session";
const PATIENCE_MS = 30_000;

/** Not signed in, or not any more. */
export class SignedOut extends Error {}

/** The head has no such thing: its text says what. */
export class Missing extends Error {}

export function signedIn() {
  return sessionStorage.getItem(KEPT) !== null;
}

export function signOut() {
  sessionStorage.removeItem(KEPT);
}

/** Trades a ticket or the token for a session. */
export async function signIn(word) {
  const answer = await fetch("/api/dashboard/session", {
    method: "POST",
    headers: { Authorization: `Bearer ${word}` },
    credentials: "omit",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.status === 401) throw new SignedOut();
  if (!answer.ok) throw new Error(await answer.text());
  sessionStorage.setItem(KEPT, (await answer.json()).pass);
}

/** An answer whose body is still to come. */
export async function open(path, signal, headers = {}) {
  const pass = sessionStorage.getItem(KEPT);
  if (pass === null) throw new SignedOut();
  const shown = { Authorization: `Bearer ${pass}`, ...headers };
  const answer = await fetch(path, { headers: shown, credentials: "omit", cache: "no-store", signal });
  if (answer.status === 401) {
    signOut();
    throw new SignedOut();
  }
  return answer;
}

export async function get(path, signal) {
  const answer = await open(path, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
  if (answer.status === 404) throw new Missing(await answer.text());
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}
