// Requests to the server: each says which tab it comes from, and fails in one of two ways.

// The server answers that it will not; its message says what, where, and what to do.
export class Refused extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

// Nothing answers.
export class Unreachable extends Error {}

// randomUUID needs https.
const session = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const GATEWAY = [502, 504]; // of a proxy in front of a server that is gone

function detailOf(body, status) {
  if (typeof body?.detail === "string") return body.detail;
  if (Array.isArray(body?.detail)) return body.detail.map((part) => `${(part.loc ?? []).at(-1)}: ${part.msg}`).join("; ");
  if (status === 401) return "This page needs its token: open the address that sr3 web printed.";
  return `The server refused (HTTP ${status}).`;
}

export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      cache: "no-store",
      ...options,
      headers: { "X-SR3-Session": session, ...options.headers },
    });
  } catch (error) {
    if (options.signal?.aborted && options.signal.reason?.name !== "TimeoutError") throw error;
    throw new Unreachable();
  }
  if (GATEWAY.includes(response.status)) throw new Unreachable();
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Refused(response.status, detailOf(body, response.status), Number(response.headers.get("Retry-After")) || 5);
}

export const read = async (path, options) => (await ask(path, options)).json();

export function sendPicture(file, settings, signal) {
  const body = new FormData();
  body.append("settings", JSON.stringify(settings));
  body.append("file", file, file.name);
  return read("/api/jobs", { method: "POST", body, signal });
}

export const jobPath = (id) => `/api/jobs/${encodeURIComponent(id)}`;

export const stopJob = (id) => ask(`${jobPath(id)}/stop`, { method: "POST" });

// Also works while the page is being closed.
export const forgetJob = (id) => ask(jobPath(id), { method: "DELETE", keepalive: true }).catch(() => {});
