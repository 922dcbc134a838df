// Between a delivery node and its primary: hands bytes on from a port to a server's Unix socket.  While it is stopped
// (SIGSTOP) the network between the two is silent; when it is killed their connections break.
//
//   node relay.mjs PORT SOCKET
import net from 'node:net'

const [port, socket] = process.argv.slice(2)
net.createServer((from) => {
    const to = net.connect(socket)
    from.pipe(to).pipe(from)
    for (const [one, other] of [[from, to], [to, from]]) one.on('error', () => other.destroy())
}).listen(Number(port), '127.0.0.1')
