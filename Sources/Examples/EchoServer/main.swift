// A server that sends back what it gets, with one LoopTask a connection: EchoServer --port PORT [--host ADDRESS]. Ends on SIGTERM and SIGINT.
import AsyncUV
import ExampleSupport

let options = Options("EchoServer --port PORT [--host ADDRESS]")
let host = options.text("--host") ?? "127.0.0.1", port = options.port()

options.run {
    let server = try await TCPServer.listen(host: host, port: port, name: "echo") { stream in
        while let bytes = try await stream.read() { try await stream.write(bytes) }
    }
    for address in server.addresses { try options.say("listening on \(address)") }
    try await server.run()
}
