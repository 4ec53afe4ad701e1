// Everything a WebSocket does, against an echo at the address given. Ends with "passed".
const assert = require("assert");
const crypto = require("crypto");
const { once } = require("events");
const WebSocket = require("ws");

const url = process.argv[2];
const open = async () => {
  const socket = new WebSocket(url, ["chat"]);
  await once(socket, "open");
  return socket;
};
const next = async (socket) => (await once(socket, "message"))[0];

(async () => {
  const socket = await open();
  assert.strictEqual(socket.protocol, "chat");
  socket.send("hello, wörld");
  assert.strictEqual((await next(socket)).toString(), "hello, wörld");
  const large = crypto.randomBytes(3 << 20);
  socket.send(large);
  assert.ok((await next(socket)).equals(large));
  socket.send("in ", { fin: false });
  socket.send("fragments", { fin: true });
  assert.strictEqual((await next(socket)).toString(), "in fragments");
  socket.ping("are you there");
  assert.strictEqual((await once(socket, "pong"))[0].toString(), "are you there");
  socket.close(4001, "enough");
  assert.strictEqual((await once(socket, "close"))[0], 4001);

  const told = await open();
  told.send("bye");
  const [code, reason] = await once(told, "close");
  assert.deepStrictEqual([code, reason.toString()], [4002, "goodbye"]);

  const many = await Promise.all(Array.from({ length: 50 }, () => open()));
  const answers = Promise.all(many.map(next));
  many.forEach((socket, n) => socket.send(`socket ${n}`));
  assert.deepStrictEqual((await answers).map(String), many.map((_, n) => `socket ${n}`));
  many.forEach((socket) => socket.close());
  await Promise.all(many.map((socket) => once(socket, "close")));
  console.log("passed");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
