// The events of a job, as an async generator. EventSource cannot send the name of the tab, so this reads the stream
// itself: text/event-stream of the HTML standard, section 9.2.
import { Refused, Unreachable, ask, jobPath } from "./api.js";
import { lose, onLost, untilReachable } from "./link.js";

const PAUSE = 300; // milliseconds before a stream that was cut is opened again

// Split a stream into {type, id, data}.
async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { type: "message", data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?=.)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) yield { ...event, data: JSON.parse(event.data.join("\n")) };
        event = { type: "message", data: [], id: event.id };
        continue;
      }
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
      if (field === "event") event.type = text;
      else if (field === "data") event.data.push(text);
      else if (field === "id") event.id = text;
    }
  }
}

// Yields until the event "end"; opens the stream again when it is cut. Throws Refused when the job is gone.
export async function* follow(id, signal) {
  let last;
  for (;;) {
    const cut = new AbortController();
    const stop = () => cut.abort();
    signal.addEventListener("abort", stop, { once: true });
    const forget = onLost(stop);
    try {
      const headers = { Accept: "text/event-stream", ...(last === undefined ? {} : { "Last-Event-ID": last }) };
      const response = await ask(`${jobPath(id)}/events`, { headers, signal: cut.signal });
      for await (const event of parse(response.body)) {
        last = event.id ?? last;
        yield event;
        if (event.type === "end") return;
      }
    } catch (error) {
      if (error instanceof Refused || signal.aborted) throw error;
      if (error instanceof Unreachable) lose();
    } finally {
      signal.removeEventListener("abort", stop);
      forget();
      cut.abort();
    }
    await new Promise((resume) => setTimeout(resume, PAUSE));
    await untilReachable();
  }
}
