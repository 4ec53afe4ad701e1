// Echoes messages; closes with 4002 on "bye". Says its port on the first line.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: (offered) => offered.has("chat") && "chat" });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => {
    if (!binary && data.toString() === "bye") socket.close(4002, "goodbye");
    else socket.send(data, { binary });
  });
});
