// The time of a reply, as HTTP writes it (RFC 9110 §5.6.7).

let secondAt = -1;
let rendered = "";

/** `Mon, 23 Nov 2026 16:42:54 GMT`; made once a second, as every reply without a date needs one. */
export function renderDate(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  if (second !== secondAt) {
    secondAt = second;
    rendered = new Date(second * 1000).toUTCString();
  }
  return rendered;
}
