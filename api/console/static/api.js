// Asking the API: with the token of this tab, and problems as errors.

import { token } from "./session.js";

/** Where the API is: beside the page, whatever path both are served under. */
const BASE = new URL("../v1/", import.meta.url);
const AGAIN_MS_MIN = 1000;
const AGAIN_MS_MAX = 15000;

/** The API said no, or cannot be reached. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP status; 0 if there was no answer.
   * @param {string} kind The last word of the problem's type.
   * @param {string} detail
   */
  constructor(status, kind, detail) {
    super(detail);
    this.status = status;
    this.kind = kind;
  }
}

/**
 * Ask for JSON.
 *
 * @param {string} path Below /v1/.
 * @param {Record<string, string | number | boolean | null | undefined>} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function ask(path, query = {}, signal) {
  const response = await answerTo(path, query, signal);
  return response.json();
}

/**
 * @param {string} path
 * @param {Record<string, string | number | boolean | null | undefined>} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function answerTo(path, query, signal) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") {
      url.searchParams.set(name, String(value));
    }
  }
  /** @type {Record<string, string>} */
  const headers = token() ? { authorization: `Bearer ${token()}` } : {};
  let response;
  try {
    response = await fetch(url, { headers, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", String(error));
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemOf(response) {
  const type = response.headers.get("content-type") ?? "";
  if (!type.includes("json")) return new Problem(response.status, "unknown", response.statusText);
  const body = await response.json();
  return new Problem(response.status, String(body.type).split(":").at(-1) ?? "", body.detail);
}

/**
 * Take server-sent events until told to end. Where the stream breaks off it is begun again, after
 * ever longer pauses; EventSource cannot send a token.
 *
 * @param {string} path
 * @param {object} told
 * @param {(data: any) => void} told.event Is told what each event carries.
 * @param {(problem: Problem) => void} told.broken Is told that the stream broke off.
 * @param {AbortSignal} signal
 */
export async function follow(path, told, signal) {
  let pause = AGAIN_MS_MIN;
  while (!signal.aborted) {
    try {
      const response = await answerTo(path, {}, signal);
      for await (const data of events(response)) {
        pause = AGAIN_MS_MIN;
        told.event(data);
      }
      told.broken(new Problem(0, "unreachable", "The stream has ended."));
    } catch (error) {
      if (signal.aborted) return;
      const problem =
        error instanceof Problem ? error : new Problem(0, "unreachable", String(error));
      told.broken(problem);
      if (problem.status === 401 || problem.status === 403) return;
    }
    await waited(pause, signal);
    pause = Math.min(pause * 2, AGAIN_MS_MAX);
  }
}

/**
 * @param {Response} response
 * @returns {AsyncGenerator<any>}
 */
async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const frames = text.split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames) {
      const lines = frame.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function waited(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
