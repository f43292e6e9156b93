// A WebSocket of binary messages, read no faster than its messages are dealt with where the browser
// can do that.

/**
 * Dials `url`. `opened()` is called at most once, `message(bytes)` for each message in order, and
 * `closed(code, reason)` once at the end, whatever happened. What `message` gives is waited for before
 * the next one is read, so that a sender who is too fast is slowed down; a browser without
 * WebSocketStream reads on regardless.
 */
export function dial(url, handlers) {
  return "WebSocketStream" in globalThis ? streamed(url, handlers) : pushed(url, handlers);
}

function streamed(url, { opened, message, closed }) {
  const stream = new WebSocketStream(url);
  let writer = null;
  const run = async () => {
    try {
      const { readable, writable } = await stream.opened;
      writer = writable.getWriter();
      opened();
      const reader = readable.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        if (typeof value !== "string") await message(new Uint8Array(value));
      }
    } catch {
      // How it ended is told by the stream.
    }
    let end = { closeCode: 1006, reason: "" };
    try {
      end = await stream.closed;
    } catch {
      // Lost without a goodbye.
    }
    closed(end.closeCode, end.reason);
  };
  run();
  return {
    send: (bytes) => writer?.write(bytes).catch(() => {}),
    close: () => stream.close(),
  };
}

function pushed(url, { opened, message, closed }) {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = opened;
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) message(new Uint8Array(data));
  };
  socket.onclose = ({ code, reason }) => closed(code, reason);
  return {
    send: (bytes) => socket.send(bytes),
    close: () => socket.close(),
  };
}
